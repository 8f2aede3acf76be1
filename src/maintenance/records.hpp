// Inside the maintenance room: the rows of dbopt._maintenance_run, written as the superuser whoever calls.
#pragma once
#include "maintenance/maintenance.hpp"
#include "pg/queue.hpp"

namespace dbopt::maintenance {

// `skip` empty: about to be queued; otherwise the end of the story. Returns the row's id.
int64_t record(const task &t, const std::string &skip);
void note_run(int64_t id, int64_t run_id);
// Relations are found by name: REINDEX CONCURRENTLY gives an index a new OID.
void finish(int64_t id, std::string_view status, std::string_view message, int64_t dead_after = -1);
// Removes the leftovers of a REINDEX that failed.
void clean_up(int64_t id);
// Runs whose CALL was cancelled, or that a crash or a failover interrupted: concludes and repairs.
void conclude_earlier();
// Rows older than dbopt.maintenance_keep go, but for those whose leftovers are still to be removed.
void forget_old();

// Whether another CALL has a run on this table queued or running.
bool table_in_use(Oid table);
// VACUUM and ANALYZE that skip a locked relation end as done: whether this one really visited it.
bool visited(const task &t, int64_t run_id);
// Whether autovacuum waits for a lock of this process. It waits only to prevent wraparound.
bool holds_up_autovacuum(pid_t pid);
// The job that calls has a window: when it closes, as pg::clock().us. Otherwise nothing.
std::optional<int64_t> window_end();

} // namespace dbopt::maintenance
