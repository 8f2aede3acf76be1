#include "core/partition_plan.hpp"
#include <gtest/gtest.h>

using namespace dbopt::core;

namespace {

// Madrid's rules of today, for every year: enough for arithmetic on both kinds of change.
class summer_zone final : public zone {
  public:
    int64_t offset_us(int64_t instant) const override {
        const civil c = civil_from_days(instant >= 0 ? instant / us_per_day : (instant + 1) / us_per_day - 1);
        const auto last_sunday = [&](int month) {
            const int64_t last = days_from_civil({c.year, month, 31});
            return last - ((last + 6) % 7 + 7) % 7; // 2000-01-01 was a Saturday
        };
        const int64_t hour = 3600 * us_per_second;
        const bool summer = instant >= last_sunday(3) * us_per_day + hour &&
                            instant < last_sunday(10) * us_per_day + hour;
        return (summer ? 2 : 1) * hour;
    }
};

int64_t at(int64_t year, int month, int day, int hour = 0) {
    return days_from_civil({year, month, day}) * us_per_day + hour * 3600 * us_per_second;
}

const utc_zone utc;
const summer_zone madrid;

TEST(calendar, civil_dates_go_there_and_back) {
    for (int64_t day = -2'000'000; day < 2'000'000; day += 37)
        ASSERT_EQ(days_from_civil(civil_from_days(day)), day);
    EXPECT_EQ(days_from_civil({2000, 1, 1}), 0);
    EXPECT_EQ(days_from_civil({2023, 2, 31}), days_from_civil({2023, 2, 28}));
}

TEST(calendar, months_weeks_and_ids) {
    const calendar month(key_unit::timestamp, {.months = 1}, utc);
    EXPECT_EQ(month.floor(at(2026, 11, 21)), at(2026, 11, 1));
    EXPECT_EQ(month.next(at(2026, 12, 1)), at(2027, 1, 1));
    const calendar week(key_unit::timestamp, {.days = 7}, utc);
    EXPECT_EQ(week.floor(at(2026, 11, 21)), at(2026, 11, 16));
    const calendar ids(key_unit::id, {.ids = 1000}, utc);
    EXPECT_EQ(ids.floor(-1), -1000);
    EXPECT_EQ(ids.next(INT64_MAX - 5), infinity);
    const calendar century(key_unit::timestamp, {.months = 1200}, utc);
    EXPECT_EQ(century.floor(at(2026, 1, 1)), at(2000, 1, 1));
}

TEST(calendar, daylight_saving_leaves_neither_hole_nor_overlap) {
    for (const int64_t minutes : {15, 30, 60, 90, 120, 240}) {
        const calendar c(key_unit::timestamptz, {.us = minutes * 60 * us_per_second}, madrid);
        for (const int64_t start : {at(2026, 3, 28), at(2026, 10, 24)}) {
            position p = c.floor(start);
            while (p < start + 3 * us_per_day) {
                const position n = c.next(p);
                ASSERT_GT(n, p);
                ASSERT_EQ(c.floor(n - 1), p);
                ASSERT_EQ(c.floor(n), n);
                p = n;
            }
        }
    }
}

TEST(calendar, midnight_is_local) {
    const calendar day(key_unit::timestamptz, {.days = 1}, madrid);
    EXPECT_EQ(day.floor(at(2026, 7, 1, 23)), at(2026, 7, 1, 22)); // already the second in Madrid
    EXPECT_EQ(instant_text(at(2026, 7, 1, 22), madrid), "2026-07-02 00:00:00+02");
}

TEST(calendar, epochs_and_uuids) {
    EXPECT_EQ(to_us(key_unit::epoch_s, 946684800), 0);
    EXPECT_EQ(from_us(key_unit::epoch_ns, 0), 946684800'000'000'000);
    EXPECT_EQ(from_us(key_unit::uuid7, 0), 946684800'000);
    EXPECT_EQ(from_us(key_unit::date, us_per_day + 1), 2); // a bound never moves down
    EXPECT_EQ(to_us(key_unit::epoch_s, INT64_MAX - 1), infinity);
}

TEST(partition_plan, creates_ahead_and_fills_holes) {
    const calendar c(key_unit::id, {.ids = 10}, utc);
    std::vector<partition_state> parts{{{0, 10}, false, 0}, {{30, 40}, false, 1}};
    const partition_plan plan = plan_partitions(c, {.premake = 1}, parts, 35);
    EXPECT_EQ(plan.create, (std::vector<bounds>{{10, 20}, {20, 30}, {40, 50}}));
    EXPECT_EQ(plan.gaps, (std::vector<bounds>{{10, 30}}));
}

TEST(partition_plan, odd_partitions_are_worked_around) {
    const calendar c(key_unit::id, {.ids = 10}, utc);
    std::vector<partition_state> parts{{{minus_infinity, 33}, false, 0}};
    const partition_plan plan = plan_partitions(c, {.premake = 1}, parts, 31);
    EXPECT_EQ(plan.create, (std::vector<bounds>{{33, 40}, {40, 50}}));
}

TEST(partition_plan, retires_only_what_is_wholly_past) {
    const calendar c(key_unit::id, {.ids = 10}, utc);
    std::vector<partition_state> parts{{{minus_infinity, 0}, false, 0}, {{0, 10}, false, 1}, {{10, 20}, false, 2},
                                       {{20, 30}, true, 3}, {{30, 40}, false, 4}};
    const partition_plan plan = plan_partitions(c, {.premake = 0, .cutoff = 15}, parts, 35);
    EXPECT_EQ(plan.retire, (std::vector<int>{0, 1}));
    EXPECT_EQ(plan.finalize, (std::vector<int>{3}));
    EXPECT_TRUE(plan.create.empty());
}

TEST(partition_plan, a_far_future_partition_is_harmless) {
    const calendar c(key_unit::timestamp, {.days = 1}, utc);
    std::vector<partition_state> parts{{{at(9999, 1, 1), infinity}, false, 0}};
    const partition_plan plan = plan_partitions(c, {.premake = 2}, parts, at(2026, 1, 1));
    EXPECT_EQ(plan.create.size(), 3u);
    EXPECT_TRUE(plan.open_ended);
}

TEST(partition_plan, a_hole_too_long_is_reported_and_now_is_served) {
    const calendar c(key_unit::timestamp, {.us = 60 * us_per_second}, utc);
    std::vector<partition_state> parts{{{at(2001, 1, 1), at(2001, 1, 1) + 60 * us_per_second}, false, 0}};
    const position now = at(2026, 1, 1) + 90 * us_per_second;
    const partition_plan plan = plan_partitions(c, {.premake = 2}, parts, now);
    ASSERT_EQ(plan.unfilled.size(), 1u);
    EXPECT_EQ(plan.unfilled[0], (bounds{at(2001, 1, 1) + 60 * us_per_second, c.floor(now)}));
    ASSERT_EQ(plan.create.size(), 3u);
    EXPECT_EQ(plan.create[0].lower, c.floor(now));
    // between two partitions, the later of which is in use
    parts.push_back({{c.floor(now), c.next(c.floor(now))}, false, 1});
    const partition_plan between = plan_partitions(c, {.premake = 1}, parts, now);
    EXPECT_EQ(between.unfilled.size(), 1u);
    EXPECT_EQ(between.create.size(), 1u);
}

TEST(partition_plan, what_is_asked_for_is_made_up_to_ten_thousand_steps) {
    const calendar c(key_unit::timestamp, {.days = 1}, utc);
    std::vector<partition_state> none;
    const partition_plan plan = plan_partitions(c, {.premake = 0, .start = at(2026, 1, 1) - 9999 * us_per_day}, none, at(2026, 1, 1));
    EXPECT_EQ(plan.create.size(), 10000u);
    EXPECT_TRUE(plan.unfilled.empty());
}

TEST(partition_plan, a_bound_behind_its_position_is_retired_with_the_next) {
    const calendar c(key_unit::id, {.ids = 10}, utc);
    std::vector<partition_state> parts{{{0, 10}, false, 1, true}, {{10, 20}, false, 2}};
    EXPECT_TRUE(plan_partitions(c, {.premake = 0, .cutoff = 10}, parts, 15).retire.empty());
    EXPECT_EQ(plan_partitions(c, {.premake = 0, .cutoff = 11}, parts, 15).retire, (std::vector<int>{1}));
    EXPECT_TRUE(plan_partitions(c, {.premake = 0}, parts, 15).create.empty());
}

TEST(partition_name, suffixes) {
    EXPECT_EQ(partition_suffix({key_unit::timestamp, {.months = 12}, utc}, at(2026, 1, 1)), "_2026");
    EXPECT_EQ(partition_suffix({key_unit::timestamp, {.months = 1}, utc}, at(2026, 1, 1)), "_2026_01");
    EXPECT_EQ(partition_suffix({key_unit::timestamp, {.days = 7}, utc}, at(2026, 1, 26)), "_2026_w05");
    EXPECT_EQ(partition_suffix({key_unit::timestamp, {.days = 7}, utc}, at(2024, 12, 30)), "_2025_w01");
    EXPECT_EQ(partition_suffix({key_unit::timestamp, {.days = 1}, utc}, at(2026, 1, 31)), "_2026_01_31");
    EXPECT_EQ(partition_suffix({key_unit::timestamp, {.us = us_per_second * 900}, utc}, at(2026, 1, 31, 15)), "_2026_01_31_1500");
    EXPECT_EQ(partition_suffix({key_unit::id, {.ids = 10}, utc}, -20), "_n20");
}

TEST(partition_name, long_names_stay_different_and_whole) {
    const std::string a(60, 'a'), b = std::string(59, 'a') + "b";
    EXPECT_EQ(bounded_name(a, "_2026_01").size(), 63u);
    EXPECT_NE(bounded_name(a, "_2026_01"), bounded_name(b, "_2026_01"));
    std::string euro;
    for (int i = 0; i < 20; ++i)
        euro += "\u20ac";
    const std::string n = bounded_name(euro, "_2026_01_31");
    EXPECT_LE(n.size(), 63u);
    EXPECT_EQ((n.find('_')) % 3, 0u); // cut between characters
}

} // namespace
