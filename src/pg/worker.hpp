// Background workers and latches.
//
// A worker's entry is an exported C function `extern "C" PGDLLEXPORT void dbopt_xxx_main(Datum)`
// whose body is pg::worker_body([&]{ … }). Exit codes mean (measured on 15 and 18): 0 forgets the
// worker, 1 restarts it after restart_seconds, anything else restarts the whole cluster.
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

struct worker_spec {
    const char *name;          // shown in pg_stat_activity and ps
    const char *type;          // backend_type
    const char *function;      // exported symbol
    int restart_seconds = -1;  // -1: never
    Datum argument = 0;
    std::string_view extra = {}; // up to 127 bytes for the worker: MyBgworkerEntry->bgw_extra
    bool notify = true;        // wake this process's latch when it starts and stops
};

// From _PG_init while preloading. Starts after recovery has finished: idle on a standby, running
// after a promotion.
void register_static_worker(const worker_spec &spec);

// A dynamic worker; nullptr when max_worker_processes is exhausted. The handle is palloc'd in the
// current memory context.
BackgroundWorkerHandle *start_worker(const worker_spec &spec);
struct worker_status {
    BgwHandleStatus state;
    pid_t pid;
};
worker_status status_of(BackgroundWorkerHandle *handle);
void terminate(BackgroundWorkerHandle *handle);

// ---- inside a worker ----
// Standard signals: SIGTERM = terminate at the next interrupt check (FATAL, exit 1), SIGHUP = reload,
// SIGINT = cancel. Then runs f with exceptions turned into ERROR (= exit 1 at top level).
void prepare_worker();
template <class F> void worker_body(F &&f) {
    boundary([&] {
        prepare_worker();
        f();
    });
}
// database InvalidOid: shared catalogs only. user InvalidOid: the bootstrap superuser. On 15 a
// NOLOGIN role raises FATAL; later versions may bypass that with `allow_nologin`.
// A database's worker (user InvalidOid) keeps to settings of its own: a hostile search_path or a read-only default of
// the database or the server is not for it.
void connect_worker(Oid database, Oid user, bool allow_nologin = false);

// FATAL ends the process without unwinding (no right to connect, too many connections): from the first call on its
// words are kept for exit callbacks.
struct last_words {
    char sqlstate[6];
    char message[512];
};
void keep_last_words();
const last_words &words_of_fatal();
// Sleeps until the latch is set, the time is over, or the postmaster died (then exits at once).
// Reloads the configuration and serves interrupts. Returns true if the latch was set.
bool wait_latch(int64_t milliseconds);
void report_activity(std::string_view what); // pg_stat_activity.query; empty = idle

} // namespace dbopt::pg
