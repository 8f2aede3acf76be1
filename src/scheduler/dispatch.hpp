// The database worker's hands: starts runs, collects their reports, keeps their rows true.
#pragma once
#include "scheduler/jobs.hpp"
#include "scheduler/slots.hpp"

namespace dbopt::scheduler {

// A run that could start now: a row of the queue, or a job that is due (its row is written then).
struct candidate {
    run_order order;
    std::string area;
    int priority = 0;
    TimestampTz due = 0;
    Oid object = InvalidOid; // what it locks: one run of an object at a time
    bool is_short = false; // may go to the reserved worker
    scheduled_job *job = nullptr;
};

// What a queued run locks: an index's table, the parent of a partition that comes or goes, or the
// object itself. Runs of one object go one after the other: two CONCURRENTLY commands on one table
// wait for each other's snapshots until one of them dies of it, and VACUUM waits in line behind both.
inline constexpr const char *lock_key =
    "coalesce((SELECT i.indrelid FROM pg_catalog.pg_index i WHERE i.indexrelid = r.object),"
    " (SELECT h.inhparent FROM pg_catalog.pg_inherits h WHERE r.area = 'partition'"
    " AND h.inhrelid = r.object LIMIT 1), r.object)";

class dispatcher {
  public:
    explicit dispatcher(job_board &jobs) : jobs_(jobs) {}
    // Once at the start: rows that say 'running' and do not run were interrupted.
    void recover(TimestampTz now);
    void collect(TimestampTz now);
    // Starts what is due as far as there are slots. Returns when to look again.
    TimestampTz start_due(TimestampTz now);
    void queue_changed() { read_queue_ = true; }
    void prune_history();

  private:
    struct launch {
        int slot;
        bool to_waiting; // the reserved worker waits for it already
        candidate what;
    };
    void read_queued(TimestampTz now);
    bool is_busy(Oid object) const;
    std::vector<launch> choose(TimestampTz now);
    std::optional<launch> find_place(const candidate &c, TimestampTz now);
    std::optional<launch> place_short(const candidate &c, TimestampTz now);
    bool refuse(const candidate &c, TimestampTz now);
    bool write_row(launch &l, TimestampTz now);
    bool start(const launch &l);
    void not_started(const std::vector<launch> &failed, TimestampTz now);
    void finish_all(std::span<const run_report> reports, TimestampTz now);
    void finish_alone(const run_report &r, TimestampTz now);
    void finish(const run_report &r, TimestampTz now);
    void finish_job(const run_report &r, std::string_view status, TimestampTz now);
    void record(const run_report &r, std::string_view status, const std::string &message);
    void retry_queued(int64_t run_id, std::string_view sqlstate, bool interrupted);
    void queue_cleanup(int64_t run_id);

    job_board &jobs_;
    std::vector<candidate> queued_;
    std::map<int64_t, int64_t> busy_; // run that runs → object
    bool read_queue_ = true;
    bool short_waits_ = false;
    bool reserved_given_ = false; // in this round
    TimestampTz next_queued_ = 0; // earliest not_before of a row that waits, 0: none
    TimestampTz exhausted_until_ = 0;
    int exhausted_tries_ = 0;
    int64_t finished_since_prune_ = 0;
    TimestampTz pruned_ = 0;
};

} // namespace dbopt::scheduler
