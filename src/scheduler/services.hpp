// The rooms' background rounds: what the rooms process of each database calls, and how often.
#pragma once
#include <span>

namespace dbopt::scheduler {

struct service {
    const char *area;   // as in dbopt.pause(area)
    double period_s;    // from the end of one round to the start of the next
    void (*round)();    // manages its own short transactions
};
std::span<const service> services();

} // namespace dbopt::scheduler
