// A job worker: connects as the run's role, runs the command at top level, and leaves the outcome
// in its slot; the database worker writes the history, because the role may not. A reserved worker
// stays and serves one short job after the other, with DISCARD ALL between them.
#include "pg/clip.hpp"
#include "pg/crew.hpp"
#include "pg/query.hpp"
#include "pg/queue.hpp"
#include "pg/security.hpp"
#include "pg/toplevel.hpp"
#include "pg/transaction.hpp"
#include "pg/worker.hpp"
#include "scheduler/scheduler.hpp"
#include "scheduler/slots.hpp"

namespace dbopt::scheduler {

namespace {

using pg::crew::run_slot;
using pg::crew::slot_state;
constexpr int64_t idle_limit_ms = 60 * 1000;
// After it a reserved worker gives way to a new one, which sees what ALTER ROLE … SET, REVOKE CONNECT … changed.
constexpr TimestampTz longest_life = 300 * INT64CONST(1000000);

run_slot &slot_of(int index) { return pg::crew::shared()->slots[index]; }

void wake_database_worker() {
    pid_t pid = 0;
    {
        pg::lock_guard hold(pg::crew::lock(), LW_SHARED);
        if (const pg::crew::database_entry *e = pg::crew::find(MyDatabaseId))
            pid = e->pid;
    }
    pg::crew::wake(pid);
}

struct order {
    int64_t run_id = 0;
    int64_t max_runtime_ms = 0;
    bool of_job = true; // not work that a room queued
};

// The shorter one of the job's own limit and its role's statement_timeout; 0: none.
int64_t limit_of(const order &o) {
    const int64_t timeout = o.of_job ? pg::statement_timeout_ms() : 0;
    return timeout == 0 ? o.max_runtime_ms
           : o.max_runtime_ms == 0 ? timeout
                                   : std::min(timeout, o.max_runtime_ms);
}

struct text_of_run {
    std::string command, cleanup;
    std::vector<std::string> settings; // "name=value"
};

// The run's text lies in a table that the role may not read. A job is held to its role's and database's
// CONNECTION LIMIT, as the session would be that it stands for; what rooms queued is dbopt's own work.
text_of_run read_run(const order &o, const run_slot &slot) {
    const int64_t run_id = o.run_id;
    pg::transaction t;
    if (o.of_job)
        pg::require_connection_left(slot.role, workers_before(slot));
    text_of_run out;
    {
        pg::as_owner superuser(BOOTSTRAP_SUPERUSERID);
        const pg::result r =
            pg::query("SELECT command, cleanup, COALESCE(settings, '{}') FROM dbopt.run WHERE run_id = $1", {run_id});
        if (r.empty())
            pg::raise({.code = ERRCODE_UNDEFINED_OBJECT,
                       .message = "run " + std::to_string(run_id) + " is gone from the queue"});
        out = {r[0].get<std::string>(0), r[0].get_or<std::string>(1, ""),
               r[0].get<std::vector<std::string>>(2)};
    }
    t.commit();
    return out;
}

bool is_parked_locked() {
    const pg::crew::database_entry *e = pg::crew::find(MyDatabaseId);
    return e == nullptr || e->parked_by != 0;
}

class job_worker {
  public:
    explicit job_worker(int index) : slot_(slot_of(index)) {}

    void run() {
        for (;;) {
            const std::optional<order> o = next();
            if (!o)
                return;
            perform(*o);
            if (!slot_.reserved)
                return;
            (void)pg::run_toplevel("DISCARD ALL");
        }
    }

  private:
    // Waits for an order (a reserved worker) or takes the one it was started with.
    std::optional<order> next() {
        int64_t idle_ms = 0;
        for (;;) {
            {
                pg::lock_guard hold(pg::crew::lock(), LW_EXCLUSIVE);
                if (slot_.state == slot_state::assigned) {
                    slot_.state = slot_state::running;
                    slot_.started = GetCurrentTimestamp();
                    return order{slot_.run_id, slot_.max_runtime_ms, !slot_.queued};
                }
                const bool over = slot_.leave || is_parked_locked() || !slot_.reserved ||
                                  idle_ms >= idle_limit_ms || GetCurrentTimestamp() - born_ > longest_life;
                if (over && slot_.state == slot_state::ready) {
                    slot_.state = slot_state::free;
                    slot_.pid = 0;
                    return std::nullopt;
                }
                // Parked: nobody collects the last outcome before this process has left; its slot keeps it.
                if (!slot_.reserved || (slot_.state == slot_state::finished && is_parked_locked()))
                    return std::nullopt;
            }
            const int64_t step = std::min<int64_t>(idle_limit_ms - idle_ms + 1, 10 * 1000);
            if (!pg::wait_latch(step))
                idle_ms += step;
        }
    }

    void perform(const order &o) {
        pg::toplevel_outcome outcome;
        std::optional<pg::error> failure;
        std::string cleanup;
        try {
            text_of_run text = read_run(o, slot_);
            cleanup = std::move(text.cleanup);
            pg::set_current_run(o.run_id);
            pg::set_for_session(text.settings);
            outcome = pg::run_toplevel(text.command, limit_of(o));
        } catch (pg::error &e) {
            failure.emplace(std::move(e));
        }
        pg::set_current_run(0);
        if (failure && !cleanup.empty())
            clean_up(cleanup);
        report(outcome, failure);
        wake_database_worker();
    }

    static void clean_up(const std::string &sql) {
        std::string problem;
        try {
            (void)pg::run_toplevel(sql);
        } catch (const pg::error &e) {
            problem = e.message();
        }
        if (!problem.empty())
            pg::log("dbopt: clean-up after a failed run failed: " + problem, sql);
    }

    void report(const pg::toplevel_outcome &outcome, const std::optional<pg::error> &failure) {
        pg::lock_guard hold(pg::crew::lock(), LW_EXCLUSIVE);
        slot_.failed = failure.has_value();
        slot_.rows = outcome.rows;
        const auto put = [](auto &to, const char *text) { pg::copy_clipped(to, sizeof(to), text); };
        put(slot_.tag, outcome.tag.c_str());
        put(slot_.sqlstate, failure ? failure->sqlstate().c_str() : "");
        put(slot_.message, failure ? failure->message() : "");
        put(slot_.detail, failure ? failure->detail() : "");
        put(slot_.hint, failure ? failure->hint() : "");
        slot_.finished = GetCurrentTimestamp();
        slot_.reported = true;
        slot_.state = slot_state::finished;
    }

    run_slot &slot_;
    const TimestampTz born_ = GetCurrentTimestamp();
};

bool connected = false;

// Why the role could not connect is the run's outcome; whatever ends a process later interrupts its run.
void put_last_words(run_slot &s) {
    const pg::last_words &w = pg::words_of_fatal();
    if (connected || w.message[0] == '\0')
        return;
    strlcpy(s.sqlstate, w.sqlstate, sizeof s.sqlstate);
    pg::copy_clipped(s.message, sizeof s.message, w.message);
    s.tag[0] = s.detail[0] = s.hint[0] = '\0';
    s.reported = true;
}

// Whatever ends the process, the slot says so. Raises nothing.
void on_exit(int, Datum index) {
    run_slot &s = slot_of(DatumGetInt32(index));
    pid_t pid = 0;
    LWLockAcquire(pg::crew::lock(), LW_EXCLUSIVE);
    if (s.pid == MyProcPid) {
        if (s.state == slot_state::assigned || s.state == slot_state::running) {
            s.failed = true;
            s.reported = false;
            s.finished = GetCurrentTimestamp();
            put_last_words(s);
            s.state = slot_state::finished;
        } else if (s.state == slot_state::ready) {
            s.state = slot_state::free;
        }
        s.pid = 0;
        const pg::crew::database_entry *e = pg::crew::find(s.database);
        if (e != nullptr && e->state != pg::crew::presence::absent)
            pid = e->pid;
        else
            s.state = slot_state::free; // no database, no extension: nobody will collect it
    }
    LWLockRelease(pg::crew::lock());
    pg::crew::wake(pid);
}

} // namespace

static void job_main(int index) {
    run_slot &s = slot_of(index);
    Oid database, role;
    {
        pg::lock_guard hold(pg::crew::lock(), LW_EXCLUSIVE);
        if (s.state != slot_state::assigned || s.pid != 0)
            return;
        s.pid = MyProcPid;
        database = s.database;
        role = s.role;
    }
    pg::call([&] { before_shmem_exit(on_exit, Int32GetDatum(index)); });
    pg::keep_last_words();
    pg::connect_worker(database, role, true);
    connected = true;
    job_worker(index).run();
}

} // namespace dbopt::scheduler

extern "C" {
PGDLLEXPORT void dbopt_job_main(Datum argument);
}

void dbopt_job_main(Datum argument) {
    dbopt::pg::worker_body([&] { dbopt::scheduler::job_main(DatumGetInt32(argument)); });
}
