#include "core/alert.hpp"
#include <algorithm>
#include <cmath>

namespace dbopt::core {

namespace {

// Ratios end at 100: the margin of "warn below 99 %" must leave room for recovery.
double margin(double threshold, const alert_policy &p) {
    const double m = std::abs(threshold) * p.margin_pct / 100;
    if (p.limits.low_is_bad && threshold > 0 && threshold < 100)
        return std::min(m, (100 - threshold) / 2);
    return m;
}

// The level with thresholds moved towards the good side for the levels already reached.
level judge_with_hysteresis(double value, level current, const alert_policy &p) {
    thresholds t = p.limits;
    const double sign = t.low_is_bad ? 1 : -1;
    if (t.critical && current == level::critical)
        *t.critical += sign * margin(*t.critical, p);
    if (t.warn && current != level::ok)
        *t.warn += sign * margin(*t.warn, p);
    return judge(value, t);
}

} // namespace

std::optional<transition> step(alert_state &s, const alert_policy &p, std::optional<double> value,
                               double now) {
    if (!value)
        return std::nullopt;
    const level target = judge_with_hysteresis(*value, s.at, p);
    if (target == s.at) {
        s.pending = s.at;
        s.pending_since = now;
        return std::nullopt;
    }
    // Moving on in the same direction keeps the clock running: critical includes warning.
    const bool rising = target > s.at;
    const bool same_way = s.pending != s.at && (s.pending > s.at) == rising;
    if (!same_way || s.pending_since > now)
        s.pending_since = now;
    s.pending = target;
    // From critical down to warning is no good news yet: it may take its time.
    const double wait = rising               ? p.for_seconds
                        : target > level::ok ? std::max(p.clear_seconds, p.cooldown_seconds)
                                             : p.clear_seconds;
    // Rounds come every so many seconds, give or take a little: one that comes a moment early must not
    // make the alert wait for a whole round more.
    constexpr double early = 0.5;
    if (now - s.pending_since < wait - early)
        return std::nullopt;
    const bool cooling = now >= s.ended_at && now - s.ended_at < p.cooldown_seconds;
    if (rising && s.at == level::ok && cooling && target <= s.last_raised)
        return std::nullopt;
    const transition t{s.at, target};
    s.last_raised = rising && s.at == level::ok ? target : std::max(s.last_raised, s.at);
    if (target == level::ok)
        s.ended_at = now;
    s.at = s.pending = target;
    s.since = s.pending_since = now;
    return t;
}

} // namespace dbopt::core
