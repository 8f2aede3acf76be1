// The database worker's hands, second half: ends runs, keeps their rows true, recovers after a restart.
#include "core/retry.hpp"
#include "pg/query.hpp"
#include "pg/system.hpp"
#include "pg/transaction.hpp"
#include "scheduler/attach.hpp"
#include "scheduler/dispatch.hpp"
#include "scheduler/scheduler.hpp"

namespace dbopt::scheduler {

constexpr TimestampTz second = 1000 * 1000;

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
        // The next one of its object may start.
        if (busy_.erase(r.run_id) > 0)
            read_queue_ = true;
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
        " retry_class, max_runtime, settings, not_before, scheduled_at)"
        " SELECT job_id, area, command, cleanup, object, run_as, priority, attempt + 1, retry_class,"
        " max_runtime, settings, clock_timestamp() + $2 * interval '1 s', scheduled_at"
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
    // Rows of the database that this one was copied from (CREATE DATABASE … TEMPLATE): never run here.
    (void)pg::execute("UPDATE dbopt.run SET status = CASE status WHEN 'queued' THEN 'cancelled' ELSE 'interrupted' END,"
                      " finished_at = clock_timestamp(), message = 'it belonged to the database that this one is a copy of'"
                      " WHERE status IN ('queued', 'running') AND database <> $1",
                      {MyDatabaseId});
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
    // Only this worker was restarted: what its runs lock stays locked.
    for (const pg::row &row : pg::query(std::string("SELECT r.run_id, ") + lock_key +
                                        " FROM dbopt.run r WHERE r.status = 'running' AND r.object IS NOT NULL"))
        busy_[row.get<int64_t>(0)] = row.get<Oid>(1);
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
