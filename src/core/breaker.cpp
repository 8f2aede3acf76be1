#include "core/breaker.hpp"
#include <algorithm>
#include <cmath>

namespace dbopt::core {

bool breaker::allow(int64_t now) {
    if (state == breaker_state::open) {
        if (now < until) {
            ++rejected;
            return false;
        }
        state = breaker_state::half_open;
    }
    return true;
}

void breaker::success() {
    ++successes;
    in_a_row = 0;
    opened = 0;
    state = breaker_state::closed;
}

void breaker::failure(int64_t now, const breaker_policy &p) {
    ++failures;
    ++in_a_row;
    if (state != breaker_state::half_open && in_a_row < p.failures)
        return;
    state = breaker_state::open;
    ++tripped;
    const double pause = p.cooldown_s * std::pow(2.0, std::min(opened, 30));
    opened = std::min(opened + 1, 30);
    until = now + static_cast<int64_t>(std::ceil(std::min(pause, p.cooldown_cap_s)));
}

void breaker::reset() {
    state = breaker_state::closed;
    in_a_row = opened = 0;
    until = 0;
}

} // namespace dbopt::core
