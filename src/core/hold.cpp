#include "core/hold.hpp"
#include <algorithm>

namespace dbopt::core {

constexpr int64_t week_s = 7 * 86400;
constexpr int64_t clock_slack_s = 60; // NTP steps by less

std::optional<std::string> hold_reason(const hold_question &q) {
    if (q.latest_seen && q.now < *q.latest_seen - clock_slack_s)
        return "time went backwards by " + std::to_string(*q.latest_seen - q.now) + " s";
    if (q.last_success && q.now - *q.last_success > week_s)
        return "the last successful round was " + std::to_string((q.now - *q.last_success) / 86400) +
               " days ago: perhaps an old backup was restored";
    // Ten per cent, rounded up, but three are always allowed.
    const int64_t most = std::max<int64_t>(3, (q.total + 9) / 10);
    if (q.victims > most)
        return "one round would retire " + std::to_string(q.victims) + " of " +
               std::to_string(q.total) + ", more than " + std::to_string(most);
    return std::nullopt;
}

} // namespace dbopt::core
