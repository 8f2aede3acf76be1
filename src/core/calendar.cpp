#include "core/calendar.hpp"
#include <algorithm>
#include <cstdio>

namespace dbopt::core {

namespace {

constexpr int64_t unix_to_2000_s = 946'684'800;
// Timestamps of PostgreSQL end here (4714 BC to 294276); beyond it a bound is infinite.
constexpr int64_t first_us = -211'813'488'000'000'000;
constexpr int64_t end_us = 9'223'371'331'200'000'000;

int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a % b < 0) != (b < 0)); }

int64_t saturate(__int128 v) {
    if (v >= INT64_MAX)
        return infinity;
    return v <= INT64_MIN ? minus_infinity : static_cast<int64_t>(v);
}

int month_length(int64_t year, int month) {
    static constexpr int length[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29 : length[month - 1];
}

// Number of the month, January of year 0 being 0, and back, keeping day and time of day.
int64_t month_number(int64_t local_us) {
    const civil c = civil_from_days(floor_div(local_us, us_per_day));
    return c.year * 12 + c.month - 1;
}

int64_t at_month(int64_t local_us, int64_t month) {
    const int64_t day = floor_div(local_us, us_per_day);
    const civil c = civil_from_days(day);
    const civil moved{floor_div(month, 12), static_cast<int>(month - floor_div(month, 12) * 12) + 1,
                      c.day};
    return days_from_civil(moved) * us_per_day + (local_us - day * us_per_day);
}

} // namespace

// Howard Hinnant's civil calendar algorithms, with days counted from 2000-01-01.
civil civil_from_days(int64_t days) {
    const int64_t z = days + 10'957 + 719'468;
    const int64_t era = floor_div(z, 146'097);
    const int64_t doe = z - era * 146'097;
    const int64_t yoe = (doe - doe / 1460 + doe / 36'524 - doe / 146'096) / 365;
    const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    const int64_t mp = (5 * doy + 2) / 153;
    const int month = static_cast<int>(mp < 10 ? mp + 3 : mp - 9);
    return {yoe + era * 400 + (month <= 2), month, static_cast<int>(doy - (153 * mp + 2) / 5 + 1)};
}

int64_t days_from_civil(civil c) {
    const int day = std::min(c.day, month_length(c.year, c.month));
    const int64_t y = c.year - (c.month <= 2);
    const int64_t era = floor_div(y, 400);
    const int64_t yoe = y - era * 400;
    const int64_t doy = (153 * (c.month > 2 ? c.month - 3 : c.month + 9) + 2) / 5 + day - 1;
    const int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146'097 + doe - 719'468 - 10'957;
}

int64_t zone::to_instant(int64_t local) const {
    const int64_t before = offset_us(local - us_per_day), after = offset_us(local + us_per_day);
    const int64_t early = local - std::max(before, after), late = local - std::min(before, after);
    if (early == late || (before > after && offset_us(local - after) == after))
        return local - after; // plain, or the second of two occurrences
    if (offset_us(local - before) == before)
        return local - before;
    if (offset_us(local - after) == after)
        return local - after;
    // The local time is skipped: the moment of the change lies between the two readings.
    int64_t low = early / us_per_second - 1, high = late / us_per_second + 1;
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        (offset_us(middle * us_per_second) == before ? low : high) = middle;
    }
    return high * us_per_second;
}

int64_t to_us(key_unit unit, position p) {
    if (p == infinity || p == minus_infinity)
        return p;
    const __int128 since_2000 = -static_cast<__int128>(unix_to_2000_s) * us_per_second;
    switch (unit) {
    case key_unit::date: return saturate(static_cast<__int128>(p) * us_per_day);
    case key_unit::epoch_s: return saturate(static_cast<__int128>(p) * us_per_second + since_2000);
    case key_unit::epoch_ms:
    case key_unit::uuid7: return saturate(static_cast<__int128>(p) * 1000 + since_2000);
    case key_unit::epoch_us: return saturate(p + since_2000);
    case key_unit::epoch_ns: return saturate(floor_div(p, 1000) + since_2000);
    default: return p;
    }
}

position from_us(key_unit unit, int64_t us) {
    if (us == infinity || us == minus_infinity)
        return us;
    const auto ceil_div = [](int64_t a, int64_t b) { return -floor_div(-a, b); };
    const int64_t from_1970 = saturate(static_cast<__int128>(us) + unix_to_2000_s * us_per_second);
    switch (unit) {
    case key_unit::date: return ceil_div(us, us_per_day);
    case key_unit::epoch_s: return ceil_div(from_1970, us_per_second);
    case key_unit::epoch_ms: return ceil_div(from_1970, 1000);
    case key_unit::uuid7: {
        const int64_t ms = ceil_div(from_1970, 1000); // 48 bits, never negative
        return ms < 0 ? minus_infinity : ms > 0xFFFFFFFFFFFF ? infinity : ms;
    }
    case key_unit::epoch_us: return from_1970;
    case key_unit::epoch_ns: return saturate(static_cast<__int128>(from_1970) * 1000);
    default: return us;
    }
}

calendar::calendar(key_unit unit, step_size step, const zone &z, std::optional<int64_t> anchor)
    : unit_(unit), step_(step), zone_(&z) {
    if (step_.us != 0 && step_.us % us_per_day == 0)
        step_ = {.days = step_.us / us_per_day};
    if (anchor)
        anchor_ = *anchor;
    else if (step_.ids != 0)
        anchor_ = 0;
    else if (step_.months != 0)
        anchor_ = days_from_civil({0, 1, 1}) * us_per_day;
    else
        anchor_ = step_.days % 7 == 0 ? 2 * us_per_day : 0; // 2000-01-03 was a Monday
}

int64_t calendar::bound(int64_t k) const {
    if (step_.ids != 0)
        return saturate(static_cast<__int128>(k) * step_.ids + anchor_);
    if (step_.months != 0)
        return at_month(anchor_, month_number(anchor_) + k * step_.months);
    const int64_t length = step_.days != 0 ? step_.days * us_per_day : step_.us;
    return saturate(static_cast<__int128>(k) * length + anchor_);
}

// The bound at or before a local time, perhaps one too far for months whose anchor is not the first.
int64_t calendar::number(int64_t local) const {
    if (step_.months != 0)
        return floor_div(month_number(local) - month_number(anchor_), step_.months);
    const int64_t length = step_.ids != 0 ? step_.ids
                           : step_.days != 0 ? step_.days * us_per_day : step_.us;
    const __int128 distance = static_cast<__int128>(local) - anchor_;
    return static_cast<int64_t>(distance / length - (distance % length < 0));
}

position calendar::key(int64_t k) const {
    const int64_t b = bound(k);
    if (step_.ids != 0)
        return b;
    return b < first_us ? minus_infinity : b >= end_us ? infinity : local_to_position(b);
}

position calendar::local_to_position(int64_t local) const {
    return from_us(unit_, is_instant(unit_) ? zone_->to_instant(local) : local);
}

int64_t calendar::position_to_local(position p) const {
    const int64_t us = to_us(unit_, p);
    return is_instant(unit_) ? zone_->to_local(us) : us;
}

position calendar::floor(position p) const {
    if (p == infinity || p == minus_infinity)
        return p;
    int64_t k = number(step_.ids != 0 ? p : position_to_local(p));
    while (key(k) > p)
        --k;
    while (key(k + 1) <= p)
        ++k;
    return key(k);
}

position calendar::next(position p) const {
    if (p == infinity || p == minus_infinity)
        return p;
    int64_t k = number(step_.ids != 0 ? p : position_to_local(p));
    while (key(k) > p)
        --k;
    while (key(k) <= p)
        ++k;
    return key(k);
}

position calendar::back(position p, int64_t months, int64_t days, int64_t us) const {
    int64_t local = position_to_local(p);
    if (months != 0)
        local = at_month(local, month_number(local) - months);
    local -= days * us_per_day;
    // Hours are real time, not clock-face time.
    if (!is_instant(unit_) || us == 0)
        return local_to_position(local - us);
    return from_us(unit_, zone_->to_instant(local) - us);
}

std::string local_text(int64_t local) {
    const int64_t day = floor_div(local, us_per_day);
    const int64_t rest = local - day * us_per_day, s = rest / us_per_second;
    const civil c = civil_from_days(day);
    const int64_t year = c.year > 0 ? c.year : 1 - c.year;
    char text[80];
    int n = std::snprintf(text, sizeof text, "%04lld-%02d-%02d %02d:%02d:%02d",
                          static_cast<long long>(year), c.month, c.day, static_cast<int>(s / 3600),
                          static_cast<int>(s / 60 % 60), static_cast<int>(s % 60));
    if (rest % us_per_second != 0)
        n += std::snprintf(text + n, sizeof text - n, ".%06d", static_cast<int>(rest % us_per_second));
    return std::string(text, n) + (c.year > 0 ? "" : " BC");
}

std::string instant_text(int64_t instant, const zone &z) {
    const int64_t offset = z.offset_us(instant) / us_per_second, size = offset < 0 ? -offset : offset;
    std::string text = local_text(instant + offset * us_per_second);
    const bool bc = text.ends_with(" BC");
    if (bc)
        text.resize(text.size() - 3);
    char tail[24];
    int n = std::snprintf(tail, sizeof tail, "%c%02d", offset < 0 ? '-' : '+',
                          static_cast<int>(size / 3600));
    if (size % 3600 != 0)
        n += std::snprintf(tail + n, sizeof tail - n, ":%02d", static_cast<int>(size / 60 % 60));
    if (size % 60 != 0)
        n += std::snprintf(tail + n, sizeof tail - n, ":%02d", static_cast<int>(size % 60));
    return text + std::string(tail, n) + (bc ? " BC" : "");
}

} // namespace dbopt::core
