// When a measurement becomes an alert, and when the alert is over: a state machine per rule.
//
// A level rises once the value has been that bad for `for_seconds` without a break. It falls once the
// value has been clear of the threshold by a margin (hysteresis) for `clear_seconds`. After a fall the
// next rise waits out the cooldown, unless it goes higher than before. A series that oscillates
// around its threshold therefore makes one alert, not one per swing. Time comes in as seconds.
#pragma once
#include "core/judge.hpp"

namespace dbopt::core {

struct alert_policy {
    thresholds limits;
    double for_seconds = 0;
    double clear_seconds = 60;
    double cooldown_seconds = 300;
    double margin_pct = 5; // of the threshold
};

struct alert_state {
    level at = level::ok;
    double since = 0;            // when `at` was entered
    level pending = level::ok;   // where it is going, if different
    double pending_since = 0;
    level last_raised = level::ok; // highest level of the alert that ended last
    double ended_at = -1e18;
    bool operator==(const alert_state &) const = default;
};

struct transition {
    level from;
    level to;
};

// `value` nothing: no measurement was possible; the state is kept as it is. A check that does not
// apply any more is passed as NaN, which is never bad. A clock that jumps back restarts the waits.
std::optional<transition> step(alert_state &s, const alert_policy &p, std::optional<double> value,
                               double now);

} // namespace dbopt::core
