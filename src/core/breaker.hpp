// A circuit breaker: after some failures in a row it rejects runs for a while (open), then lets a
// single trial through (half-open), whose outcome closes or opens it again. The pause doubles with
// each time it opens in a row, up to an hour.
#pragma once
#include <cstdint>

namespace dbopt::core {

enum class breaker_state { closed, open, half_open };

struct breaker_policy {
    int failures = 5;
    double cooldown_s = 60;
    double cooldown_cap_s = 3600;
};

class breaker {
  public:
    breaker_state state = breaker_state::closed;
    int64_t until = 0;     // instant at which an open one allows a trial
    int opened = 0;        // times opened in a row
    int in_a_row = 0;      // failures since the last success
    int64_t successes = 0, failures = 0, rejected = 0, tripped = 0;

    // Asked before a run. An open breaker whose pause is over becomes half-open and allows it.
    bool allow(int64_t now);
    void success();
    // A trial whose end is not known (the server crashed) counts as failure, too.
    void failure(int64_t now, const breaker_policy &p);
    void reset(); // by hand; counters stay
};

} // namespace dbopt::core
