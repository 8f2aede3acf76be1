#include "core/index_search.hpp"
#include <algorithm>
#include <gtest/gtest.h>
#include <random>

namespace {

using namespace dbopt::core;

// A planner without a server: each query has ways of being answered (a set of indexes, a cost) and
// takes the cheapest that the shown indexes allow. That is what makes "used" facts reusable.
struct way {
    std::vector<int> needs;
    double cost;
};
struct world {
    std::vector<search_index> indexes;
    std::vector<search_query> queries;
    std::vector<std::vector<way>> ways;
    int plans = 0;

    planned plan(int q, std::span<const int> shown) {
        ++plans;
        planned best{.cost = queries[q].cost, .used = {}};
        for (const way &w : ways[q])
            if (w.cost < best.cost && std::all_of(w.needs.begin(), w.needs.end(), [&](int i) {
                    return std::find(shown.begin(), shown.end(), i) != shown.end();
                }))
                best = {.cost = w.cost, .used = w.needs};
        return best;
    }
    double cost_of(unsigned set) const {
        double total = 0;
        for (size_t q = 0; q < queries.size(); ++q) {
            double best = queries[q].cost;
            for (const way &w : ways[q])
                if (std::all_of(w.needs.begin(), w.needs.end(), [&](int i) { return set >> i & 1; }))
                    best = std::min(best, w.cost);
            total += queries[q].weight * best;
        }
        for (size_t i = 0; i < indexes.size(); ++i)
            if (set >> i & 1)
                total += indexes[i].upkeep;
        return total;
    }
};

world random_world(unsigned seed, int indexes, int queries, bool upkeep = false) {
    std::mt19937 random(seed);
    auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    world w;
    for (int i = 0; i < indexes; ++i)
        w.indexes.push_back({.bytes = 8192.0 * (1 + pick(50)),
                             .upkeep = upkeep ? pick(200) : 0.0,
                             .relation = static_cast<unsigned>(i % 4),
                             .width = 1 + i % 3,
                             .prefixes = {}});
    for (int q = 0; q < queries; ++q) {
        search_query query{.weight = 1.0 + pick(3), .cost = 1000.0 + pick(1000), .relevant = {}, .shared = {}};
        for (int i = 0; i < indexes; ++i)
            query.relevant.push_back(i);
        w.queries.push_back(query);
        std::vector<way> ways;
        for (int k = 0; k < 6; ++k) {
            way x{.needs = {}, .cost = 50.0 + pick(900)};
            for (int n = 1 + pick(3); n > 0; --n)
                x.needs.push_back(pick(indexes));
            std::sort(x.needs.begin(), x.needs.end());
            x.needs.erase(std::unique(x.needs.begin(), x.needs.end()), x.needs.end());
            ways.push_back(x);
        }
        w.ways.push_back(ways);
    }
    return w;
}

search_result search(world &w, search_limits limits) {
    double now = 0;
    index_search s(w.indexes, w.queries,
                   [&](int q, std::span<const int> shown) { return w.plan(q, shown); },
                   [&] { return now += 1e-6; }, limits);
    return s.run();
}

TEST(IndexSearch, IsCloseToTheBestSetAtEveryBudget) {
    double worst = 0, sum = 0;
    int cases = 0;
    for (unsigned seed = 1; seed <= 30; ++seed) {
        world w = random_world(seed, 10, 6);
        double all = 0;
        for (const search_index &i : w.indexes)
            all += i.bytes;
        for (const double share : {0.1, 0.25, 0.5, 1.0}) {
            const double budget = all * share;
            double best = 1e300;
            for (unsigned set = 0; set < 1u << w.indexes.size(); ++set) {
                double bytes = 0;
                for (size_t i = 0; i < w.indexes.size(); ++i)
                    bytes += set >> i & 1 ? w.indexes[i].bytes : 0;
                if (bytes <= budget)
                    best = std::min(best, w.cost_of(set));
            }
            const search_result r = search(w, {.budget = budget});
            unsigned chosen = 0;
            double bytes = 0;
            for (const search_step &s : r.steps) {
                chosen |= 1u << s.index;
                bytes += w.indexes[s.index].bytes;
            }
            EXPECT_LE(bytes, budget);
            EXPECT_NEAR(w.cost_of(chosen), r.cost_after, 1e-6);
            const double excess = w.cost_of(chosen) / best - 1;
            worst = std::max(worst, excess);
            sum += excess;
            ++cases;
        }
    }
    EXPECT_LT(sum / cases, 0.01);
    EXPECT_LT(worst, 0.15);
}

TEST(IndexSearch, IsDeterministic) {
    world a = random_world(7, 12, 8), b = random_world(7, 12, 8);
    const search_result x = search(a, {.budget = 1e6}), y = search(b, {.budget = 1e6});
    ASSERT_EQ(x.steps.size(), y.steps.size());
    for (size_t i = 0; i < x.steps.size(); ++i)
        EXPECT_EQ(x.steps[i].index, y.steps[i].index);
    EXPECT_EQ(a.plans, b.plans);
}

TEST(IndexSearch, KeepsTheCount) {
    world w = random_world(3, 12, 8);
    EXPECT_LE(search(w, {.most = 2}).steps.size(), 2u);
    EXPECT_TRUE(search(w, {.most = 0}).steps.empty());
    EXPECT_TRUE(search(w, {.budget = 0}).steps.empty());
}

TEST(IndexSearch, UpkeepKeepsUselessIndexesAway) {
    world w = random_world(5, 10, 6, true);
    for (search_index &i : w.indexes)
        i.upkeep = 1e9;
    EXPECT_TRUE(search(w, {}).steps.empty());
}

TEST(IndexSearch, ALateClockStillGivesAnAnswerThatFits) {
    world w = random_world(9, 14, 10);
    const search_result r = search(w, {.budget = 500000, .deadline = 1e-5});
    double bytes = 0;
    for (const search_step &s : r.steps)
        bytes += w.indexes[s.index].bytes;
    EXPECT_LE(bytes, 500000);
    EXPECT_FALSE(r.complete);
}

TEST(IndexSearch, PlansFarLessThanItEvaluates) {
    world w = random_world(11, 30, 20);
    const search_result r = search(w, {.budget = 2e6});
    EXPECT_GT(r.evaluations, 10 * r.plans);
}

// Two indexes that fill the budget to the byte: together they save nearly all, and no plan that fits shows it by
// arithmetic, since the best plans want a third one that does not fit beside them.
TEST(IndexSearch, FillsTheBudgetToTheByteByPlans) {
    std::vector<search_index> indexes{{.bytes = 4000, .relation = 1, .prefixes = {}}, {.bytes = 500, .relation = 2, .prefixes = {}}, {.bytes = 40, .relation = 3, .prefixes = {}}};
    std::vector<search_query> queries{{.weight = 1, .cost = 1000000, .relevant = {0, 1, 2}, .shared = {}}};
    auto plan = [](int, std::span<const int> set) {
        bool in[3] = {};
        for (const int i : set)
            in[i] = true;
        if (in[0] && in[1] && in[2])
            return planned{.cost = 1000, .used = {0, 1, 2}};
        if (in[0] && in[1])
            return planned{.cost = 1100, .used = {0, 1}};
        if (in[0])
            return planned{.cost = 8000, .used = {0}};
        if (in[1])
            return planned{.cost = 45000, .used = {1}};
        return planned{.cost = 1000000, .used = {}};
    };
    search_limits limits;
    limits.budget = 4500;
    index_search s(indexes, queries, plan, [] { return 0.0; }, limits);
    const search_result r = s.run();
    EXPECT_EQ(r.steps.size(), 2u);
    EXPECT_EQ(r.cost_after, 1100);
}

} // namespace
