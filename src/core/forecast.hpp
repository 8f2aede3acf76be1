// When does a growing figure reach its limit? A robust line through the history, with an interval.
#pragma once
#include <optional>
#include <span>

namespace dbopt::core {

struct sample {
    double t; // seconds, ascending
    double v;
};

struct trend {
    double per_second = 0;      // slope
    double low = 0, high = 0;   // 95 % interval of the slope
    double current = 0;         // the line's value at the last sample
    int points = 0;
};

// Theil–Sen: the median of the slopes of all pairs (thinned to 300 points), which one night's bulk
// load or a VACUUM FULL does not bend; its interval is Sen's, by the normal approximation of
// Kendall's statistic (Hollander and Wolfe, Nonparametric Statistical Methods, 9.3). Nothing with
// fewer than 5 points.
std::optional<trend> fit_trend(std::span<const sample> samples);

struct exhaustion {
    std::optional<double> seconds;      // nothing: not on this course
    std::optional<double> seconds_low;  // soonest by the interval
    std::optional<double> seconds_high; // latest; nothing: perhaps never
};
exhaustion time_to(const trend &t, double limit);
// A load of test data says nothing about next week: with less than this between first and last sample a course is
// shown, and nothing is foretold. Nor is the end of what does not move.
constexpr double least_span = 86400;
exhaustion foretell(std::span<const sample> samples, const trend &t, double limit);

} // namespace dbopt::core
