// Which failures are worth another attempt, and when.
#pragma once
#include <cstdint>
#include <string_view>

namespace dbopt::core {

// Transient by nature: serialization, deadlock, lock not available, connections, resources, a
// server that starts or stops. Never a cancel (57014), never an error of the statement itself.
bool is_retryable(std::string_view sqlstate);

struct retry_policy {
    int attempts = 3;         // the first included
    double base_s = 0.5;      // pause before the second attempt
    double cap_s = 5;
    double factor = 2;
};

// The pause after failed attempt number `attempt` (1 …), without jitter.
double backoff(const retry_policy &p, int attempt);
// With it: between half and the whole of the pause; random is in [0, 1).
double backoff(const retry_policy &p, int attempt, double random);

} // namespace dbopt::core
