// Carrying out tasks: a few at a time, each in a worker, each with a row in dbopt._maintenance_run.
//
// One task per table at a time, one REINDEX at a time. What meets a lock is put back and tried again
// later; nothing waits in a lock queue for longer than dbopt.maintenance_lock_timeout.
#include "bloat/bloat.hpp"
#include "maintenance/records.hpp"
#include "pg/index_pages.hpp"
#include "pg/query.hpp"
#include "pg/relation.hpp"
#include "pg/run_leash.hpp"
#include "pg/security.hpp"
#include "pg/transaction.hpp"
#include <deque>

namespace dbopt::maintenance {

namespace {

constexpr int most_attempts = 4;
constexpr int64_t attempt_pause_us = 1000 * 1000;

struct waiting {
    task what;
    int attempts = 0;
    int64_t not_before = 0; // microseconds
};

struct flight {
    waiting order;
    Oid table;
    int64_t id = 0;     // of dbopt._maintenance_run
    int64_t run_id = 0; // of dbopt.run
    int64_t began = 0;  // microseconds
    bool yielded = false;
};

// Why a REINDEX CONCURRENTLY should not start now: it would wait for every older transaction.
std::string old_transaction() {
    return pg::scalar<std::string>(
               "SELECT pg_catalog.format('would wait for %s %s (since %s)', h.kind, h.holder,"
               " h.since::timestamptz(0)) FROM dbopt.xmin_holders h"
               " WHERE h.kind IN ('backend', 'prepared transaction')"
               " AND h.database = pg_catalog.current_database()"
               " AND (h.age >= $1 * interval '1 second' OR h.kind = 'prepared transaction')"
               " ORDER BY h.age DESC LIMIT 1",
               {config.old_transaction_s})
        .value_or("");
}

// Why this task is not carried out at all; empty when nothing speaks against it.
std::string obstacle(const task &t) {
    if (!pg::find_relation(t.relation))
        return "dropped meanwhile";
    if (!t.blocker.empty())
        return t.blocker;
    if (!pg::may_maintain(pg::table_of(t.relation)))
        return "role " + pg::role_name(pg::caller()) + " may not maintain it";
    if (t.action != "analyze" && !pg::workers_available())
        return "needs a worker: add dbopt to shared_preload_libraries";
    return t.action == "reindex" ? old_transaction() : "";
}

// Why not now, though perhaps in a moment. Whoever holds the table (autovacuum, a build, DDL) goes on
// undisturbed: the lock is only asked for, never waited for.
std::string busy(const task &t) {
    const Oid table = pg::table_of(t.relation);
    if (table_in_use(table))
        return "another maintenance_run is at work on the table";
    if (!pg::try_lock(table, ShareUpdateExclusiveLock))
        return "the table is being vacuumed, analysed, indexed or altered by another session";
    pg::unlock(table, ShareUpdateExclusiveLock);
    return "";
}

// VACUUM and ANALYZE go slowly and do not wait for locks. CONCURRENTLY has to wait for the
// transactions of others, in the middle of its work: a lock_timeout would only manufacture leftovers. An index
// build knows no cost-based delay; it is kept to one process, one index at a time, with a rest after each.
std::vector<std::string> settings_for(const task &t) {
    if (t.action == "reindex")
        return {"lock_timeout=0",
                "max_parallel_maintenance_workers=" + std::to_string(config.reindex_parallel)};
    return {"lock_timeout=" + std::to_string(config.lock_timeout_ms),
            "vacuum_cost_delay=" + std::to_string(config.cost_delay_ms)};
}

int64_t dead_bytes(const task &t) {
    int64_t dead = -1;
    if (t.action == "vacuum" && t.dead_bytes >= 0)
        (void)pg::subtransaction([&] {
            const bloat::table_result m = bloat::measure_table(t.relation, {});
            if (m.heap.skipped.empty())
                dead = static_cast<int64_t>(m.heap.dead.bytes + m.toast.dead.bytes);
        });
    return dead;
}

class crew {
  public:
    crew(std::vector<task> tasks, int64_t end) : end_(end) {
        for (task &t : tasks)
            waiting_.push_back({std::move(t)});
    }
    crew(const crew &) = delete;
    crew &operator=(const crew &) = delete;

    void work() {
        int64_t pause = 5;
        while (!waiting_.empty() || !flights_.empty()) {
            const bool moved = collect() | launch();
            pause = moved ? 5 : std::min<int64_t>(2 * pause, 200);
            pg::commit_and_restart();
            if (!moved)
                pg::nap(pause);
        }
    }

  private:
    bool free_for(const task &t) const {
        const Oid table = pg::table_of(t.relation);
        for (const flight &f : flights_)
            if (f.table == table || (t.action == "reindex" && f.order.what.action == "reindex"))
                return false;
        return true;
    }

    bool launch() {
        const int64_t now = pg::clock().us;
        if (now >= end_)
            return give_up();
        if (flights_.size() >= static_cast<size_t>(config.workers))
            return false;
        for (auto at = waiting_.begin(); at != waiting_.end(); ++at) {
            if (at->not_before > now || !free_for(at->what) ||
                (at->what.action == "reindex" && rest_until_ > now))
                continue;
            waiting next = std::move(*at);
            waiting_.erase(at);
            start(std::move(next));
            return true;
        }
        return false;
    }

    bool give_up() {
        const bool any = !waiting_.empty();
        for (const waiting &w : waiting_)
            record(w.what, "no time left (max_duration, or the window of the job closes)");
        waiting_.clear();
        return any;
    }

    void start(waiting w) {
        const task &t = w.what;
        std::string skip = obstacle(t);
        if (skip.empty())
            if (std::string why = busy(t); !why.empty()) {
                if (++w.attempts < most_attempts) {
                    put_back(std::move(w));
                    return;
                }
                skip = std::move(why);
            }
        const int64_t id = record(t, skip);
        if (!skip.empty())
            return;
        if (!pg::workers_available()) { // ANALYZE alone may run here
            const auto failure = pg::subtransaction([&] { pg::execute(t.command); });
            finish(id, failure ? "failed" : "done", failure ? failure->message() : "");
            return;
        }
        pg::queued_run order{.area = "maintenance", .command = t.command, .object = t.relation};
        order.max_runtime =
            pg::interval{.us = std::max<int64_t>(1000 * 1000, end_ - pg::clock().us)};
        order.settings = settings_for(t);
        if (t.action == "reindex")
            order.cleanup = "SELECT dbopt._maintenance_cleanup(" + std::to_string(id) + ")";
        flight f{std::move(w), pg::table_of(t.relation), id, pg::enqueue(order), pg::clock().us};
        note_run(f.id, f.run_id);
        leash_.hold(f.run_id);
        flights_.push_back(std::move(f));
    }

    void put_back(waiting w) {
        w.not_before = pg::clock().us + attempt_pause_us * w.attempts;
        waiting_.push_back(std::move(w));
    }

    bool collect() {
        bool moved = false;
        const bool look = pg::clock().us >= next_look_;
        if (look)
            next_look_ = pg::clock().us + 500 * 1000;
        for (size_t i = 0; i < flights_.size();) {
            flight &f = flights_[i];
            const auto state = pg::find_run(f.run_id);
            if (state && !state->over()) {
                // Wraparound comes first: autovacuum does not have to wait until we are through.
                if (look && !f.yielded && holds_up_autovacuum(pg::process_of_run(f.run_id)))
                    f.yielded = pg::cancel_run(f.run_id);
                if (pg::clock().us < end_ + 30 * 1000 * 1000) {
                    ++i;
                    continue;
                } // else paused, or no free worker: the next call concludes it
            } else {
                conclude(f, state);
            }
            leash_.release(flights_[i].run_id);
            flights_.erase(flights_.begin() + static_cast<std::ptrdiff_t>(i));
            moved = true;
        }
        return moved;
    }

    void conclude(flight &f, const std::optional<pg::run_state> &state) {
        const task &t = f.order.what;
        std::string status = state ? state->status : "interrupted";
        std::string message = state ? state->message : "";
        bool locked = state && state->sqlstate == "55P03" && t.action != "reindex";
        if (status == "done" && !visited(t, f.run_id)) {
            locked = true;
            status = "skipped";
            message = "the table was locked by another session";
        }
        if (f.yielded)
            message = "stopped: autovacuum to prevent wraparound waited for the table";
        if (locked && ++f.order.attempts < most_attempts)
            message += "; will be tried again";
        if (t.action == "reindex") {
            const int64_t now = pg::clock().us;
            rest_until_ = now + (now - f.began) * config.reindex_rest_pct / 100;
        }
        finish(f.id, status, message, status == "done" ? dead_bytes(t) : -1);
        if (locked && f.order.attempts < most_attempts) {
            put_back(std::move(f.order));
            return;
        }
        if (t.action == "reindex" && status != "done") {
            pg::commit_and_restart();
            clean_up(f.id);
        }
    }

    std::deque<waiting> waiting_;
    std::vector<flight> flights_;
    int64_t end_, next_look_ = 0, rest_until_ = 0;
    // The CALL is cancelled or its session ends: what it has started stops. The next CALL concludes and repairs.
    pg::run_leash leash_;
};

void check_actions(const std::vector<std::string> &actions) {
    for (const std::string &a : actions)
        if (a != "vacuum" && a != "analyze" && a != "reindex" && a != "cleanup")
            pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
                       .message = "action \"" + a + "\" is not known",
                       .hint = "Use vacuum, analyze, reindex or cleanup."});
}

std::vector<task> tasks_for(const run_options &o) {
    if (!o.relations.empty() && !o.actions.empty())
        return chosen(o.actions, o.relations);
    std::vector<task> tasks = plan();
    auto unwanted = [&](const task &t) {
        const bool action = o.actions.empty() ? t.action != "advise" && t.action != "cleanup"
                                              : std::find(o.actions.begin(), o.actions.end(), t.action) !=
                                                    o.actions.end();
        const bool relation = o.relations.empty() ||
            std::find(o.relations.begin(), o.relations.end(), t.relation) != o.relations.end() ||
            std::find(o.relations.begin(), o.relations.end(), pg::table_of(t.relation)) != o.relations.end();
        return !action || !relation || t.action == "cleanup"; // clean-up is done beforehand
    };
    std::erase_if(tasks, unwanted);
    return tasks;
}

} // namespace

void run(const pg::arguments &args, const run_options &o) {
    check_actions(o.actions);
    if (o.dry_run) {
        for (const task &t : tasks_for(o))
            pg::notice(t.command, t.reason + (t.blocker.empty() ? "" : "; blocked: " + t.blocker));
        return;
    }
    pg::require_toplevel_call(args, "dbopt.maintenance_run");
    int64_t end = pg::clock().us + o.max_ms * 1000;
    pg::commit_and_restart();
    if (const auto closes = window_end())
        end = std::min(end, *closes);
    conclude_earlier();
    forget_old();
    pg::commit_and_restart();
    std::vector<task> tasks = tasks_for(o);
    pg::commit_and_restart();
    crew(std::move(tasks), end).work();
}

} // namespace dbopt::maintenance
