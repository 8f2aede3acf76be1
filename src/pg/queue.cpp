#include "pg/queue.hpp"
#include "pg/crew.hpp"
#include "pg/query.hpp"
#include "pg/security.hpp"
#include "pg/system.hpp"
#include "pg/transaction.hpp"

extern "C" {
#include "utils/wait_event.h"
}

namespace dbopt::pg {

int64_t enqueue(const queued_run &r) {
    const Oid role = OidIsValid(r.run_as) ? r.run_as : GetUserId();
    int64_t run_id;
    {
        as_owner superuser(BOOTSTRAP_SUPERUSERID);
        run_id = scalar<int64_t>(
                     "INSERT INTO dbopt.run (area, command, object, run_as, priority, max_runtime,"
                     " cleanup, not_before, retry_class, result, settings, waiter)"
                     " VALUES ($1, $2, nullif($3, 0), $4, $5, $6::interval,"
                     " nullif($7, ''), CASE WHEN $8 > 0 THEN clock_timestamp() + $8 * interval '1 s'"
                     " END, nullif($9, ''), CASE WHEN $10 THEN '[]'::jsonb END, nullif($11::text[], '{}'),"
                     " nullif($12, ''))"
                     " RETURNING run_id",
                     {r.area, r.command, r.object, role, r.priority, r.max_runtime, r.cleanup,
                      r.delay_seconds, r.retry_class, r.wants_rows, r.settings, r.waiter})
                     .value();
    }
    crew::announce_at_commit();
    return run_id;
}

static int64_t running_here = 0;
int64_t current_run() { return running_here; }
void set_current_run(int64_t run_id) { running_here = run_id; }

std::optional<run_state> find_run(int64_t run_id) {
    as_owner superuser(BOOTSTRAP_SUPERUSERID);
    const result r = query("SELECT status, sqlstate, message, rows, run_as::oid FROM dbopt.run WHERE run_id = $1",
                           {run_id});
    if (r.empty())
        return std::nullopt;
    return run_state{r[0].get<std::string>(0), r[0].get_or<std::string>(1, ""),
                     r[0].get_or<std::string>(2, ""), r[0].get_or<int64_t>(3, 0), r[0].get<Oid>(4)};
}

bool run_pending(std::string_view area, Oid object) {
    as_owner superuser(BOOTSTRAP_SUPERUSERID);
    return scalar<bool>("SELECT EXISTS (SELECT FROM dbopt.run WHERE area = $1 AND object = $2"
                        " AND status IN ('queued', 'running'))",
                        {area, object})
        .value();
}

bool area_paused(std::string_view area) {
    const as_owner reader(BOOTSTRAP_SUPERUSERID);
    return scalar<bool>("SELECT EXISTS (SELECT FROM dbopt.paused_area WHERE area = $1) OR dbopt._is_copy()", {area})
        .value_or(true);
}

bool workers_available() {
    if (crew::shared() == nullptr)
        return false;
    lock_guard hold(crew::lock(), LW_SHARED);
    const crew::database_entry *e = crew::find(MyDatabaseId);
    return e != nullptr && e->pid != 0 && e->ready;
}

bool can_run_as(Oid role) {
    return role_can_connect(role) &&
           scalar<bool>("SELECT has_database_privilege($1::oid, current_database(), 'CONNECT')", {role}).value_or(false);
}

// As wait_latch of worker.hpp, but a session reloads its configuration between commands only.
void nap(int64_t milliseconds) {
    call([&] {
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds,
                        PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
    });
}

std::optional<run_state> wait_for_run(int64_t run_id, int64_t milliseconds) {
    const TimestampTz begin = GetCurrentTimestamp();
    int64_t pause = 5;
    for (;;) {
        commit_and_restart();
        std::optional<run_state> s = find_run(run_id);
        if (!s || s->over())
            return s;
        const int64_t waited = (GetCurrentTimestamp() - begin) / 1000;
        if (milliseconds >= 0 && waited >= milliseconds)
            return s;
        commit_and_restart();
        nap(milliseconds < 0 ? pause : std::min(pause, milliseconds - waited));
        pause = std::min<int64_t>(pause * 2, 200);
    }
}

namespace {

using crew::run_slot;

// The slot of a run that has not ended; needs the crew's lock.
template <class Match> run_slot *open_slot(Match &&match) {
    for (run_slot &s : crew::shared()->slots)
        if ((s.state == crew::slot_state::assigned || s.state == crew::slot_state::running) &&
            s.database == MyDatabaseId && match(s))
            return &s;
    return nullptr;
}

} // namespace

pid_t process_of_run(int64_t run_id) {
    if (crew::shared() == nullptr)
        return 0;
    lock_guard hold(crew::lock(), LW_SHARED);
    const run_slot *s = open_slot([&](const run_slot &r) { return r.run_id == run_id; });
    return s != nullptr ? s->pid : 0;
}

bool cancel_run(int64_t run_id) noexcept {
    if (crew::shared() == nullptr)
        return false;
    LWLockAcquire(crew::lock(), LW_EXCLUSIVE);
    run_slot *s = open_slot([&](const run_slot &r) { return r.run_id == run_id; });
    const pid_t pid = s != nullptr ? s->pid : 0;
    if (s != nullptr)
        s->cancel = true;
    LWLockRelease(crew::lock());
    crew::signal(pid, false);
    return pid != 0;
}

} // namespace dbopt::pg
