// When background work must not destroy data by itself, for every room that does: partitions, indexes …
#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace dbopt::core {

struct hold_question {
    std::optional<int64_t> last_success_us; // the last good round over this set
    std::optional<int64_t> last_now;        // what the clock, or the highest id, was then
    int64_t clock_us = 0;
    int64_t now = 0;
    int retiring = 0, of = 0;               // what would go at once, and out of how many
    const char *what = "partitions";
};

// Why it waits for a person, or an empty text: the last good round is more than 7 days ago (an old
// backup was restored), time or ids went backwards, or more than max(3, 10 %) would go at once.
std::string retirement_hold(const hold_question &q);

} // namespace dbopt::core
