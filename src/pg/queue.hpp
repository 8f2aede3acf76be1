// Work that must run at top level, or after COMMIT, or beside the caller: queued as a row of
// dbopt.run, carried out by a worker that connects as `run_as`.
//
//   const int64_t run_id = pg::enqueue({.area = "maintenance", .command = "VACUUM public.t"});
//
// The row belongs to the current transaction: ROLLBACK takes it away, COMMIT wakes the database
// worker. States: queued, running, done, failed, cancelled, interrupted. The caller of enqueue has
// checked that its own caller may do this.
#pragma once
#include "pg/value.hpp"

namespace dbopt::pg {

struct queued_run {
    std::string area = "jobs";    // pauses of this area hold it back
    std::string command;          // one statement; VACUUM, CONCURRENTLY and CALL included
    Oid object = InvalidOid;      // relation it is about: one run of an object at a time
    Oid run_as = InvalidOid;      // default: the current user
    int priority = 0;             // higher runs first
    std::optional<interval> max_runtime = {};
    std::string cleanup = {};     // run at top level if the command fails or the server crashes
    double delay_seconds = 0;     // not before so long after now
    std::string retry_class = {}; // empty: failures are not retried
    bool wants_rows = false;      // somebody waits for what keep_rows() of handoff.hpp gives
    std::vector<std::string> settings = {}; // "name=value", in force while the command runs
    std::string waiter = {};      // virtual transaction whose end withdraws the run while it is queued
};
int64_t enqueue(const queued_run &r);

// In a job worker: the run that is being carried out; 0 elsewhere.
int64_t current_run();
void set_current_run(int64_t run_id);

struct run_state {
    std::string status;           // queued, running, done, failed, cancelled, interrupted
    std::string sqlstate;         // of a failure
    std::string message;
    int64_t rows = 0;
    Oid run_as = InvalidOid;
    bool over() const { return status != "queued" && status != "running"; }
};
// Nothing when there is no such run (any more). Reads as superuser: check the right to know first.
std::optional<run_state> find_run(int64_t run_id);
// True while a run of this area and object is queued or running.
bool run_pending(std::string_view area, Oid object);
// True when a database worker serves this database now: queued work will be done.
bool workers_available();
// True when queued work of this area rests: its room is paused, or the database is a copy that nobody
// has confirmed. Waiting for a run would then last until somebody resumes it.
bool area_paused(std::string_view area);
// Whether a worker can connect to this database as that role (NOLOGIN roles: from 17 on). Commands on
// tables of others belong into such a worker: a superuser's would fold the owners' expressions.
bool can_run_as(Oid role);
// Waits in a procedure (see require_toplevel_call): commits first, then polls without lock and
// snapshot. milliseconds < 0: for ever. The result is the state at the end of the wait.
std::optional<run_state> wait_for_run(int64_t run_id, int64_t milliseconds);

// Sleeps between two transactions (call commit_and_restart() before), and serves interrupts.
void nap(int64_t milliseconds);
// The process that carries out a run now, 0 when there is none.
pid_t process_of_run(int64_t run_id);
// Asks the process of a run of this database to stop; the run ends as `cancelled`. False when it was not running.
// Shared memory only: works in any state of a transaction.
bool cancel_run(int64_t run_id) noexcept;

} // namespace dbopt::pg
