// The run slots of shared memory as the database worker and the job worker use them.
#pragma once
#include "pg/connection_limit.hpp"
#include "pg/crew.hpp"
#include "pg/error.hpp"

namespace dbopt::scheduler {

struct run_order {
    int64_t run_id = 0;
    int64_t job_id = 0;
    Oid role = InvalidOid;
    int64_t max_runtime_ms = 0;
    bool queued = false;
};

// What a finished run left in its slot.
struct run_report {
    int slot = -1;
    int64_t run_id = 0, job_id = 0;
    bool failed = false, reported = false, cancelled = false;
    std::string sqlstate, message, detail, hint, tag;
    int64_t rows = 0;
    TimestampTz started = 0, finished = 0;
};

// ---- job worker ----
// The job workers that were at work before this slot's.
pg::workers_beside workers_before(const pg::crew::run_slot &mine);

// ---- database worker ----
// A free slot for a worker of its own; -1 when dbopt.max_workers are busy. reserved: the one beyond.
// While jobs fill all slots one queued run goes beyond, too: the jobs may wait for it.
int take_slot(const run_order &order, bool reserved);
// The reserved worker of this database: its slot if it waits for work as `role`.
struct reserved_state {
    int slot = -1;
    bool ready = false;
    Oid role = InvalidOid;
    TimestampTz busy_since = 0;
};
reserved_state find_reserved();
bool give_to_reserved(int slot, const run_order &order);
void ask_reserved_to_leave(int slot);
// The reserved worker's run turned out long: it becomes an ordinary one and another may be reserved.
// False when too many were.
bool promote_reserved(int slot);
void set_run(int slot, int64_t run_id); // once its row is written
void free_slot(int slot);
std::vector<run_report> finished_runs();
void collected(const run_report &r); // after its report is committed
struct running {
    int64_t run_id, job_id;
};
std::vector<running> runs_in_slots();
bool start_slot_worker(int slot);    // false: max_worker_processes is exhausted
// Asks a run of this database to end; false when it has no slot. From any session.
bool cancel_run(int64_t run_id);
// The extension has gone: what still runs is ended, and is no run of the extension that may come after it.
void disown_runs();
// In the launcher: slots of databases that nobody serves any more and that no process holds become free.
void free_orphans();
// Slots whose process never came, or is gone without a word, become finished and unreported.
void bury_the_dead(TimestampTz now);

} // namespace dbopt::scheduler
