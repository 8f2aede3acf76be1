// The database worker's hands: starts runs, collects their reports, keeps their rows true.
#pragma once
#include "scheduler/slots.hpp"

namespace dbopt::scheduler {

// A run that could start now.
struct candidate {
    run_order order;
    std::string area, command;
    int priority = 0;
    TimestampTz due = 0;
    bool is_short = false; // may go to the reserved worker
    bool is_new = false;   // a job's: its row is still to be written
    int attempt = 1;
};

class dispatcher {
  public:
    // Once at the start: rows that say 'running' and do not run were interrupted.
    void recover();
    void collect(TimestampTz now);
    // Starts what is due as far as there are slots. Returns when to look again.
    TimestampTz start_due(TimestampTz now);
    void queue_changed() { read_queue_ = true; }

  private:
    struct launch {
        int slot;
        bool to_waiting; // the reserved worker waits for it already
        candidate what;
    };
    void read_queued(TimestampTz now);
    std::optional<launch> find_place(const candidate &c, TimestampTz now);
    bool write_row(candidate &c);
    bool start(const launch &l);
    void not_started(const std::vector<launch> &failed, TimestampTz now);
    void finish_all(std::span<const run_report> reports, TimestampTz now);
    void finish_alone(const run_report &r, TimestampTz now);
    static bool extension_exists_now();
    void finish(const run_report &r, TimestampTz now);
    void record(const run_report &r, std::string_view status, const std::string &message);
    void queue_cleanup(int64_t run_id);

    std::vector<candidate> queued_;
    bool read_queue_ = true;
    TimestampTz next_queued_ = 0; // earliest not_before of a row that waits, 0: none
    TimestampTz exhausted_until_ = 0;
    int exhausted_tries_ = 0;
};

} // namespace dbopt::scheduler
