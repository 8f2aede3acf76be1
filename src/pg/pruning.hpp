// What the planner left of the partitioned tables of a query.
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

struct planned_relations {
    std::vector<Oid> relations; // parents and the partitions that were not pruned while planning
    bool prunes_later = false;  // some Append can still drop partitions when it is executed
};
// Plans one SELECT, INSERT, UPDATE, DELETE or MERGE as the caller would; does not run it.
planned_relations plan_relations(const std::string &sql);

} // namespace dbopt::pg
