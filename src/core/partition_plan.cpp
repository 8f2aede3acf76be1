#include "core/partition_plan.hpp"
#include <algorithm>
#include <cstdio>

namespace dbopt::core {

std::vector<bounds> cut(const calendar &cal, position from, position to, int max) {
    std::vector<bounds> pieces;
    while (from < to) {
        if (static_cast<int>(pieces.size()) == max)
            return {};
        const position end = std::min(to, cal.next(from));
        if (end == infinity || end <= from)
            break;
        pieces.push_back({from, end});
        from = end;
    }
    return pieces;
}

namespace {

position wanted_start(const calendar &cal, const partition_rules &rules,
                      const std::vector<partition_state> &parts, position now) {
    position start = cal.floor(now);
    if (rules.start)
        start = std::min(start, *rules.start);
    else // the earliest partition that stays; what is to be retired asks for no neighbours
        for (const partition_state &p : parts)
            if (!rules.cutoff || p.range.upper > *rules.cutoff)
                start = std::min(start, p.range.lower);
    if (rules.cutoff && *rules.cutoff > start)
        start = cal.floor(*rules.cutoff);
    return std::max(start, rules.lowest);
}

position wanted_end(const calendar &cal, const partition_rules &rules, position now) {
    position end = cal.next(now);
    for (int i = 0; i < rules.premake && end < rules.highest; ++i)
        end = cal.next(end);
    return std::min(end, rules.highest);
}

} // namespace

partition_plan plan_partitions(const calendar &cal, const partition_rules &rules,
                               std::vector<partition_state> &parts, position now) {
    std::sort(parts.begin(), parts.end(),
              [](const auto &a, const auto &b) { return a.range < b.range; });
    partition_plan plan;
    const position start = wanted_start(cal, rules, parts, now);
    const position end = wanted_end(cal, rules, now);
    position cursor = start;
    const auto fill = [&](position from, position to, bool hole) {
        if (from >= to)
            return;
        if (hole)
            plan.gaps.push_back({from, to});
        std::vector<bounds> pieces = cut(cal, from, to, rules.max_gap + rules.premake);
        if (pieces.empty()) { // too long: what is needed from now on is made all the same
            const position near = std::min(std::max(from, cal.floor(now)), to);
            plan.unfilled.push_back({from, near});
            pieces = cut(cal, near, to, rules.max_gap + rules.premake);
        }
        plan.create.insert(plan.create.end(), pieces.begin(), pieces.end());
    };
    position reached = minus_infinity;
    for (const partition_state &p : parts) {
        if (p.pending)
            plan.finalize.push_back(p.id);
        if (p.range.lower < reached)
            plan.overlaps.push_back({p.range.lower, std::min(reached, p.range.upper)});
        reached = std::max(reached, p.range.upper);
        if (p.range.upper == infinity)
            plan.open_ended = true;
        else if (!p.pending && rules.cutoff && p.range.upper + p.fine <= *rules.cutoff)
            plan.retire.push_back(p.id);
        if (p.range.lower > now)
            ++plan.ahead;
        if (p.range.upper > cursor) {
            fill(cursor, std::min(p.range.lower, end), p.range.lower <= end && cursor > start);
            cursor = p.range.upper;
        }
    }
    fill(cursor, end, false);
    return plan;
}

std::string partition_suffix(const calendar &cal, position lower) {
    char text[64];
    if (!keeps_time(cal.unit())) {
        std::snprintf(text, sizeof text, lower < 0 ? "_n%s" : "_%s",
                      (lower < 0 ? std::to_string(lower).substr(1) : std::to_string(lower)).c_str());
        return text;
    }
    const int64_t local = cal.position_to_local(lower);
    const int64_t day = local >= 0 ? local / us_per_day : -((-local + us_per_day - 1) / us_per_day);
    const int64_t rest = (local - day * us_per_day) / us_per_second;
    const civil c = civil_from_days(day);
    const step_size &s = cal.step();
    const auto year = static_cast<long long>(c.year);
    if (rest == 0 && c.day == 1 && s.months != 0) {
        const bool whole_year = c.month == 1 && s.months % 12 == 0;
        std::snprintf(text, sizeof text, whole_year ? "_%04lld" : "_%04lld_%02d", year, c.month);
    } else if (rest == 0 && s.days != 0 && s.days % 7 == 0 && ((day - 2) % 7 + 7) % 7 == 0) {
        // ISO week: the week belongs to the year of its Thursday.
        const int64_t thursday = day + 3;
        const int64_t iso_year = civil_from_days(thursday).year;
        const int week = static_cast<int>((thursday - days_from_civil({iso_year, 1, 1})) / 7) + 1;
        std::snprintf(text, sizeof text, "_%04lld_w%02d", static_cast<long long>(iso_year), week);
    } else if (rest == 0 && s.us == 0) {
        std::snprintf(text, sizeof text, "_%04lld_%02d_%02d", year, c.month, c.day);
    } else {
        const int n = std::snprintf(text, sizeof text, "_%04lld_%02d_%02d_%02d%02d", year, c.month,
                                    c.day, static_cast<int>(rest / 3600),
                                    static_cast<int>(rest / 60 % 60));
        if (rest % 60 != 0)
            std::snprintf(text + n, sizeof text - n, "%02d", static_cast<int>(rest % 60));
    }
    return text;
}

std::string bounded_name(const std::string &base, const std::string &suffix, size_t max) {
    if (base.size() + suffix.size() <= max)
        return base + suffix;
    uint32_t hash = 2'166'136'261u; // FNV-1a
    for (const unsigned char c : base)
        hash = (hash ^ c) * 16'777'619u;
    char mark[16];
    std::snprintf(mark, sizeof mark, "_%06x", hash & 0xFFFFFFu);
    size_t keep = max - suffix.size() - 7;
    while (keep > 0 && (static_cast<unsigned char>(base[keep]) & 0xC0) == 0x80)
        --keep; // not inside a character
    return base.substr(0, keep) + mark + suffix;
}

} // namespace dbopt::core
