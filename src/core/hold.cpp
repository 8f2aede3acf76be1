#include "core/hold.hpp"
#include <algorithm>

namespace dbopt::core {

constexpr int64_t days_7 = 7 * 86400 * int64_t{1000000};

std::string retirement_hold(const hold_question &q) {
    if (q.last_success_us && q.clock_us - *q.last_success_us > days_7)
        return "the last good round is more than 7 days ago";
    if ((q.last_success_us && q.clock_us < *q.last_success_us) || (q.last_now && q.now < *q.last_now))
        return "time or ids went backwards since the last round";
    if (q.retiring > std::max(3, q.of / 10))
        return std::to_string(q.retiring) + " of " + std::to_string(q.of) + " " + q.what +
               " at once is unusually many";
    return {};
}

} // namespace dbopt::core
