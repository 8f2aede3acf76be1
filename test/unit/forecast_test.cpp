#include "core/forecast.hpp"
#include <cmath>
#include <gtest/gtest.h>
#include <random>
#include <vector>

using namespace dbopt::core;

namespace {

constexpr double day = 86400;

std::vector<sample> line(double start, double per_day, double noise, int days, unsigned seed = 1) {
    std::mt19937 random(seed);
    std::normal_distribution<double> n(0, noise > 0 ? noise : 1);
    std::vector<sample> out;
    for (int i = 0; i < days * 24; ++i)
        out.push_back({i * 3600.0, start + per_day * i / 24 + (noise > 0 ? n(random) : 0)});
    return out;
}

TEST(Forecast, ExactLine) {
    const auto t = fit_trend(line(1000, 24, 0, 14));
    ASSERT_TRUE(t);
    EXPECT_NEAR(t->per_second * day, 24, 1e-6);
    EXPECT_NEAR(*time_to(*t, t->current + 240).seconds / day, 10, 1e-6);
}

TEST(Forecast, TooFewPointsSayNothing) {
    const std::vector<sample> s{{0, 1}, {1, 2}, {2, 3}, {3, 4}};
    EXPECT_FALSE(fit_trend(s));
}

TEST(Forecast, AllAtOneInstantSayNothing) {
    const std::vector<sample> s(10, sample{5, 1});
    EXPECT_FALSE(fit_trend(s));
}

TEST(Forecast, OutliersDoNotBendTheLine) {
    auto s = line(1000, 24, 0, 14);
    for (size_t i = 0; i < s.size(); i += 10)
        s[i].v += 1e6; // a bulk load that is deleted again, every ten hours
    EXPECT_NEAR(fit_trend(s)->per_second * day, 24, 1);
}

TEST(Forecast, IntervalCoversTheTruth) {
    int covered = 0;
    for (unsigned seed = 1; seed <= 100; ++seed) {
        const auto t = fit_trend(line(1000, 24, 50, 7, seed));
        covered += t->low * day <= 24 && 24 <= t->high * day;
    }
    EXPECT_GE(covered, 88);
}

TEST(Forecast, ShrinkingNeverFills) {
    const auto t = fit_trend(line(1000, -24, 0, 14));
    EXPECT_FALSE(time_to(*t, 5000).seconds);
    EXPECT_TRUE(time_to(*t, 0).seconds); // but it may reach a lower limit
}

TEST(Forecast, FlatNeverFills) {
    const auto t = fit_trend(line(1000, 0, 0, 14));
    EXPECT_FALSE(time_to(*t, 5000).seconds);
    EXPECT_FALSE(time_to(*t, 5000).seconds_low);
}

TEST(Forecast, NoiseAroundFlatHasNoLatestDate) {
    const auto t = fit_trend(line(1000, 0, 50, 14));
    EXPECT_FALSE(time_to(*t, 5000).seconds_high);
}

TEST(Forecast, SoonestIsBeforeLatest) {
    const auto e = time_to(*fit_trend(line(1000, 24, 20, 14)), 5000);
    ASSERT_TRUE(e.seconds && e.seconds_low && e.seconds_high);
    EXPECT_LE(*e.seconds_low, *e.seconds);
    EXPECT_LE(*e.seconds, *e.seconds_high);
}

TEST(Forecast, NothingIsForetoldFromMinutes) {
    const auto week = line(1000, 24, 0, 7);
    const auto t = fit_trend(week);
    ASSERT_TRUE(t);
    EXPECT_TRUE(foretell(week, *t, 5000).seconds);
    // The same course, known for half an hour, then for 23 hours.
    for (const double span : {1800.0, 23 * 3600.0}) {
        std::vector<sample> s;
        for (int i = 0; i <= 24; ++i)
            s.push_back({i * span / 24, 1000 + 24.0 * i});
        const auto steep = fit_trend(s);
        ASSERT_TRUE(steep);
        EXPECT_GT(steep->per_second, 0);
        EXPECT_FALSE(foretell(s, *steep, 5000).seconds);
        EXPECT_FALSE(foretell(s, *steep, 5000).seconds_low);
        EXPECT_FALSE(foretell(s, *steep, 5000).seconds_high);
    }
}

TEST(Forecast, WhatDoesNotMoveHasNoEnd) {
    const auto flat = line(1000, 0, 0, 14);
    EXPECT_FALSE(foretell(flat, *fit_trend(flat), 5000).seconds_low);
    EXPECT_FALSE(foretell({}, *fit_trend(flat), 5000).seconds);
}

} // namespace
