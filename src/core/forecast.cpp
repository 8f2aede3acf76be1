#include "core/forecast.hpp"
#include <algorithm>
#include <cmath>
#include <vector>

namespace dbopt::core {

namespace {

std::vector<sample> thin(std::span<const sample> all, size_t most) {
    std::vector<sample> out;
    const size_t n = std::min(all.size(), most);
    for (size_t i = 0; i < n; ++i) // first and last always stay
        out.push_back(all[n == 1 ? 0 : i * (all.size() - 1) / (n - 1)]);
    return out;
}

double nth(std::vector<double> &v, size_t n) {
    std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(n), v.end());
    return v[n];
}
double median(std::vector<double> &v) {
    const double upper = nth(v, v.size() / 2);
    return v.size() % 2 == 1 ? upper : (upper + nth(v, v.size() / 2 - 1)) / 2;
}

std::optional<double> until(double from, double limit, double slope) {
    const double gap = limit - from;
    if (gap == 0 || (slope != 0 && (gap > 0) != (slope > 0) && from != limit)) {
        if (gap == 0)
            return 0.0;
        return std::nullopt;
    }
    return slope == 0 ? std::nullopt : std::optional<double>(gap / slope);
}

} // namespace

std::optional<trend> fit_trend(std::span<const sample> samples) {
    const std::vector<sample> s = thin(samples, 300);
    if (s.size() < 5)
        return std::nullopt;
    std::vector<double> slopes;
    for (size_t i = 0; i < s.size(); ++i)
        for (size_t j = i + 1; j < s.size(); ++j)
            if (s[j].t > s[i].t)
                slopes.push_back((s[j].v - s[i].v) / (s[j].t - s[i].t));
    if (slopes.empty())
        return std::nullopt;
    trend out;
    out.points = static_cast<int>(samples.size());
    out.per_second = median(slopes);
    const auto n = static_cast<double>(s.size());
    const double spread = 1.96 * std::sqrt(n * (n - 1) * (2 * n + 5) / 18);
    const auto pairs = static_cast<double>(slopes.size());
    const auto at = [&](double rank) {
        return nth(slopes, static_cast<size_t>(std::clamp(rank, 0.0, pairs - 1)));
    };
    out.low = at((pairs - spread) / 2);
    out.high = at((pairs + spread) / 2);
    std::vector<double> intercepts;
    for (const sample &p : s)
        intercepts.push_back(p.v - out.per_second * (p.t - s.back().t));
    out.current = median(intercepts);
    return out;
}

exhaustion time_to(const trend &t, double limit) {
    const bool upwards = limit >= t.current;
    exhaustion e;
    e.seconds = until(t.current, limit, t.per_second);
    e.seconds_low = until(t.current, limit, upwards ? t.high : t.low);
    e.seconds_high = until(t.current, limit, upwards ? t.low : t.high);
    return e;
}

exhaustion foretell(std::span<const sample> samples, const trend &t, double limit) {
    const bool long_enough = !samples.empty() && samples.back().t - samples.front().t >= least_span;
    return long_enough && t.per_second != 0 ? time_to(t, limit) : exhaustion{};
}

} // namespace dbopt::core
