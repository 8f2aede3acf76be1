// Sizes without a look at every file of the database: half of a report's or an exposition's time with
// many tables. A snapshot has just looked, so its sizes are taken where it is young; tables that came
// since are measured one by one.
#pragma once
#include "monitor/history.hpp"
#include "pg/inventory.hpp"

namespace dbopt::monitor {

struct young_sizes {
    std::optional<pg::timestamptz> as_of = {}; // nothing: measured now
    frame now = {};                            // its objects
    int64_t database_bytes = 0;
};
// From a snapshot of the last two intervals (ten minutes at least), else measured.
young_sizes read_young_sizes();

struct sized_table {
    const pg::stored_relation *table = nullptr;
    const core::history_values *values = nullptr;
    int64_t indexes = 0;
    int64_t total() const { return (*values)[object_bytes] + (*values)[object_toast] + indexes; }
};
// Users' tables and materialized views with their indexes, in no order.
std::vector<sized_table> sized_tables(const young_sizes &sizes, const pg::inventory &all);

// The first `most` in the order of `before`.
template <class T, class F> void keep_first(std::vector<T> &all, size_t most, F &&before) {
    const auto middle = all.begin() + static_cast<std::ptrdiff_t>(std::min(most, all.size()));
    std::partial_sort(all.begin(), middle, all.end(), before);
    all.erase(middle, all.end());
}

} // namespace dbopt::monitor
