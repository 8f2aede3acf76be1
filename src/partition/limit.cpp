#include "partition/maintain.hpp"
#include "pg/query.hpp"
#include <algorithm>

namespace dbopt::partition {

void limit_creations(std::vector<task> &tasks) {
    std::vector<task *> wanted;
    for (task &t : tasks)
        if (t.kind == task::create)
            wanted.push_back(&t);
    constexpr size_t always = 1000, locks_of_one = 8;
    if (wanted.size() <= always)
        return;
    const int64_t locks = pg::scalar<int64_t>(
        "SELECT current_setting('max_locks_per_transaction')::bigint * (current_setting('max_connections')::bigint + "
        "current_setting('max_worker_processes')::bigint + current_setting('max_prepared_transactions')::bigint)").value_or(0);
    const size_t most = std::max<size_t>(always, static_cast<size_t>(locks) / 4 / locks_of_one);
    if (wanted.size() <= most)
        return;
    std::stable_sort(wanted.begin(), wanted.end(), [](const task *a, const task *b) {
        const bool late_a = a->range.upper > a->set->now, late_b = b->range.upper > b->set->now;
        return late_a != late_b ? late_a : late_a ? a->range < b->range : b->range < a->range;
    });
    for (size_t i = most; i < wanted.size(); ++i) {
        wanted[i]->finished = true;
        wanted[i]->row.status = "queued";
        wanted[i]->row.detail = "more than " + std::to_string(most) + " at once would take too many locks: the next rounds make it";
    }
}

} // namespace dbopt::partition
