// Inside the maintenance room: tasks that are measured before they are planned.
#pragma once
#include "maintenance/maintenance.hpp"

namespace dbopt::maintenance {

// Statistics may be wrong; a sample of the table is not. False when there is nothing to remove.
bool confirm_dead(task &t);
// Indexes `of` these relations (none: all), leaves of partitioned ones included; largest first, as long as the time
// allows. Not `needed_only`: whatever the gain.
void add_reindexes(std::vector<task> &tasks, const std::vector<Oid> &of, bool needed_only, int64_t measure_ms);

} // namespace dbopt::maintenance
