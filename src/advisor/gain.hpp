// What an existing index is worth to the observed workload: planned with it and without it.
#pragma once
#include "pg/entry.hpp"

namespace dbopt::advisor {

struct workload_gain {
    int statements = 0; // observed statements that read the index's table
    double cost_without = 0, cost_with = 0; // weighted by calls
    std::vector<int64_t> gaining; // query_ids of those that are cheaper with it
};
workload_gain gain_of_index(Oid index);

} // namespace dbopt::advisor
