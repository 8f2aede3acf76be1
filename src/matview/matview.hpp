// Materialized views: refreshed at the cost of what changed, dependencies first.
//
// A refresh takes SHARE UPDATE EXCLUSIVE on the matview (two never overlap, readers are not touched),
// ACCESS SHARE on what it reads, and only then its snapshot. mode auto chooses, in this order:
// skip (nothing changed), incremental, concurrent, full. Locks that block readers are never queued
// for: they are tried until dbopt.matview_lock_wait is over.
#pragma once
#include "pg/value.hpp"

namespace dbopt::matview {

struct manage_options {
    Oid matview = InvalidOid;
    std::optional<pg::interval> every, max_staleness;
    std::optional<std::string> mode;
};
struct manage_row {
    std::string action, status, detail;
};
std::vector<manage_row> manage(const manage_options &options);
void unmanage(Oid matview);

// One row of matview_refresh; status done, skipped, planned or failed.
struct outcome {
    Oid matview = InvalidOid;
    std::string mode, status;
    std::optional<int64_t> rows_changed;
    double duration_ms = 0;
    std::string reason;
    std::optional<int64_t> changes = std::nullopt;
};

// Raises 22023 for a mode that there is not.
void require_mode(const std::string &mode);
// In the caller's transaction; a failure is a row, its work is rolled back.
outcome refresh(Oid matview, const std::string &mode);
std::vector<outcome> refresh_all(const std::string &mode, bool dry_run);
// The same by workers, each matview in a transaction of its own, in parallel where the order allows it
// (pg/handoff.hpp). Where that is impossible: in the transaction of the caller, who is told what it costs.
std::vector<outcome> refresh_all_by_workers(const std::string &mode);
// What a worker gives back to it.
void keep(const outcome &o);

struct finding {
    std::string aspect, verdict, detail;
    std::optional<std::string> fix;
};
std::vector<finding> explain(Oid matview);
int64_t verify(Oid matview);
// Captured changes the last refresh has not seen; nothing when the matview has no capture.
std::optional<int64_t> pending(Oid matview);

// One round of the database worker: refreshes what is due, prunes logs and history. Runs its own
// short transactions.
void background();
void define_settings();

} // namespace dbopt::matview
