#include "scheduler/attach.hpp"
#include "pg/transaction.hpp"
#include "pg/worker.hpp"

namespace dbopt::scheduler {

namespace crew = pg::crew;

bool start_process(const pg::worker_spec &spec) {
    BackgroundWorkerHandle *handle = pg::start_worker(spec);
    if (handle == nullptr)
        return false;
    pg::call([&] { pfree(handle); });
    return true;
}

static part my_part;

// Raises nothing.
static void on_exit(int code, Datum database) {
    LWLockAcquire(crew::lock(), LW_EXCLUSIVE);
    crew::database_entry *e = crew::find(DatumGetObjectId(database));
    pid_t to_wake = crew::shared()->launcher;
    if (e != nullptr && my_part == part::rooms && e->rooms == MyProcPid) {
        e->rooms = 0;
        to_wake = e->pid;
    } else if (e != nullptr && my_part == part::database_worker && e->pid == MyProcPid) {
        const TimestampTz now = GetCurrentTimestamp();
        const bool lived = e->ready && now - e->since > 60 * INT64CONST(1000000);
        e->pid = 0;
        e->ready = e->starting = false;
        if (code == 0 || lived)
            e->failures = 0;
        if (code != 0 && e->parked_by == 0) {
            e->failures = std::min(e->failures + 1, 6);
            e->not_before = now + (INT64CONST(500000) << e->failures);
        }
        ++crew::shared()->launcher_news;
    }
    LWLockRelease(crew::lock());
    crew::wake(to_wake);
}

bool attach(Oid database, part p) {
    my_part = p;
    {
        pg::lock_guard hold(crew::lock(), LW_EXCLUSIVE);
        crew::database_entry *e = crew::find(database);
        if (e == nullptr)
            return false;
        pid_t &mine = p == part::rooms ? e->rooms : e->pid;
        if (p == part::database_worker)
            e->starting = false;
        if (e->parked_by != 0 || mine != 0)
            return false;
        mine = MyProcPid;
        if (p == part::database_worker) {
            e->ready = false;
            e->since = GetCurrentTimestamp();
        }
    }
    pg::call([&] { before_shmem_exit(on_exit, ObjectIdGetDatum(database)); });
    return true;
}

bool is_parked(Oid database) {
    pg::lock_guard hold(crew::lock(), LW_SHARED);
    const crew::database_entry *e = crew::find(database);
    return e == nullptr || e->parked_by != 0;
}

bool still_welcome(Oid database) { return !is_parked(database); }

void set_ready(Oid database) {
    pg::lock_guard hold(crew::lock(), LW_EXCLUSIVE);
    if (crew::database_entry *e = crew::find(database))
        e->ready = true;
}

void set_absent(Oid database, uint64_t seen) {
    pg::lock_guard hold(crew::lock(), LW_EXCLUSIVE);
    crew::database_entry *e = crew::find(database);
    if (e != nullptr && e->news == seen)
        e->state = crew::presence::absent;
}

uint64_t news_of(Oid database) {
    pg::lock_guard hold(crew::lock(), LW_SHARED);
    const crew::database_entry *e = crew::find(database);
    return e != nullptr ? e->news : 0;
}

bool extension_exists() {
    return pg::call([] { return OidIsValid(get_extension_oid("dbopt", true)); });
}

bool extension_there() {
    pg::transaction t;
    const bool exists = extension_exists();
    t.commit();
    return exists;
}

} // namespace dbopt::scheduler
