#include "scheduler/dispatch.hpp"
#include "pg/query.hpp"
#include "pg/transaction.hpp"
#include "scheduler/attach.hpp"
#include "scheduler/scheduler.hpp"

namespace dbopt::scheduler {

constexpr TimestampTz second = 1000 * 1000;

// ---- starting ----

void dispatcher::read_queued(TimestampTz now) {
    queued_.clear();
    next_queued_ = 0;
    for (const pg::row &r : pg::query(
             "SELECT run_id, run_as::oid, area, priority, scheduled_at,"
             " coalesce(extract(epoch FROM max_runtime) * 1000, 0)::bigint, not_before"
             " FROM dbopt.run WHERE status = 'queued'"
             " AND area NOT IN (SELECT p.area FROM dbopt.paused_area p)"
             " ORDER BY priority DESC, run_id LIMIT 500")) {
        const TimestampTz not_before = r.get_or<pg::timestamptz>(6, {0}).us;
        if (not_before > now) {
            if (next_queued_ == 0 || not_before < next_queued_)
                next_queued_ = not_before;
            continue;
        }
        candidate c;
        c.order = {r.get<int64_t>(0), 0, r.get<Oid>(1), r.get<int64_t>(5)};
        c.area = r.get<std::string>(2);
        c.priority = r.get<int32_t>(3);
        c.due = r.get<pg::timestamptz>(4).us;
        queued_.push_back(std::move(c));
    }
    read_queue_ = false;
}

// A slot of its own; or for a short job the reserved worker, which is made or replaced as needed.
std::optional<dispatcher::launch> dispatcher::find_place(const candidate &c, TimestampTz) {
    const int slot = take_slot(c.order, false);
    if (slot < 0)
        return std::nullopt;
    return launch{slot, false, c};
}

// True when the row is ours to run: a cancelled or removed one is not.
bool dispatcher::write_row(candidate &c) {
    const TimestampTz boot = pg::crew::shared()->boot;
    return pg::execute("UPDATE dbopt.run SET status = 'running', started_at = clock_timestamp(),"
                       " boot = $2 WHERE run_id = $1 AND status = 'queued'",
                       {c.order.run_id, pg::timestamptz{boot}}) == 1;
}

bool dispatcher::start(const launch &l) {
    if (l.to_waiting)
        return give_to_reserved(l.slot, l.what.order);
    if (start_slot_worker(l.slot))
        return true;
    free_slot(l.slot);
    return false;
}

TimestampTz dispatcher::start_due(TimestampTz now) {
    const TimestampTz far = now + 60 * second;
    if (exhausted_until_ > now)
        return exhausted_until_;
    if (next_queued_ != 0 && next_queued_ <= now)
        read_queue_ = true;
    std::vector<launch> launches;
    if (read_queue_ || !queued_.empty()) {
        try {
            pg::transaction t;
            if (read_queue_)
                read_queued(now);
            std::stable_sort(queued_.begin(), queued_.end(), [](const candidate &a, const candidate &b) {
                return a.priority != b.priority ? a.priority > b.priority : a.due < b.due;
            });
            std::vector<candidate> wait;
            for (candidate &c : queued_) {
                std::optional<launch> l = find_place(c, now);
                if (!l) {
                    wait.push_back(std::move(c));
                    continue;
                }
                launches.push_back(std::move(*l));
                if (!write_row(launches.back().what)) {
                    free_slot(launches.back().slot);
                    launches.pop_back();
                }
            }
            queued_ = std::move(wait);
            t.commit();
        } catch (...) {
            for (const launch &l : launches)
                if (!l.to_waiting)
                    free_slot(l.slot);
            read_queue_ = true;
            throw;
        }
    }
    std::vector<launch> failed;
    for (launch &l : launches)
        if (!start(l))
            failed.push_back(std::move(l));
    if (!failed.empty())
        not_started(failed, now);
    else if (!launches.empty())
        exhausted_tries_ = 0;
    TimestampTz next = far;
    if (next_queued_ != 0)
        next = std::min(next, next_queued_);
    if (exhausted_until_ > now)
        next = std::min(next, exhausted_until_);
    return next;
}

// max_worker_processes is exhausted: the rows go back to the queue, the pause grows.
void dispatcher::not_started(const std::vector<launch> &failed, TimestampTz now) {
    {
        pg::transaction t;
        for (const launch &l : failed)
            (void)pg::execute("UPDATE dbopt.run SET status = 'queued', started_at = NULL"
                              " WHERE run_id = $1 AND status = 'running'",
                              {l.what.order.run_id});
        t.commit();
    }
    read_queue_ = true;
    exhausted_tries_ = std::min(exhausted_tries_ + 1, 5);
    exhausted_until_ = now + (second / 2 << exhausted_tries_);
    if (exhausted_tries_ == 1)
        pg::warning("dbopt: no worker could be started, max_worker_processes is exhausted",
                    "Runs stay queued and are tried again.", "Raise max_worker_processes and restart.");
    pg::lock_guard hold(pg::crew::lock(), LW_EXCLUSIVE);
    if (pg::crew::database_entry *e = pg::crew::find(MyDatabaseId)) {
        e->exhausted = now;
        ++e->exhausted_count;
    }
}

// ---- ending ----

void dispatcher::collect(TimestampTz now) {
    bury_the_dead(now);
    const std::vector<run_report> reports = finished_runs();
    if (reports.empty())
        return;
    // All in one transaction; if one of them cannot be recorded it must not hold up the others.
    bool together = true;
    try {
        finish_all(reports, now);
    } catch (const pg::error &e) {
        if (e.cancels() || !extension_exists_now())
            throw;
        together = false;
    }
    for (const run_report &r : reports) {
        if (!together)
            finish_alone(r, now);
        collected(r);
    }
}

void dispatcher::finish_all(std::span<const run_report> reports, TimestampTz now) {
    pg::transaction t;
    for (const run_report &r : reports)
        finish(r, now);
    t.commit();
}

void dispatcher::finish_alone(const run_report &r, TimestampTz now) {
    std::string problem;
    try {
        finish_all({&r, 1}, now);
    } catch (const pg::error &e) {
        if (e.cancels())
            throw;
        problem = e.sqlstate() + ": " + e.message();
    }
    if (!problem.empty())
        pg::warning("dbopt: the end of run " + std::to_string(r.run_id) +
                    " could not be recorded: " + problem);
}

bool dispatcher::extension_exists_now() {
    pg::transaction t;
    const bool exists = extension_exists();
    t.commit();
    return exists;
}

void dispatcher::finish(const run_report &r, TimestampTz) {
    if (!r.failed) {
        record(r, "done", "");
    } else if (!r.reported) {
        record(r, "interrupted",
               "the worker ended before the run did: it was terminated, or its role could not connect");
        queue_cleanup(r.run_id);
    } else if (r.cancelled && r.sqlstate == "57014") {
        record(r, "cancelled", r.message);
    } else if (r.sqlstate == "57014") {
        record(r, "failed", "cancelled after max_runtime, or by a user");
    } else {
        record(r, "failed", r.message);
    }
}

void dispatcher::record(const run_report &r, std::string_view status, const std::string &message) {
    const auto text = [](const std::string &s) { return s.empty() ? pg::value() : pg::value(s); };
    (void)pg::execute(
        "UPDATE dbopt.run SET status = $2, started_at = $3, finished_at = $4, rows = $5::bigint, tag = $6,"
        " sqlstate = $7, message = $8, detail = $9, hint = $10 WHERE run_id = $1",
        {r.run_id, status, pg::timestamptz{r.started}, pg::timestamptz{r.finished},
         r.failed ? pg::value() : pg::value(r.rows), text(r.tag), text(r.sqlstate), text(message),
         text(r.detail), text(r.hint)});
}

// What the run would have cleaned up after itself is done by a run of its own.
void dispatcher::queue_cleanup(int64_t run_id) {
    const int64_t n = pg::execute(
        "INSERT INTO dbopt.run (area, command, object, run_as, priority)"
        " SELECT area, cleanup, object, run_as, priority FROM dbopt.run"
        " WHERE run_id = $1 AND cleanup IS NOT NULL",
        {run_id});
    if (n > 0)
        read_queue_ = true;
}

void dispatcher::recover() {
    std::string here = "{";
    for (int64_t id : runs_in_slots())
        here += (here.size() > 1 ? "," : "") + std::to_string(id);
    here += "}";
    pg::transaction t;
    const pg::result r = pg::query(
        "UPDATE dbopt.run SET status = 'interrupted', finished_at = clock_timestamp(),"
        " message = 'the server stopped or crashed before the run ended'"
        " WHERE status = 'running' AND (boot IS DISTINCT FROM $1 OR run_id <> ALL ($2::bigint[]))"
        " RETURNING run_id",
        {pg::timestamptz{pg::crew::shared()->boot}, here});
    for (const pg::row &row : r)
        queue_cleanup(row.get<int64_t>(0));
    t.commit();
}

} // namespace dbopt::scheduler
