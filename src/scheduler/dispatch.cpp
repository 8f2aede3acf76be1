#include "scheduler/dispatch.hpp"
#include "core/retry.hpp"
#include "pg/query.hpp"
#include "pg/security.hpp"
#include "pg/system.hpp"
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
             " coalesce(extract(epoch FROM max_runtime) * 1000, 0)::bigint, not_before,"
             " CASE WHEN retry_class IS NULL THEN job_id END"
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
        c.order = {r.get<int64_t>(0), r.get_or<int64_t>(7, 0), r.get<Oid>(1), r.get<int64_t>(5)};
        c.area = r.get<std::string>(2);
        c.order.queued = c.order.job_id == 0 && c.area != "manual";
        c.priority = r.get<int32_t>(3);
        c.due = r.get<pg::timestamptz>(4).us;
        queued_.push_back(std::move(c));
    }
    read_queue_ = false;
}

// A short job goes to the reserved worker, which is made, or replaced when its role is another one;
// where it has been busy for a second it becomes an ordinary worker and another one is reserved.
std::optional<dispatcher::launch> dispatcher::place_short(const candidate &c, TimestampTz now) {
    const reserved_state r = find_reserved();
    bool make = r.slot < 0;
    if (r.ready && !reserved_given_) {
        if (r.role == c.order.role) {
            reserved_given_ = true;
            return launch{r.slot, true, c};
        }
        ask_reserved_to_leave(r.slot);
    } else if (r.busy_since != 0 && now - r.busy_since > second) {
        make = promote_reserved(r.slot);
    }
    if (!make || reserved_given_)
        return std::nullopt;
    const int slot = take_slot(c.order, true);
    if (slot < 0)
        return std::nullopt;
    reserved_given_ = true;
    return launch{slot, false, c};
}

std::optional<dispatcher::launch> dispatcher::find_place(const candidate &c, TimestampTz now) {
    if (c.is_short) {
        if (std::optional<launch> l = place_short(c, now))
            return l;
    }
    const int slot = take_slot(c.order, false);
    if (slot >= 0)
        return launch{slot, false, c};
    short_waits_ = short_waits_ || c.is_short;
    return std::nullopt;
}

// A run whose role is gone or may not connect fails at once, and alone.
bool dispatcher::refuse(const candidate &c, TimestampTz now) {
    if (pg::role_can_connect(c.order.role))
        return false;
    const bool exists = pg::role_exists(c.order.role);
    run_report r;
    r.failed = r.reported = true;
    r.sqlstate = exists ? "28000" : "42704";
    r.message = exists ? "role \"" + pg::role_name(c.order.role) + "\" is not permitted to log in"
                       : "the run's role " + std::to_string(c.order.role) + " does not exist any more";
    r.hint = exists ? "On PostgreSQL 15 a worker cannot connect as a NOLOGIN role."
                    : "Remove the job, or add it again as another role.";
    r.started = r.finished = now;
    launch l{-1, true, c};
    if (!write_row(l, now))
        return true;
    r.run_id = l.what.order.run_id;
    r.job_id = l.what.order.job_id;
    finish(r, now);
    return true;
}

// Writes the run's row as running. False: a queued row is not ours to run any more (cancelled).
bool dispatcher::write_row(launch &l, TimestampTz now) {
    const pg::timestamptz boot{pg::crew::shared()->boot};
    run_order &order = l.what.order;
    if (l.what.job == nullptr)
        return pg::execute("UPDATE dbopt.run SET status = 'running', started_at = clock_timestamp(),"
                           " boot = $2 WHERE run_id = $1 AND status = 'queued'",
                           {order.run_id, boot}) == 1;
    scheduled_job &j = *l.what.job;
    order.run_id =
        pg::scalar<int64_t>("INSERT INTO dbopt.run (job_id, area, command, run_as, status, priority,"
                            " attempt, scheduled_at, started_at, boot) VALUES ($1, $2, $3, $4, 'running',"
                            " $5, $6, $7, clock_timestamp(), $8) RETURNING run_id",
                            {j.id, j.area, j.command, j.owner, j.priority, j.state->attempt(),
                             pg::timestamptz{to_timestamp(j.state->scheduled_at())}, boot})
            .value();
    j.state->started(to_moment(now));
    jobs_.store(j);
    if (!l.to_waiting)
        set_run(l.slot, order.run_id);
    return true;
}

bool dispatcher::start(const launch &l) {
    if (l.to_waiting)
        return give_to_reserved(l.slot, l.what.order);
    if (start_slot_worker(l.slot))
        return true;
    free_slot(l.slot);
    return false;
}

// Decides and writes in one transaction; what fails leaves no slot behind.
std::vector<dispatcher::launch> dispatcher::choose(TimestampTz now) {
    std::vector<launch> launches;
    try {
        pg::transaction t;
        if (read_queue_)
            read_queued(now);
        std::vector<candidate> all = std::move(queued_);
        queued_.clear();
        for (scheduled_job *j : jobs_.due(now))
            all.push_back({.order = {0, j->id, j->owner, j->max_runtime_ms},
                           .area = j->area,
                           .priority = j->priority,
                           .due = to_timestamp(j->state->scheduled_at()),
                           .is_short = j->state->is_short(),
                           .job = j});
        std::stable_sort(all.begin(), all.end(), [](const candidate &a, const candidate &b) {
            return a.priority != b.priority ? a.priority > b.priority : a.due < b.due;
        });
        for (candidate &c : all) {
            if (refuse(c, now))
                continue;
            std::optional<launch> l = find_place(c, now);
            if (!l) {
                if (c.job == nullptr)
                    queued_.push_back(std::move(c));
                continue;
            }
            launches.push_back(std::move(*l));
            if (!write_row(launches.back(), now)) {
                if (!launches.back().to_waiting)
                    free_slot(launches.back().slot);
                launches.pop_back();
            }
        }
        t.commit();
    } catch (...) {
        for (const launch &l : launches)
            if (!l.to_waiting)
                free_slot(l.slot);
        read_queue_ = true;
        throw;
    }
    return launches;
}

TimestampTz dispatcher::start_due(TimestampTz now) {
    if (exhausted_until_ > now)
        return exhausted_until_;
    exhausted_until_ = 0;
    short_waits_ = reserved_given_ = false;
    if (next_queued_ != 0 && next_queued_ <= now)
        read_queue_ = true;
    const std::optional<TimestampTz> wake = jobs_.next_wake();
    const bool work = read_queue_ || !queued_.empty() || (wake && *wake <= now) || jobs_.waiting();
    if (work) {
        std::vector<launch> failed, launches = choose(now);
        for (launch &l : launches)
            if (!start(l))
                failed.push_back(std::move(l));
        if (!failed.empty())
            not_started(failed, now);
        else if (!launches.empty())
            exhausted_tries_ = 0;
    }
    TimestampTz next = now + 60 * second;
    if (const std::optional<TimestampTz> again = jobs_.next_wake())
        next = std::min(next, *again);
    if (next_queued_ != 0)
        next = std::min(next, next_queued_);
    if (exhausted_until_ > now)
        next = exhausted_until_;
    // A short job waits for the reserved worker only: look soon whether that one got stuck.
    return short_waits_ ? std::min(next, now + second / 4) : next;
}

// max_worker_processes is exhausted: the rows go back to the queue, the pause grows.
void dispatcher::not_started(const std::vector<launch> &failed, TimestampTz now) {
    {
        pg::transaction t;
        for (const launch &l : failed)
            (void)pg::execute("UPDATE dbopt.run SET status = 'queued', started_at = NULL, boot = NULL"
                              " WHERE run_id = $1 AND status = 'running'",
                              {l.what.order.run_id});
        t.commit();
    }
    read_queue_ = true;
    if (std::all_of(failed.begin(), failed.end(), [](const launch &l) { return l.to_waiting; }))
        return; // only the reserved worker just left
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

static bool extension_there() {
    pg::transaction t;
    const bool exists = extension_exists();
    t.commit();
    return exists;
}

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
        if (e.cancels() || !extension_there())
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

void dispatcher::finish(const run_report &r, TimestampTz now) {
    std::string_view status = "failed";
    std::string message = r.message;
    if (!r.failed) {
        status = "done";
    } else if (!r.reported) {
        status = "interrupted";
        message = "the worker ended before the run did: it was terminated, or its role could not connect";
    } else if (r.sqlstate == "57014") {
        if (r.cancelled)
            status = "cancelled";
        else if (message == "canceling statement due to statement timeout")
            message = "cancelled: it ran longer than max_runtime or statement_timeout";
    }
    record(r, status, message);
    if (status == "interrupted")
        queue_cleanup(r.run_id);
    if (r.job_id != 0)
        finish_job(r, status, now);
    else if (r.failed && status != "cancelled")
        retry_queued(r.run_id, r.sqlstate, !r.reported);
    ++finished_since_prune_;
}

void dispatcher::finish_job(const run_report &r, std::string_view status, TimestampTz now) {
    scheduled_job *j = jobs_.find(r.job_id);
    if (j == nullptr)
        return;
    const double seconds = std::max<double>(0, static_cast<double>(r.finished - r.started) / 1e6);
    if (status == "cancelled")
        j->state->cancelled(to_moment(now));
    else if (status == "interrupted")
        j->state->interrupted(to_moment(now), random_fraction());
    else
        j->state->finished(to_moment(now), !r.failed, core::is_retryable(r.sqlstate), seconds,
                           random_fraction());
    jobs_.store(*j);
    (void)pg::execute("UPDATE dbopt.job_state SET last_run = $2,"
                      " last_success = CASE WHEN $3 THEN $4 ELSE last_success END WHERE job_id = $1",
                      {j->id, pg::timestamptz{r.started}, !r.failed, pg::timestamptz{r.finished}});
}

// The next attempt of a queued run is a row of its own.
void dispatcher::retry_queued(int64_t run_id, std::string_view sqlstate, bool interrupted) {
    if (!interrupted && !core::is_retryable(sqlstate))
        return;
    const pg::result r =
        pg::query("SELECT attempt, retry_class FROM dbopt.run WHERE run_id = $1", {run_id});
    if (r.empty() || r[0].null(1))
        return;
    const core::retry_policy policy = retry_class(r[0].get<std::string>(1));
    const int attempt = r[0].get<int32_t>(0);
    if (attempt >= policy.attempts)
        return;
    double pause = core::backoff(policy, attempt, random_fraction());
    if (interrupted)
        pause = std::max(pause, 1.0);
    (void)pg::execute(
        "INSERT INTO dbopt.run (job_id, area, command, cleanup, object, run_as, priority, attempt,"
        " retry_class, max_runtime, not_before, scheduled_at)"
        " SELECT job_id, area, command, cleanup, object, run_as, priority, attempt + 1, retry_class,"
        " max_runtime, clock_timestamp() + $2 * interval '1 s', scheduled_at"
        " FROM dbopt.run WHERE run_id = $1",
        {run_id, pause});
    read_queue_ = true;
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

void dispatcher::recover(TimestampTz now) {
    std::string here = "{";
    for (const running &r : runs_in_slots())
        here += (here.size() > 1 ? "," : "") + std::to_string(r.run_id);
    here += "}";
    pg::transaction t;
    // A job's first row stands for the job; a run asked for by hand has a retry class of its own.
    const pg::result rows = pg::query(
        "UPDATE dbopt.run SET status = 'interrupted', finished_at = clock_timestamp(),"
        " message = 'the server stopped or crashed before the run ended'"
        " WHERE status = 'running' AND (boot IS DISTINCT FROM $1 OR run_id <> ALL ($2::bigint[]))"
        " RETURNING run_id, job_id, retry_class",
        {pg::timestamptz{pg::crew::shared()->boot}, here});
    for (const pg::row &row : rows) {
        const int64_t run_id = row.get<int64_t>(0);
        queue_cleanup(run_id);
        scheduled_job *j = row.null(1) || !row.null(2) ? nullptr : jobs_.find(row.get<int64_t>(1));
        if (j == nullptr) {
            retry_queued(run_id, "", true);
            continue;
        }
        j->state->interrupted(to_moment(now), random_fraction());
        jobs_.store(*j);
    }
    // A job's run that had found no worker is still in the queue: the job has begun it.
    for (const pg::row &row : pg::query("SELECT DISTINCT job_id FROM dbopt.run WHERE status = 'queued'"
                                        " AND job_id IS NOT NULL AND retry_class IS NULL"))
        if (scheduled_job *j = jobs_.find(row.get<int64_t>(0)))
            j->state->mark_running(to_moment(now));
    t.commit();
}

// Bounded by age and by rows; in batches, so that it never holds up the jobs.
void dispatcher::prune_history() {
    const TimestampTz now = GetCurrentTimestamp();
    if (now - pruned_ < 600 * second && finished_since_prune_ < 1000 && now >= pruned_)
        return;
    pruned_ = now;
    finished_since_prune_ = 0;
    pg::transaction t;
    (void)pg::execute(
        "DELETE FROM dbopt.run WHERE run_id IN (SELECT run_id FROM dbopt.run"
        " WHERE status NOT IN ('queued', 'running')"
        " AND (run_id <= (SELECT max(run_id) FROM dbopt.run) - $1"
        " OR finished_at < clock_timestamp() - $2 * interval '1 min')"
        " ORDER BY run_id LIMIT 5000)",
        {history_rows, history_age_minutes});
    t.commit();
}

} // namespace dbopt::scheduler
