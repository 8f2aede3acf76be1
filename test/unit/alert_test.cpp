#include "core/alert.hpp"
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <random>

using namespace dbopt::core;

namespace {

alert_policy pool() {
    return {.limits = {80, 90}, .for_seconds = 300, .clear_seconds = 60, .cooldown_seconds = 300};
}

int transitions(alert_state &s, const alert_policy &p, auto series, double from, double to, double every) {
    int n = 0;
    for (double t = from; t < to; t += every)
        n += step(s, p, series(t), t).has_value();
    return n;
}

TEST(Judge, ReachingCountsForHighFallingBelowForLow) {
    EXPECT_EQ(judge(80, {80, 90}), level::warning);
    EXPECT_EQ(judge(79.9, {80, 90}), level::ok);
    EXPECT_EQ(judge(90, {90, 80, true}), level::ok);
    EXPECT_EQ(judge(79, {90, 80, true}), level::critical);
    EXPECT_EQ(judge(std::nan(""), {80, 90}), level::ok);
    EXPECT_EQ(judge(5, {std::nullopt, 1}), level::critical);
}

TEST(Alert, RaisedOnlyAfterForTime) {
    alert_state s;
    EXPECT_FALSE(step(s, pool(), 85, 0));
    EXPECT_FALSE(step(s, pool(), 85, 299));
    const auto t = step(s, pool(), 85, 300);
    ASSERT_TRUE(t);
    EXPECT_EQ(t->to, level::warning);
}

TEST(Alert, ABreakStartsTheForTimeAgain) {
    alert_state s;
    step(s, pool(), 85, 0);
    step(s, pool(), 50, 200);
    EXPECT_FALSE(step(s, pool(), 85, 300));
    EXPECT_FALSE(step(s, pool(), 85, 599));
    EXPECT_TRUE(step(s, pool(), 85, 600));
}

TEST(Alert, EscalatesAndStatesTheWay) {
    alert_policy p = pool();
    p.for_seconds = 0;
    alert_state s;
    EXPECT_EQ(step(s, p, 85, 0)->to, level::warning);
    const auto t = step(s, p, 95, 10);
    ASSERT_TRUE(t);
    EXPECT_EQ(t->from, level::warning);
    EXPECT_EQ(t->to, level::critical);
}

TEST(Alert, GoingFromWarningToCriticalWhilePendingKeepsTheClock) {
    alert_state s;
    step(s, pool(), 85, 0);
    step(s, pool(), 95, 150);
    const auto t = step(s, pool(), 95, 300);
    ASSERT_TRUE(t);
    EXPECT_EQ(t->to, level::critical);
}

TEST(Alert, ClearsOnlyBeyondTheMarginAndForAWhile) {
    alert_policy p = pool();
    p.for_seconds = 0;
    alert_state s;
    step(s, p, 85, 0);
    EXPECT_EQ(transitions(s, p, [](double) { return 77.0; }, 1, 1000, 10), 0); // 80 - 5 % = 76
    EXPECT_FALSE(step(s, p, 70, 1000));
    EXPECT_FALSE(step(s, p, 70, 1059));
    EXPECT_EQ(step(s, p, 70, 1060)->to, level::ok);
}

TEST(Alert, OscillationMakesOneAlert) {
    for (const double period : {10.0, 40.0, 100.0}) {
        alert_policy p = pool();
        p.for_seconds = 0;
        alert_state s;
        auto wave = [=](double t) { return 80 + 15 * std::sin(6.283185307 * t / period); };
        EXPECT_LE(transitions(s, p, wave, 0, 86400, 5), 2) << period;
    }
}

TEST(Alert, SlowOscillationIsBoundedByTheCooldown) {
    alert_policy p = pool();
    p.for_seconds = 0;
    alert_state s;
    auto square = [](double t) { return std::fmod(t, 200) < 100 ? 85.0 : 20.0; };
    // Every cycle of 200 s would make two; cooldown plus clearing allow about one pair per 400 s.
    EXPECT_LE(transitions(s, p, square, 0, 86400, 5), 2 * 86400 / 360);
}

TEST(Alert, CooldownDoesNotHoldBackSomethingWorse) {
    alert_policy p = pool();
    p.for_seconds = p.clear_seconds = 0;
    alert_state s;
    step(s, p, 85, 0);
    step(s, p, 10, 1);
    EXPECT_FALSE(step(s, p, 85, 2));
    const auto t = step(s, p, 95, 3);
    ASSERT_TRUE(t);
    EXPECT_EQ(t->to, level::critical);
}

TEST(Alert, CooldownEnds) {
    alert_policy p = pool();
    p.for_seconds = p.clear_seconds = 0;
    alert_state s;
    step(s, p, 85, 0);
    step(s, p, 10, 1);
    EXPECT_FALSE(step(s, p, 85, 300));
    EXPECT_TRUE(step(s, p, 85, 301));
}

TEST(Alert, NoMeasurementKeepsTheState) {
    alert_policy p = pool();
    p.for_seconds = 0;
    alert_state s;
    step(s, p, 95, 0);
    const alert_state before = s;
    EXPECT_FALSE(step(s, p, std::nullopt, 1e6));
    EXPECT_EQ(s, before);
}

TEST(Alert, WhatDoesNotApplyAnyMoreIsOver) {
    alert_policy p = pool();
    p.for_seconds = 0;
    alert_state s;
    step(s, p, 95, 0);
    step(s, p, std::numeric_limits<double>::quiet_NaN(), 10);
    EXPECT_EQ(step(s, p, std::numeric_limits<double>::quiet_NaN(), 70)->to, level::ok);
}

TEST(Alert, ClockJumpsBack) {
    alert_state s;
    step(s, pool(), 85, 1e9);
    EXPECT_FALSE(step(s, pool(), 85, 0));
    EXPECT_FALSE(step(s, pool(), 85, 299));
    EXPECT_TRUE(step(s, pool(), 85, 300));
}

TEST(Alert, ClockJumpsForwardRaisesAtMostOnce) {
    alert_state s;
    step(s, pool(), 85, 0);
    EXPECT_TRUE(step(s, pool(), 85, 1e9));
    EXPECT_FALSE(step(s, pool(), 85, 1e9 + 1));
}

TEST(Alert, LowIsBadHasRoomToRecover) {
    alert_policy p{.limits = {99, 95, true}, .for_seconds = 0, .clear_seconds = 0};
    alert_state s;
    EXPECT_EQ(step(s, p, 98, 0)->to, level::warning);
    EXPECT_FALSE(step(s, p, 99.2, 1));
    EXPECT_EQ(step(s, p, 99.6, 2)->to, level::ok);
}

// A clock that is handed in: rounds every `interval` seconds, the value turns bad somewhere between two.
TEST(Alert, FiresWithinForTimeAndOneInterval) {
    std::mt19937 random(4711);
    for (int i = 0; i < 2000; ++i) {
        alert_policy p = pool();
        p.for_seconds = std::uniform_int_distribution<>(0, 3)(random) * 100;
        const double interval = i % 2 == 0 ? 10 : 60;
        const double bad_from = std::uniform_real_distribution<>(1000, 2000)(random);
        const double phase = std::uniform_real_distribution<>(0, interval)(random);
        std::uniform_real_distribution<> jitter(-0.01, 0.01); // rounds are never quite on time
        alert_state s;
        std::optional<double> fired;
        for (double now = phase; now < 5000 && !fired; now += interval + jitter(random))
            if (step(s, p, now >= bad_from ? 95 : 10, now))
                fired = now;
        ASSERT_TRUE(fired);
        EXPECT_GE(*fired, bad_from + p.for_seconds - 0.5) << "not before its time";
        EXPECT_LE(*fired, bad_from + std::ceil(p.for_seconds / interval) * interval + interval + 1) << i;
    }
}

// The state goes through a table between two rounds, as over a restart: nothing depends on memory.
TEST(Alert, GoesOnAfterARestart) {
    alert_state s;
    step(s, pool(), 95, 0);
    step(s, pool(), 95, 290);
    alert_state restored = s;
    EXPECT_TRUE(step(restored, pool(), 95, 310));
    alert_state again = restored;
    EXPECT_FALSE(step(again, pool(), 95, 320)) << "not told twice";
    EXPECT_FALSE(step(again, pool(), 10, 5000)) << "the good value was not seen while the server was down";
    EXPECT_EQ(step(again, pool(), 10, 5060)->to, level::ok);
}

// Whatever the series: a level never changes twice within one round, and transitions fit together.
TEST(Alert, TransitionsFormAChain) {
    std::mt19937 random(42);
    for (int run = 0; run < 200; ++run) {
        alert_policy p = pool();
        p.for_seconds = run % 3 * 30;
        p.limits = run % 2 == 0 ? thresholds{80, 90} : thresholds{90, 80, true};
        alert_state s;
        level at = level::ok;
        double now = 0;
        for (int i = 0; i < 500; ++i) {
            now += std::uniform_int_distribution<>(1, 30)(random) - (i % 100 == 99 ? 500 : 0); // jumps back, too
            std::optional<double> v = std::uniform_real_distribution<>(0, 100)(random);
            if (i % 17 == 0)
                v = std::nullopt;
            if (i % 23 == 0)
                v = std::nan("");
            if (const auto t = step(s, p, v, now)) {
                EXPECT_EQ(t->from, at);
                EXPECT_NE(t->to, at);
                at = t->to;
            }
            EXPECT_EQ(s.at, at);
        }
    }
}

} // namespace
