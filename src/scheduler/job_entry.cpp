// SQL entry points of jobs. They work without preload, too: what they write is carried out once a
// database worker serves the database.
#include "core/retry.hpp"
#include "pg/crew.hpp"
#include "pg/entry.hpp"
#include "pg/query.hpp"
#include "pg/queue.hpp"
#include "pg/security.hpp"
#include "pg/system.hpp"
#include "pg/toplevel.hpp"
#include "scheduler/jobs.hpp"
#include "scheduler/slots.hpp"

using namespace dbopt;
namespace cj = core::jobs;

namespace {

struct definition {
    std::string name, schedule, command, retry_class, overlap, missed;
    std::optional<std::string> zone, window_start, window_end;
    std::optional<pg::interval> max_runtime;
    int priority = 0;
    bool enabled = true;
    std::string area = "jobs";
    bool must_come = true; // a schedule that lies in the past is an error
};

void one_of(const std::string &argument, const std::string &given, std::initializer_list<const char *> values) {
    std::string list;
    for (const char *v : values) {
        if (given == v)
            return;
        list += (list.empty() ? "" : ", ") + std::string(v);
    }
    pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
               .message = "invalid " + argument + " \"" + given + "\"",
               .hint = "Possible values: " + list + "."});
}

// A worker connects as the owner.
void require_login(Oid owner) {
    if (pg::role_can_connect(owner))
        return;
    const std::string role = pg::role_name(owner);
    pg::raise({.code = ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
               .message = "role \"" + role + "\" is not permitted to log in",
               .detail = "A job's worker connects as the job's owner, which needs LOGIN before PostgreSQL 17.",
               .hint = "ALTER ROLE " + pg::quote_identifier(role) +
                       " LOGIN (without a password it still cannot log in from outside), or add the job as "
                       "another role."});
}

// Everything a worker would stumble over later is refused now. Returns the first due time, if there is one.
std::optional<TimestampTz> check(const definition &d, Oid owner) {
    if (d.name.empty())
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE, .message = "a job needs a name"});
    cj::schedule when;
    try {
        when = cj::parse_schedule(d.schedule);
    } catch (const std::invalid_argument &e) {
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
                   .message = e.what(),
                   .hint = "Examples: '*/5 * * * *', '0 2 * * mon-fri', '30 seconds', '@daily', "
                           "'@once 2026-12-01 02:00'."});
    }
    const scheduler::job_zone zone(d.zone.value_or(pg::session_time_zone()));
    pg::require_job_command(d.command);
    one_of("retry_class", d.retry_class, {"default", "database", "transaction", "none"});
    one_of("overlap", d.overlap, {"skip", "queue"});
    one_of("missed", d.missed, {"once", "skip", "all"});
    if (d.window_start.has_value() != d.window_end.has_value())
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
                   .message = "window_start and window_end go together"});
    if (d.window_start && *d.window_start == *d.window_end)
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
                   .message = "the window is empty: it starts and ends at " + *d.window_start});
    if (d.max_runtime && d.max_runtime->seconds() <= 0)
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE, .message = "max_runtime must be positive"});
    // Who disables a job may do so in any case.
    if (d.enabled)
        require_login(owner);
    const int64_t now_s = scheduler::to_moment(GetCurrentTimestamp()) / cj::second;
    std::optional<cj::window> hours;
    if (d.window_start)
        hours = cj::window{scheduler::seconds_of_day(*d.window_start), scheduler::seconds_of_day(*d.window_end)};
    const std::optional<int64_t> next = cj::next_start(when, hours, now_s, zone);
    if (!next && d.must_come)
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
                   .message = "schedule \"" + d.schedule + "\" is in the past"});
    return next ? std::optional(scheduler::to_timestamp(*next * cj::second)) : std::nullopt;
}

struct found_job {
    int64_t id;
    Oid owner;
};

// Raises when the job does not exist or belongs to someone whose rights the caller has not.
found_job own_job(const std::string &name) {
    std::optional<found_job> j;
    {
        pg::as_owner superuser(BOOTSTRAP_SUPERUSERID);
        const pg::result r =
            pg::query("SELECT job_id, owner::oid FROM dbopt.job_config WHERE name = $1", {name});
        if (!r.empty())
            j = found_job{r[0].get<int64_t>(0), r[0].get<Oid>(1)};
    }
    if (!j)
        pg::raise({.code = ERRCODE_UNDEFINED_OBJECT,
                   .message = "job \"" + name + "\" does not exist",
                   .hint = "See dbopt.jobs."});
    if (!pg::is_superuser(pg::caller()) &&
        (!pg::role_exists(j->owner) || !pg::is_member(pg::caller(), j->owner)))
        pg::raise({.code = ERRCODE_INSUFFICIENT_PRIVILEGE,
                   .message = "permission denied for job \"" + name + "\"",
                   .detail = "It belongs to role \"" + pg::role_name(j->owner) + "\"."});
    return *j;
}

// Another session may have added a job of this name since we looked: the row says whose it is, and nobody
// else's is changed. Nothing then.
std::optional<int64_t> upsert(const definition &d, Oid owner, std::optional<TimestampTz> next) {
    pg::as_owner superuser(BOOTSTRAP_SUPERUSERID);
    const std::optional<int64_t> id = pg::scalar<int64_t>(
        "INSERT INTO dbopt.job_config AS c (name, schedule, command, owner, timezone, max_runtime,"
        " retry_class, window_start, window_end, overlap, missed, priority, enabled, area)"
        " VALUES ($1, $2, $3, $4, $5, $6::interval, $7, $8::time, $9::time, $10, $11, $12, $13, $14)"
        " ON CONFLICT (name) DO UPDATE SET schedule = excluded.schedule, command = excluded.command,"
        " timezone = excluded.timezone, max_runtime = excluded.max_runtime,"
        " retry_class = excluded.retry_class, window_start = excluded.window_start,"
        " window_end = excluded.window_end, overlap = excluded.overlap, missed = excluded.missed,"
        " priority = excluded.priority, enabled = excluded.enabled, area = excluded.area,"
        " changed_at = clock_timestamp() WHERE c.owner = excluded.owner RETURNING job_id",
        {d.name, d.schedule, d.command, owner, d.zone, d.max_runtime, d.retry_class, d.window_start,
         d.window_end, d.overlap, d.missed, d.priority, d.enabled, d.area});
    if (id)
        (void)pg::execute("INSERT INTO dbopt.job_state (job_id, next_run) VALUES ($1, $2::timestamptz)"
                          " ON CONFLICT (job_id) DO NOTHING",
                          {*id, next ? pg::value(pg::timestamptz{*next}) : pg::value()});
    return id;
}

int64_t save(const definition &d, Oid owner) {
    std::optional<int64_t> id = upsert(d, owner, check(d, owner));
    // It exists by now, as another role's: with the rights of that role the caller may change it.
    if (!id)
        id = upsert(d, own_job(d.name).owner, check(d, owner));
    if (!id)
        pg::raise({.code = ERRCODE_T_R_SERIALIZATION_FAILURE,
                   .message = "job \"" + d.name + "\" was changed by another session at the same time",
                   .hint = "Try again."});
    pg::crew::announce_at_commit();
    return *id;
}

// A new job belongs to the caller, an old one stays its owner's.
int64_t add(definition &d, bool keep_area) {
    std::optional<std::string> area;
    {
        pg::as_owner superuser(BOOTSTRAP_SUPERUSERID);
        const pg::result r = pg::query("SELECT area FROM dbopt.job_config WHERE name = $1", {d.name});
        if (!r.empty())
            area = r[0].get<std::string>(0);
    }
    if (!area)
        return save(d, pg::caller());
    if (keep_area)
        d.area = *area;
    return save(d, own_job(d.name).owner);
}

} // namespace

DBOPT_FUNCTION(dbopt_job_add) {
    definition d;
    d.name = args.get<std::string>(0);
    d.schedule = args.get<std::string>(1);
    d.command = args.get<std::string>(2);
    d.zone = args.optional<std::string>(3);
    d.max_runtime = args.optional<pg::interval>(4);
    d.retry_class = args.get<std::string>(5);
    d.window_start = args.optional<std::string>(6);
    d.window_end = args.optional<std::string>(7);
    d.overlap = args.get<std::string>(8);
    d.missed = args.get<std::string>(9);
    d.priority = args.get<int32_t>(10);
    d.enabled = args.get<bool>(11);
    return args.result(add(d, true));
}

// A default job of a room: held by dbopt.pause() of that room.
DBOPT_FUNCTION(dbopt_job_add_default) {
    definition d;
    d.name = args.get<std::string>(0);
    d.schedule = args.get<std::string>(1);
    d.command = args.get<std::string>(2);
    d.area = args.get<std::string>(3);
    d.retry_class = "database";
    d.overlap = "skip";
    d.missed = "once";
    return args.result(add(d, false));
}

// Arguments that are NULL stay as they are; 'default' as time zone means none of its own.
DBOPT_FUNCTION(dbopt_job_alter) {
    definition d;
    d.name = args.get<std::string>(0);
    const found_job j = own_job(d.name);
    {
        pg::as_owner superuser(BOOTSTRAP_SUPERUSERID);
        const pg::result rows = pg::query(
            "SELECT schedule, command, timezone, max_runtime, retry_class, window_start, window_end,"
            " overlap, missed, priority, enabled, area FROM dbopt.job_config WHERE job_id = $1 FOR UPDATE",
            {j.id});
        if (rows.empty())
            pg::raise({.code = ERRCODE_UNDEFINED_OBJECT, .message = "job \"" + d.name + "\" does not exist"});
        const pg::row r = rows[0];
        d.schedule = args.get_or<std::string>(1, r.get<std::string>(0));
        d.command = args.get_or<std::string>(2, r.get<std::string>(1));
        d.zone = args.null(3) ? r.optional<std::string>(2) : args.optional<std::string>(3);
        if (d.zone == "default")
            d.zone.reset();
        d.max_runtime = args.null(4) ? r.optional<pg::interval>(3) : args.optional<pg::interval>(4);
        d.retry_class = args.get_or<std::string>(5, r.get<std::string>(4));
        d.window_start = args.null(6) ? r.optional<std::string>(5) : args.optional<std::string>(6);
        d.window_end = args.null(7) ? r.optional<std::string>(6) : args.optional<std::string>(7);
        d.overlap = args.get_or<std::string>(8, r.get<std::string>(7));
        d.missed = args.get_or<std::string>(9, r.get<std::string>(8));
        d.priority = args.get_or<int32_t>(10, r.get<int32_t>(9));
        d.enabled = args.get_or<bool>(11, r.get<bool>(10));
        d.area = r.get<std::string>(11);
        // A job that ran at its one time may still be disabled or given another priority.
        d.must_come = d.schedule != r.get<std::string>(0) || d.zone != r.optional<std::string>(2);
    }
    return args.result(save(d, j.owner));
}

DBOPT_FUNCTION(dbopt_job_remove) {
    const found_job j = own_job(args.get<std::string>(0));
    pg::as_owner superuser(BOOTSTRAP_SUPERUSERID);
    (void)pg::execute("DELETE FROM dbopt.job_config WHERE job_id = $1", {j.id});
    (void)pg::execute("UPDATE dbopt.run SET status = 'cancelled', finished_at = clock_timestamp(),"
                      " message = 'the job was removed' WHERE job_id = $1 AND status = 'queued'",
                      {j.id});
    pg::crew::announce_at_commit();
    return args.nothing();
}

DBOPT_FUNCTION(dbopt_job_run) {
    const found_job j = own_job(args.get<std::string>(0));
    int64_t run_id;
    {
        pg::as_owner superuser(BOOTSTRAP_SUPERUSERID);
        run_id = pg::scalar<int64_t>(
                     "INSERT INTO dbopt.run (job_id, area, command, run_as, priority, max_runtime,"
                     " retry_class) SELECT job_id, 'manual', command, owner, priority, max_runtime,"
                     " retry_class FROM dbopt.job_config WHERE job_id = $1 RETURNING run_id",
                     {j.id})
                     .value();
    }
    pg::crew::announce_at_commit();
    return args.result(run_id);
}

// Queued runs are cancelled in this transaction; running ones get the signal at once.
DBOPT_FUNCTION(dbopt_job_cancel) {
    const found_job j = own_job(args.get<std::string>(0));
    std::vector<int64_t> ids;
    int64_t count;
    {
        pg::as_owner superuser(BOOTSTRAP_SUPERUSERID);
        count = pg::execute("UPDATE dbopt.run SET status = 'cancelled', finished_at = clock_timestamp()"
                            " WHERE job_id = $1 AND status = 'queued'",
                            {j.id});
        for (const pg::row &r : pg::query(
                 "SELECT run_id FROM dbopt.run WHERE job_id = $1 AND status = 'running'", {j.id}))
            ids.push_back(r.get<int64_t>(0));
    }
    for (const int64_t id : ids)
        count += scheduler::cancel_run(id) ? 1 : 0;
    return args.result(count > 0);
}

DBOPT_FUNCTION(dbopt_job_reset) {
    const found_job j = own_job(args.get<std::string>(0));
    pg::as_owner superuser(BOOTSTRAP_SUPERUSERID);
    (void)pg::execute("UPDATE dbopt.job_config SET reset_at = clock_timestamp(),"
                      " changed_at = clock_timestamp() WHERE job_id = $1",
                      {j.id});
    // The worker does the same in its memory; without one, this is all there is.
    (void)pg::execute("UPDATE dbopt.job_state SET breaker = 'closed', breaker_until = NULL,"
                      " breaker_opened = 0, consecutive_failures = 0, retry_at = NULL, attempt = 0"
                      " WHERE job_id = $1",
                      {j.id});
    pg::crew::announce_at_commit();
    return args.nothing();
}

DBOPT_FUNCTION(dbopt_is_retryable) {
    return args.result(core::is_retryable(args.get<std::string>(0)));
}

DBOPT_FUNCTION(dbopt_backoff) {
    const int attempt = args.get<int32_t>(0);
    const std::string name = args.get<std::string>(1);
    one_of("retry_class", name, {"default", "database", "transaction"});
    if (attempt < 1)
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
                   .message = "attempt " + std::to_string(attempt) + " is not a positive number"});
    const double seconds = core::backoff(scheduler::retry_class(name), attempt);
    return args.result(pg::interval{static_cast<int64_t>(seconds * 1e6)});
}
