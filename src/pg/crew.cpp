#include "pg/crew.hpp"

extern "C" {
#include <signal.h>
}

namespace dbopt::pg::crew {

static void initialize(void *memory) {
    memset(memory, 0, sizeof(state));
    static_cast<state *>(memory)->boot = GetCurrentTimestamp();
}

shared_block block{"dbopt_scheduler", sizeof(state), 1, initialize};

void request() { request_shared(&block); }

database_entry *find(Oid database) {
    for (database_entry &e : shared()->databases)
        if (e.database == database && e.state != presence::none)
            return &e;
    return nullptr;
}

database_entry *find_or_add(Oid database) {
    if (database_entry *e = find(database))
        return e;
    for (database_entry &e : shared()->databases)
        if (e.state == presence::none) {
            memset(&e, 0, sizeof(e));
            e.database = database;
            return &e;
        }
    return nullptr;
}

void wake(pid_t pid) {
    if (pid == 0)
        return;
    if (PGPROC *p = BackendPidGetProc(pid))
        SetLatch(&p->procLatch);
}

bool alive(pid_t pid) { return pid != 0 && BackendPidGetProc(pid) != nullptr; }

void signal(pid_t pid, bool terminate) {
    if (alive(pid))
        (void)kill(pid, terminate ? SIGTERM : SIGINT);
}

// Runs in a commit callback, too, so it raises nothing: LWLockAcquire only fails on corruption.
static void announce_quietly(Oid database) noexcept {
    if (shared() == nullptr)
        return;
    pid_t worker = 0;
    LWLockAcquire(lock(), LW_EXCLUSIVE);
    if (database_entry *e = find_or_add(database)) {
        if (e->state != presence::wanted) {
            e->state = presence::wanted;
            e->not_before = 0;
        }
        ++e->news;
        worker = e->pid;
    }
    ++shared()->launcher_news;
    const pid_t launcher = shared()->launcher;
    LWLockRelease(lock());
    if (worker != 0)
        wake(worker);
    else
        wake(launcher);
}

void announce(Oid database) { announce_quietly(database); }

static void announce_databases() noexcept {
    LWLockAcquire(lock(), LW_EXCLUSIVE);
    ++shared()->launcher_news;
    const pid_t launcher = shared()->launcher;
    LWLockRelease(lock());
    wake(launcher);
}

static bool callback_registered = false;
static bool pending = false;
static bool databases_pending = false;

static void at_transaction_end(XactEvent event, void *) {
    if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
        return;
    if (event == XACT_EVENT_COMMIT && pending)
        announce_quietly(MyDatabaseId);
    if (event == XACT_EVENT_COMMIT && databases_pending)
        announce_databases();
    pending = databases_pending = false;
}

static void at_commit(bool &flag) {
    if (shared() == nullptr)
        return;
    if (!callback_registered) {
        call([] { RegisterXactCallback(at_transaction_end, nullptr); });
        callback_registered = true;
    }
    flag = true;
}

void announce_at_commit() { at_commit(pending); }
void announce_databases_at_commit() { at_commit(databases_pending); }

} // namespace dbopt::pg::crew
