// A measurement against its thresholds.
#pragma once
#include <optional>
#include <string_view>

namespace dbopt::core {

enum class level { ok, warning, critical };
constexpr std::string_view name(level l) {
    return l == level::ok ? "ok" : l == level::warning ? "warning" : "critical";
}

struct thresholds {
    std::optional<double> warn;
    std::optional<double> critical;
    bool low_is_bad = false; // hit ratios: bad when below; otherwise bad when at or above
};

// Reaching the threshold counts ("over 80 %" of a pool of five has no value between 80 and 100), for
// ratios that must stay high only falling below it does. NaN is never bad: it is no measurement.
constexpr bool beyond(double value, double threshold, bool low_is_bad) {
    return low_is_bad ? value < threshold : value >= threshold;
}
constexpr level judge(double value, const thresholds &t) {
    if (t.critical && beyond(value, *t.critical, t.low_is_bad))
        return level::critical;
    if (t.warn && beyond(value, *t.warn, t.low_is_bad))
        return level::warning;
    return level::ok;
}

} // namespace dbopt::core
