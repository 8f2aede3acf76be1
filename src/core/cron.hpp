// Schedules as people write them: five-field cron expressions, @hourly …, intervals, @once.
//
//   minute hour day-of-month month day-of-week      e.g. '*/5 9-17 * * mon-fri'
//
// Fields: *, numbers, names (jan, mon), ranges, lists, steps ('10-50/20', '*/7', '5/10'), Sunday is
// 0 or 7, '$' is the last day of the month. When both day fields are restricted a day matches by
// either (crontab(5)). Intervals: '30 seconds', '1 hour 30 minutes', down to one second.
#pragma once
#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace dbopt::core::jobs {

struct cron {
    std::bitset<60> minutes;
    std::bitset<24> hours;
    std::bitset<32> days;     // 1 … 31
    std::bitset<13> months;   // 1 … 12
    std::bitset<7> weekdays;  // 0 = Sunday
    bool last_day = false;    // '$'
    bool any_day = true;      // day-of-month starts with '*'
    bool any_weekday = true;  // day-of-week starts with '*'

    // Runs in every hour: follows elapsed time on clock-change days, not the wall clock's numbers.
    bool every_hour() const { return hours.all(); }
    bool matches_day(int year, int month, int day) const;
};

struct every {
    int64_t seconds;
};

struct once {
    // Wall clock in the job's time zone, as seconds since 1970-01-01 00:00 local.
    int64_t local;
};

using schedule = std::variant<cron, every, once>;

// Throws std::invalid_argument that names the offending part and what would be right.
schedule parse_schedule(std::string_view text);

// Days since 1970-01-01 of a civil date and back (proleptic Gregorian).
int64_t days_from_civil(int64_t year, int month, int day);
struct civil {
    int64_t year;
    int month, day;
};
civil civil_from_days(int64_t days);
int weekday_of(int64_t days); // 0 = Sunday
int days_in_month(int64_t year, int month);

} // namespace dbopt::core::jobs
