#include "core/schedule.hpp"
#include <algorithm>

namespace dbopt::core::jobs {

constexpr int64_t day_s = 86400;

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

instants instants_of(int64_t local, const zone &z) {
    // Clocks change by less than a day and not twice in two days.
    const int64_t before = z.offset_at(local - day_s);
    const int64_t behind = z.offset_at(local + day_s);
    instants out;
    for (const int64_t offset : {before, behind}) {
        const int64_t t = local - offset;
        if (z.offset_at(t) != offset || (out.count == 1 && out.first == t))
            continue;
        (out.count == 0 ? out.first : out.second) = t;
        ++out.count;
    }
    if (out.count == 2 && out.second < out.first)
        std::swap(out.first, out.second);
    out.shifted = local - before;
    return out;
}

namespace {

// The first match on this day after `after`, when the offset is the same all day.
std::optional<int64_t> on_plain_day(const cron &c, int64_t day, int64_t after, int64_t offset) {
    const int64_t local_after = after + offset;
    const int64_t into = std::max<int64_t>(local_after - day * day_s + 1, 0);
    if (into >= day_s)
        return std::nullopt;
    // First whole minute at or after `into`.
    const int64_t first = (into + 59) / 60;
    for (int64_t hour = first / 60; hour < 24; ++hour) {
        if (!c.hours[hour])
            continue;
        for (int64_t minute = hour == first / 60 ? first % 60 : 0; minute < 60; ++minute)
            if (c.minutes[minute])
                return day * day_s + hour * 3600 + minute * 60 - offset;
    }
    return std::nullopt;
}

// The same when a clock change is near: every match is placed one by one.
std::optional<int64_t> on_change_day(const cron &c, int64_t day, int64_t after, const zone &z) {
    std::optional<int64_t> best;
    const auto offer = [&](int64_t t) {
        if (t > after && (!best || t < *best))
            best = t;
    };
    for (int64_t m = 0; m < 24 * 60; ++m) {
        if (!c.hours[m / 60] || !c.minutes[m % 60])
            continue;
        const instants at = instants_of(day * day_s + m * 60, z);
        if (at.count > 0)
            offer(at.first);
        if (at.count > 1 && c.every_hour())
            offer(at.second);
        if (at.count == 0 && !c.every_hour())
            offer(at.shifted);
    }
    return best;
}

std::optional<int64_t> next_of(const cron &c, int64_t after, const zone &z) {
    // 29 February that is also restricted by month comes within eight years.
    constexpr int64_t horizon = 9 * 366;
    const int64_t today = floor_div(after + z.offset_at(after), day_s);
    for (int64_t day = today - 1; day < today + horizon; ++day) {
        const civil d = civil_from_days(day);
        if (!c.matches_day(static_cast<int>(d.year), d.month, d.day))
            continue;
        const int64_t noon = day * day_s + day_s / 2;
        const int64_t offset = z.offset_at(noon - z.offset_at(noon));
        // A change within a day of this one makes it a day to look at closely.
        const bool plain = z.offset_at(noon - offset - 2 * day_s) == offset &&
                           z.offset_at(noon - offset + 2 * day_s) == offset;
        const auto found = plain ? on_plain_day(c, day, after, offset) : on_change_day(c, day, after, z);
        if (found)
            return found;
    }
    return std::nullopt;
}

} // namespace

std::optional<int64_t> next_due(const schedule &s, int64_t after, const zone &z) {
    if (const every *e = std::get_if<every>(&s))
        return after + e->seconds;
    if (const once *o = std::get_if<once>(&s)) {
        const instants at = instants_of(o->local, z);
        const int64_t t = at.count > 0 ? at.first : at.shifted;
        return t > after ? std::optional(t) : std::nullopt;
    }
    return next_of(std::get<cron>(s), after, z);
}

bool window::contains(int64_t instant, const zone &z) const {
    const int64_t local = instant + z.offset_at(instant);
    const int64_t t = local - floor_div(local, day_s) * day_s;
    return start <= end ? t >= start && t < end : t >= start || t < end;
}

// The moment between two instants of different offsets at which the clock jumps.
static int64_t jump_between(int64_t before, int64_t behind, const zone &z) {
    const int64_t offset = z.offset_at(behind);
    while (behind - before > 1) {
        const int64_t middle = before + (behind - before) / 2;
        (z.offset_at(middle) == offset ? behind : before) = middle;
    }
    return behind;
}

int64_t window::opens(int64_t instant, const zone &z) const {
    if (contains(instant, z))
        return instant;
    const int64_t today = floor_div(instant + z.offset_at(instant), day_s);
    for (int64_t day = today - 1; day < today + 4; ++day) {
        const instants at = instants_of(day * day_s + start, z);
        for (int i = 0; i < at.count; ++i) {
            const int64_t t = i == 0 ? at.first : at.second;
            if (t < instant || !contains(t, z))
                continue;
            // A jump of the clock may land inside before that, forwards or backwards.
            if (z.offset_at(t) != z.offset_at(instant))
                if (const int64_t jump = jump_between(instant, t, z); contains(jump, z))
                    return jump;
            return t;
        }
    }
    return instant;
}

std::optional<int64_t> next_start(const schedule &s, const std::optional<window> &w, int64_t after,
                                  const zone &z) {
    const std::optional<int64_t> due = next_due(s, after, z);
    return due && w ? std::optional(w->opens(*due, z)) : due;
}

} // namespace dbopt::core::jobs
