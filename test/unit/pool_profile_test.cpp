#include "core/pool_profile.hpp"
#include <gtest/gtest.h>
#include <stdexcept>

using namespace dbopt::core;

namespace {

pool_situation on(const char *environment, int cpus, int usable = 1000, int busiest = 0) {
    return {.environment = environment, .cpus = cpus, .usable_connections = usable, .busiest = busiest, .database = "app"};
}

TEST(PoolProfile, StartsFromCustomaryFigures) {
    EXPECT_EQ(make_profile(on("development", 2)).max_size, 5);
    EXPECT_EQ(make_profile(on("test", 64)).max_size, 3);
    EXPECT_EQ(make_profile(on("staging", 2)).max_size, 20);
    EXPECT_EQ(make_profile(on("production", 2)).max_size, 30);
    EXPECT_EQ(make_profile(on("production", 2)).min_size, 10);
    const auto high = make_profile(on("high-load", 2));
    EXPECT_EQ(high.min_size, 20);
    EXPECT_EQ(high.max_size, 50);
    EXPECT_EQ(high.idle_timeout_s, 600);
}

TEST(PoolProfile, GrowsWithTheMachineUpToALimit) {
    EXPECT_EQ(make_profile(on("production", 16)).max_size, 65);
    EXPECT_EQ(make_profile(on("production", 128)).max_size, 100);
}

TEST(PoolProfile, FollowsTheHistory) {
    EXPECT_EQ(make_profile(on("production", 2, 1000, 48)).max_size, 60);
}

TEST(PoolProfile, NeverAsksForMoreThanTheServerHas) {
    const auto p = make_profile(on("high-load", 64, 20));
    EXPECT_EQ(p.max_size, 16);
    EXPECT_LE(p.min_size, p.max_size);
    EXPECT_GE(make_profile(on("high-load", 64, 1)).max_size, 1);
}

TEST(PoolProfile, UnknownEnvironment) { EXPECT_THROW(make_profile(on("prod", 2)), std::invalid_argument); }

TEST(PoolProfile, EverySpellingNamesTheSize) {
    int seen = 0;
    for (const auto &l : make_profile(on("production", 2)).lines)
        seen += l.value.find("30") != std::string::npos;
    EXPECT_GE(seen, 5);
}

// 20 clients, 50 ms transactions, 3 servers: 59 transactions per second, 17 clients wait.
TEST(PoolSizing, SaturatedOldVersionCountsTheQueue) {
    const auto a = size_pooler({0, 0, 0, 0}, {10, 590, 590 * 335480.0, 169.09e6},
                               {.version = 118, .clients_active = 3, .clients_waiting = 17, .pool_size = 3, .cpus = 8});
    ASSERT_TRUE(a);
    EXPECT_NEAR(a->busy_servers, 3, 0.3);
    EXPECT_EQ(a->suggested_size, 20);
    EXPECT_NEAR(*a->mean_wait_ms, 286.6, 1);
}

TEST(PoolSizing, NewerVersionsCountServersOnly) {
    const auto a = size_pooler({0, 0, 0, 0}, {10, 590, 590 * 50000.0, 169.09e6},
                               {.version = 123, .clients_active = 3, .clients_waiting = 17, .pool_size = 3, .cpus = 8});
    EXPECT_NEAR(a->busy_servers, 2.95, 0.1);
}

TEST(PoolSizing, MoreThanTheMachineCanServeDoesNotHelp) {
    const auto a = size_pooler({0, 0, 0, 0}, {10, 590, 590 * 50000.0, 1},
                               {.version = 123, .clients_active = 3, .clients_waiting = 500, .pool_size = 3, .cpus = 2});
    EXPECT_EQ(a->suggested_size, 9);
    EXPECT_NE(a->reason.find("do not help"), std::string::npos);
}

TEST(PoolSizing, IdlePoolShrinksGently) {
    const auto a = size_pooler({0, 0, 0, 0}, {10, 100, 1e6, 0}, {.version = 123, .pool_size = 40, .cpus = 2});
    EXPECT_EQ(a->suggested_size, 20);
}

TEST(PoolSizing, RestartedPoolerSaysNothing) {
    EXPECT_FALSE(size_pooler({0, 100, 1, 1}, {10, 5, 1, 1}, {}));
    EXPECT_FALSE(size_pooler({10, 100, 1, 1}, {10, 100, 1, 1}, {}));
}

} // namespace
