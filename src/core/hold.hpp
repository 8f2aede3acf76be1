// Whether a background action that destroys data must wait for a person. A restored old backup, or
// a clock that was wrong, would otherwise retire years of data within minutes.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace dbopt::core {

struct hold_question {
    int64_t now = 0;                             // seconds since 1970 UTC
    std::optional<int64_t> last_success = {};    // last round of this set that succeeded
    std::optional<int64_t> latest_seen = {};     // latest time ever recorded for it
    int64_t victims = 0;                         // what one round would retire
    int64_t total = 0;                           // of so many
};

// The reason to hold; nothing when the action may go on. A set that never had a round is held only
// by the count.
std::optional<std::string> hold_reason(const hold_question &q);

} // namespace dbopt::core
