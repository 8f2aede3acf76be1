// Cron expressions, intervals, calendars, and the next due time around clock changes.
#include "core/cron.hpp"
#include "core/schedule.hpp"
#include <gtest/gtest.h>
#include <stdexcept>

using namespace dbopt::core::jobs;

namespace {

int64_t at(int64_t y, int mo, int d, int h = 0, int mi = 0, int s = 0) {
    return days_from_civil(y, mo, d) * 86400 + h * 3600 + mi * 60 + s;
}

// Central European time in 2026: summer from 29 March 01:00 UTC to 25 October 01:00 UTC.
class berlin final : public zone {
  public:
    int64_t offset_at(int64_t t) const override {
        return t >= at(2026, 3, 29, 1) && t < at(2026, 10, 25, 1) ? 7200 : 3600;
    }
};

// Clocks go from 24:00 to 01:00: midnight of 6 September does not exist.
class midnight_gap final : public zone {
  public:
    int64_t offset_at(int64_t t) const override { return t >= at(2026, 9, 6, 4) ? -10800 : -14400; }
};

std::optional<int64_t> next(std::string_view s, int64_t after, const zone &z = fixed_zone()) {
    return next_due(parse_schedule(s), after, z);
}

int runs_between(std::string_view s, int64_t from, int64_t to, const zone &z) {
    int n = 0;
    const schedule parsed = parse_schedule(s);
    for (auto t = next_due(parsed, from - 1, z); t && *t < to; t = next_due(parsed, *t, z))
        ++n;
    return n;
}

} // namespace

TEST(Calendar, RoundTripAndWeekdays) {
    for (int64_t d = -800000; d < 800000; d += 37) {
        const civil c = civil_from_days(d);
        ASSERT_EQ(days_from_civil(c.year, c.month, c.day), d);
    }
    EXPECT_EQ(weekday_of(days_from_civil(1970, 1, 1)), 4);
    EXPECT_EQ(weekday_of(days_from_civil(2026, 11, 22)), 0);
    EXPECT_EQ(weekday_of(days_from_civil(1969, 12, 28)), 0);
}

TEST(Cron, Fields) {
    const cron c = std::get<cron>(parse_schedule("*/20 9-17/4 1,15 jan-mar,DEC mon-Fri"));
    EXPECT_EQ(c.minutes.count(), 3u);
    EXPECT_TRUE(c.minutes[0] && c.minutes[20] && c.minutes[40]);
    EXPECT_TRUE(c.hours[9] && c.hours[13] && c.hours[17]);
    EXPECT_EQ(c.hours.count(), 3u);
    EXPECT_EQ(c.months.count(), 4u);
    EXPECT_EQ(c.weekdays.count(), 5u);
    EXPECT_TRUE(std::get<cron>(parse_schedule("5/10 * * * *")).minutes[55]);
    EXPECT_TRUE(std::get<cron>(parse_schedule("0 0 * * 7")).weekdays[0]);
    EXPECT_EQ(std::get<cron>(parse_schedule("0 0 * * 5-7")).weekdays.count(), 3u);
    EXPECT_EQ(std::get<cron>(parse_schedule("0 0 * * sat-sun")).weekdays.to_string(), "1000001");
    EXPECT_EQ(std::get<cron>(parse_schedule("0 0 * * fri-0")).weekdays.to_string(), "1100001");
    EXPECT_EQ(std::get<cron>(parse_schedule("0 0 * * 0-0")).weekdays.to_string(), "0000001");
    EXPECT_EQ(std::get<cron>(parse_schedule("0 0 * * sun-mon")).weekdays.to_string(), "0000011");
    EXPECT_TRUE(std::get<cron>(parse_schedule("@daily")).hours[0]);
}

TEST(Cron, RefusesNonsense) {
    for (const char *s : {"", "*", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *",
                          "* * 32 * *", "* * * 13 * ", "* * * * 8", "*/0 * * * *", "5-1 * * * *",
                          "a * * * *", "1, * * * *", "1-2-3 * * * *", "0 0 30 2 *", "0 0 31 4,6 *",
                          "@never", "@once tomorrow", "@once 2026-02-30 00:00", "0 seconds",
                          "-5 seconds", "5 fortnights", "9999999999999999999 days", "2 years", "*-5 * * * *",
                          "+5 * * * *", "\xff * * * *"})
        EXPECT_THROW(parse_schedule(s), std::invalid_argument) << s;
    for (const char *s : {"500 ms", "1 ms", "0.5 seconds", "-1 seconds", "0 s", "367 days", "1 h 0", "s", "1 fortnight",
                          "9999999999999999999999 seconds", "@reboot", "@once", "@once 2027-02-30", "@once tomorrow",
                          "@oncely 2027-01-01", "0 0 31 2 *", "0 0 30 feb *", "0 0 * * sat-mon", "0 0 * * 1-0/0",
                          "0 0 * 0 *", "0 0 0 * *", "60 0 * * *", "0 24 * * *", "0 0 * 13 *", "0 0 * * 8", "0-60 * * * *",
                          "*/60 * * * *", "1,,2 * * * *", ", * * * *", "- * * * *", "/5 * * * *", "* * * * * *", "", " "})
        EXPECT_THROW(parse_schedule(s), std::invalid_argument) << s;
}

TEST(Cron, IntervalsAndOnce) {
    EXPECT_EQ(std::get<every>(parse_schedule("1 second")).seconds, 1);
    EXPECT_EQ(std::get<every>(parse_schedule("30 seconds")).seconds, 30);
    EXPECT_EQ(std::get<every>(parse_schedule(" 1 hour 30 minutes ")).seconds, 5400);
    EXPECT_EQ(std::get<every>(parse_schedule("1h30m")).seconds, 5400);
    EXPECT_EQ(std::get<every>(parse_schedule("2 Weeks")).seconds, 1209600);
    EXPECT_EQ(next("@once 2026-12-01 02:00", at(2026, 11, 1)), at(2026, 12, 1, 2));
    EXPECT_EQ(next("@once 2026-12-01T02:00:30", at(2026, 11, 1)), at(2026, 12, 1, 2, 0, 30));
    EXPECT_EQ(next("@once 2026-12-01", at(2026, 12, 1)), std::nullopt);
    EXPECT_EQ(next("30 seconds", 100), 130);
}

TEST(Cron, NextDue) {
    const int64_t t = at(2026, 11, 21, 11, 30, 15); // a Saturday
    EXPECT_EQ(next("* * * * *", t), at(2026, 11, 21, 11, 31));
    EXPECT_EQ(next("30 11 * * *", t), at(2026, 11, 22, 11, 30));
    EXPECT_EQ(next("30 11 * * *", at(2026, 11, 21, 11, 30)), at(2026, 11, 22, 11, 30));
    EXPECT_EQ(next("30 11 * * *", at(2026, 11, 21, 11, 29, 59)), at(2026, 11, 21, 11, 30));
    EXPECT_EQ(next("0 2 * * 1", t), at(2026, 11, 23, 2));
    EXPECT_EQ(next("0 0 29 2 *", t), at(2028, 2, 29));
    EXPECT_EQ(next("0 0 $ * *", t), at(2026, 11, 30));
    EXPECT_EQ(next("0 0 $ 2 *", t), at(2027, 2, 28));
    EXPECT_EQ(next("@monthly", t), at(2026, 12, 1));
    EXPECT_EQ(next("@yearly", t), at(2027, 1, 1));
    EXPECT_EQ(next("0 0 1 1 *", at(1960, 6, 1)), at(1961, 1, 1)) << "before 1970";
}

TEST(Cron, DayOfMonthOrDayOfWeek) {
    // Both restricted: either. One of them '*': both.
    EXPECT_EQ(runs_between("0 0 13 * 5", at(2026, 11, 1), at(2026, 12, 1), fixed_zone()), 4);
    EXPECT_EQ(runs_between("0 0 14 * 5", at(2026, 11, 1), at(2026, 12, 1), fixed_zone()), 5);
    EXPECT_EQ(runs_between("0 0 * * 5", at(2026, 11, 1), at(2026, 12, 1), fixed_zone()), 4);
    EXPECT_EQ(runs_between("0 0 */2 * 5", at(2026, 11, 1), at(2026, 12, 1), fixed_zone()), 2);
}

TEST(ClockChange, FixedHourRunsExactlyOnce) {
    const berlin z;
    // 02:30 does not exist on 29 March, exists twice on 25 October.
    for (const char *s : {"30 2 * * *", "0 2 * * *", "59 2 * * *", "0 3 * * *", "0 1 * * *"}) {
        EXPECT_EQ(runs_between(s, at(2026, 3, 28, 23), at(2026, 3, 29, 22), z), 1) << s;
        EXPECT_EQ(runs_between(s, at(2026, 10, 24, 22), at(2026, 10, 25, 23), z), 1) << s;
        EXPECT_EQ(runs_between(s, at(2026, 1, 1), at(2027, 1, 1), z), 365) << s;
    }
    EXPECT_EQ(next("30 2 * * *", at(2026, 3, 28, 12), z), at(2026, 3, 29, 1, 30)); // 03:30 summer
    EXPECT_EQ(next("30 2 * * *", at(2026, 10, 24, 12), z), at(2026, 10, 25, 0, 30)); // the first
}

TEST(ClockChange, EveryHourFollowsElapsedTime) {
    const berlin z;
    EXPECT_EQ(runs_between("30 * * * *", at(2026, 3, 28, 23), at(2026, 3, 29, 22), z), 23);
    EXPECT_EQ(runs_between("30 * * * *", at(2026, 10, 24, 22), at(2026, 10, 25, 23), z), 25);
    EXPECT_EQ(runs_between("*/15 * * * *", at(2026, 10, 24, 22), at(2026, 10, 25, 23), z), 100);
}

TEST(ClockChange, MidnightThatDoesNotExist) {
    const midnight_gap z;
    EXPECT_EQ(runs_between("0 0 * * *", at(2026, 9, 1, 4), at(2026, 9, 10, 3), z), 9);
    EXPECT_EQ(next("0 0 6 9 *", at(2026, 9, 1), z), at(2026, 9, 6, 4));
    EXPECT_EQ(next("@once 2026-09-06 00:30", at(2026, 9, 1), z), at(2026, 9, 6, 4, 30));
}

TEST(ClockChange, NextIsAlwaysLaterAndMatchesBruteForce) {
    const berlin z;
    for (const char *s : {"*/7 * * * *", "13 */2 * * *", "30 2 * * 0", "0 1-3 * * *"}) {
        const schedule parsed = parse_schedule(s);
        const cron &c = std::get<cron>(parsed);
        int64_t t = at(2026, 10, 23);
        for (int i = 0; i < 200; ++i) {
            const auto n = next_due(parsed, t, z);
            ASSERT_TRUE(n.has_value());
            ASSERT_GT(*n, t);
            const int64_t local = *n + z.offset_at(*n);
            ASSERT_TRUE(c.minutes[local / 60 % 60]) << s;
            t = *n;
        }
    }
}

TEST(Window, OverMidnight) {
    const window night{22 * 3600, 6 * 3600};
    EXPECT_TRUE(night.contains(at(2026, 11, 21, 23), fixed_zone()));
    EXPECT_TRUE(night.contains(at(2026, 11, 21, 5, 59), fixed_zone()));
    EXPECT_FALSE(night.contains(at(2026, 11, 21, 6), fixed_zone()));
    EXPECT_TRUE(night.contains(at(2026, 11, 21, 21), fixed_zone(3600)));
    const window day{9 * 3600, 17 * 3600};
    EXPECT_TRUE(day.contains(at(2026, 11, 21, 9), fixed_zone()));
    EXPECT_FALSE(day.contains(at(2026, 11, 21, 17), fixed_zone()));
}

TEST(Window, OpensAtItsStart) {
    const fixed_zone z;
    const window day{9 * 3600, 17 * 3600}, night{22 * 3600, 6 * 3600};
    EXPECT_EQ(day.opens(at(2026, 11, 21, 8), z), at(2026, 11, 21, 9));
    EXPECT_EQ(day.opens(at(2026, 11, 21, 10), z), at(2026, 11, 21, 10)) << "inside: now";
    EXPECT_EQ(day.opens(at(2026, 11, 21, 17), z), at(2026, 11, 22, 9)) << "the end is outside";
    EXPECT_EQ(night.opens(at(2026, 12, 31, 12), z), at(2026, 12, 31, 22));
    EXPECT_EQ(night.opens(at(2027, 1, 1, 0), z), at(2027, 1, 1, 0)) << "past midnight it is still open";
    EXPECT_EQ(night.opens(at(2027, 1, 1, 6), z), at(2027, 1, 1, 22));
    EXPECT_EQ(night.opens(at(2026, 11, 21, 12), fixed_zone(-5 * 3600)), at(2026, 11, 22, 3));
}

TEST(Window, ClockChanges) {
    const berlin z;
    // 29 March: 02:00 to 03:00 does not exist. 25 October: it comes twice.
    const window gone{2 * 3600, 3 * 3600}, half{2 * 3600 + 1800, 5 * 3600}, over{22 * 3600, 2 * 3600 + 1800};
    EXPECT_EQ(gone.opens(at(2026, 3, 28, 12), z), at(2026, 3, 30, 0)) << "swallowed: the next day";
    EXPECT_EQ(half.opens(at(2026, 3, 28, 12), z), at(2026, 3, 29, 1)) << "the jump lands inside";
    EXPECT_EQ(gone.opens(at(2026, 10, 24, 12), z), at(2026, 10, 25, 0));
    EXPECT_EQ(gone.opens(at(2026, 10, 25, 1), z), at(2026, 10, 25, 1)) << "open again in the second hour";
    EXPECT_EQ(over.opens(at(2026, 3, 29, 1), z), at(2026, 3, 29, 20)) << "03:00 summer time is outside";
    EXPECT_EQ(over.opens(at(2026, 10, 25, 0, 45), z), at(2026, 10, 25, 1)) << "02:45, then 02:00 again";
}

TEST(Window, NeverTooEarlyNeverPassedOver) {
    const berlin z;
    const midnight_gap g;
    for (const zone *at_home : {static_cast<const zone *>(&z), static_cast<const zone *>(&g)})
        for (const window w : {window{0, 3600}, window{5400, 12600}, window{79200, 1800}, window{86340, 60},
                               window{79200, 9000}})
            for (const int64_t from : {at(2026, 3, 27), at(2026, 9, 4), at(2026, 10, 23)})
                for (int64_t t = from; t < from + 4 * 86400; t += 1740) {
                    const int64_t o = w.opens(t, *at_home);
                    ASSERT_GE(o, t);
                    ASSERT_TRUE(w.contains(o, *at_home)) << t;
                    for (int64_t m = t; m < o; m += 30)
                        ASSERT_FALSE(w.contains(m, *at_home)) << t << " " << m;
                }
}

TEST(Window, DueTimesMoveToTheOpening) {
    const fixed_zone z;
    const window night{22 * 3600, 6 * 3600};
    const schedule hourly = parse_schedule("@hourly"), noon = parse_schedule("0 12 * * *");
    EXPECT_EQ(next_start(hourly, night, at(2026, 11, 21, 5), z), at(2026, 11, 21, 22)) << "06:00 to 22:00 are one";
    EXPECT_EQ(next_start(hourly, night, at(2026, 11, 21, 22), z), at(2026, 11, 21, 23));
    EXPECT_EQ(next_start(noon, night, at(2026, 11, 21, 22), z), at(2026, 11, 22, 22)) << "every day, ten hours later";
    EXPECT_EQ(next_start(parse_schedule("@once 2026-11-21 12:00"), night, at(2026, 11, 20), z), at(2026, 11, 21, 22));
    EXPECT_EQ(next_start(noon, std::nullopt, at(2026, 11, 21, 22), z), at(2026, 11, 22, 12));
}
