// Work on many objects: each object in a short transaction of its own, in a worker, while the caller
// waits and gets the rows. (One transaction over a hundred partition sets kept its locks to the end.)
//
//   if (pg::handoff::obstacle("partition").empty()) {
//       pg::handoff work("partition");
//       work.add("SELECT …", object);
//       work.send();
//       while (auto r = work.next()) use(r->index, r->rows);
//   }
//
// The caller's transaction is open, and nothing it writes is seen before it ends: a helper process
// commits the runs into the queue. The caller must hold no lock that the workers need. A call that is
// cancelled takes its runs with it.
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

using text_rows = std::vector<std::vector<std::optional<std::string>>>;

class handoff {
  public:
    // Why the caller must do the work itself; empty: it can be handed over.
    static std::string obstacle(std::string_view area);

    explicit handoff(std::string area);
    ~handoff();
    handoff(const handoff &) = delete;
    handoff &operator=(const handoff &) = delete;
    // Returns the index by which next() names it. object: serialises runs (see queue.hpp); may be none.
    size_t add(std::string command, Oid object);
    // Queues what was added since, as the caller's role. False: no helper process could be started.
    bool send();

    struct result {
        size_t index = 0;
        // done, failed, cancelled, interrupted; skipped: given up waiting, or this session is in the worker's way
        std::string status, message;
        int64_t run_id = 0;
        text_rows rows; // what the run gave to keep_rows()
    };
    // Waits for the next one to end. Nothing: none is open.
    std::optional<result> next();
    // Cancels what runs; of use where the process ends.
    void stop_open() const noexcept;
    const handoff *outer() const { return outer_; }

  private:
    struct item {
        std::string command;
        Oid object = InvalidOid;
        int64_t run_id = 0;
    };
    void look();
    void give_up(const char *status, const char *why);
    bool in_the_way(int64_t run_id) const;

    std::string area_;
    handoff *outer_; // one that is open already in this session
    std::vector<item> items_;
    size_t sent_ = 0;
    std::vector<size_t> open_;
    std::vector<result> ended_;
    int64_t idle_since_ = 0, looked_for_locks_ = 0;
};

// In a run: adds rows for the session that handed it over. Nothing happens in other sessions.
void keep_rows(const text_rows &rows);
// True in a worker of ours or of pg_cron: nobody looks at what it does.
bool in_background();
// How many runs there may be at the same time.
int parallel_runs();

} // namespace dbopt::pg
