// The database worker's hands, first half: chooses and starts runs. collect.cpp is the second half.
#include "scheduler/dispatch.hpp"
#include "pg/query.hpp"
#include "pg/security.hpp"
#include "pg/system.hpp"
#include "pg/transaction.hpp"
#include "scheduler/attach.hpp"
#include "scheduler/scheduler.hpp"

namespace dbopt::scheduler {

constexpr TimestampTz second = 1000 * 1000;

// A condition on a queued row of dbopt.run: the call that waits for it is still there, if there was one.
static std::string still_wanted() {
    return "(waiter IS NULL OR EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.locktype = 'virtualxid'"
           " AND waiter = '" +
           std::to_string(pg::crew::shared()->boot) + " ' || l.virtualtransaction))";
}

void dispatcher::read_queued(TimestampTz now) {
    queued_.clear();
    (void)pg::execute(std::string("UPDATE dbopt.run SET status = 'cancelled', finished_at = clock_timestamp(),"
                                  " message = 'the call that waited for it has ended'"
                                  " WHERE status = 'queued' AND NOT ") +
                      still_wanted());
    next_queued_ = pg::scalar<pg::timestamptz>("SELECT min(not_before) FROM dbopt.run"
                                               " WHERE status = 'queued' AND not_before > $1",
                                               {pg::timestamptz{now}})
                       .value_or(pg::timestamptz{0})
                       .us;
    std::vector<int64_t> busy;
    for (const auto &[run, object] : busy_)
        busy.push_back(object);
    // The first run of each object that is not busy.
    for (const pg::row &r : pg::query(
             std::string("SELECT q.run_id, q.run_as::oid, q.area, q.priority, q.scheduled_at,"
                         " coalesce(ceil(extract(epoch FROM q.max_runtime) * 1000), 0)::bigint,"
                         " CASE WHEN q.retry_class IS NULL THEN q.job_id END, q.key FROM"
                         " (SELECT r.*, ") +
                 lock_key +
                 " AS key FROM dbopt.run r WHERE r.status = 'queued'"
                 " AND (r.not_before IS NULL OR r.not_before <= $1)"
                 " AND r.area NOT IN (SELECT p.area FROM dbopt.paused_area p)) q"
                 " WHERE q.key IS NULL OR q.key <> ALL ($2::bigint[])"
                 " ORDER BY row_number() OVER (PARTITION BY q.key ORDER BY q.priority DESC, q.run_id) > 1"
                 " AND q.key IS NOT NULL, q.priority DESC, q.run_id LIMIT 500",
             {pg::timestamptz{now}, busy})) {
        candidate c;
        c.order = {r.get<int64_t>(0), r.get_or<int64_t>(6, 0), r.get<Oid>(1), r.get<int64_t>(5)};
        c.area = r.get<std::string>(2);
        c.order.queued = c.order.job_id == 0 && c.area != "manual";
        c.priority = r.get<int32_t>(3);
        c.due = r.get<pg::timestamptz>(4).us;
        c.object = r.get_or<Oid>(7, InvalidOid);
        queued_.push_back(std::move(c));
    }
    read_queue_ = false;
}

bool dispatcher::is_busy(Oid object) const {
    return OidIsValid(object) && std::any_of(busy_.begin(), busy_.end(), [&](const auto &b) {
               return b.second == static_cast<int64_t>(object);
           });
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

// Writes the run's row as running. False: a queued row is not ours to run any more (cancelled, unwanted).
bool dispatcher::write_row(launch &l, TimestampTz now) {
    const pg::timestamptz boot{pg::crew::shared()->boot};
    run_order &order = l.what.order;
    if (l.what.job == nullptr)
        return pg::execute(std::string("UPDATE dbopt.run SET status = 'running', started_at = clock_timestamp(),"
                                       " boot = $2 WHERE run_id = $1 AND status = 'queued' AND ") +
                               still_wanted(),
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
    bool withdrawn = false; // a row was, so others may be, too
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
            std::optional<launch> l;
            if (!is_busy(c.object))
                l = find_place(c, now);
            if (!l) {
                if (c.job == nullptr)
                    queued_.push_back(std::move(c));
                continue;
            }
            launches.push_back(std::move(*l));
            if (!write_row(launches.back(), now)) {
                withdrawn = true;
                if (!launches.back().to_waiting)
                    free_slot(launches.back().slot);
                launches.pop_back();
            } else if (OidIsValid(launches.back().what.object)) {
                busy_[launches.back().what.order.run_id] = launches.back().what.object;
            }
        }
        t.commit();
        read_queue_ = withdrawn;
    } catch (...) {
        for (const launch &l : launches) {
            busy_.erase(l.what.order.run_id);
            if (!l.to_waiting)
                free_slot(l.slot);
        }
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
        for (const launch &l : failed) {
            busy_.erase(l.what.order.run_id);
            (void)pg::execute("UPDATE dbopt.run SET status = 'queued', started_at = NULL, boot = NULL"
                              " WHERE run_id = $1 AND status = 'running'",
                              {l.what.order.run_id});
        }
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

} // namespace dbopt::scheduler
