#include "pg/worker.hpp"
#include "pg/clip.hpp"

extern "C" {
#include "postmaster/interrupt.h"
#include "utils/wait_event.h"
}

namespace dbopt::pg {

static BackgroundWorker describe(const worker_spec &spec) {
    BackgroundWorker w;
    memset(&w, 0, sizeof(w));
    w.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    w.bgw_start_time = BgWorkerStart_RecoveryFinished;
    w.bgw_restart_time = spec.restart_seconds < 0 ? BGW_NEVER_RESTART : spec.restart_seconds;
    strlcpy(w.bgw_library_name, "dbopt", sizeof(w.bgw_library_name));
    strlcpy(w.bgw_function_name, spec.function, sizeof(w.bgw_function_name));
    strlcpy(w.bgw_name, spec.name, sizeof(w.bgw_name));
    strlcpy(w.bgw_type, spec.type, sizeof(w.bgw_type));
    w.bgw_main_arg = spec.argument;
    const size_t length = std::min(spec.extra.size(), sizeof(w.bgw_extra) - 1);
    memcpy(w.bgw_extra, spec.extra.data(), length);
    w.bgw_notify_pid = spec.notify ? MyProcPid : 0;
    return w;
}

void register_static_worker(const worker_spec &spec) {
    BackgroundWorker w = describe(spec);
    w.bgw_notify_pid = 0;
    call([&] { RegisterBackgroundWorker(&w); });
}

BackgroundWorkerHandle *start_worker(const worker_spec &spec) {
    BackgroundWorker w = describe(spec);
    return call([&]() -> BackgroundWorkerHandle * {
        BackgroundWorkerHandle *handle = nullptr;
        return RegisterDynamicBackgroundWorker(&w, &handle) ? handle : nullptr;
    });
}

worker_status status_of(BackgroundWorkerHandle *handle) {
    worker_status s{BGWH_STOPPED, 0};
    s.state = GetBackgroundWorkerPid(handle, &s.pid);
    return s;
}

void terminate(BackgroundWorkerHandle *handle) { TerminateBackgroundWorker(handle); }

void prepare_worker() {
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    pqsignal(SIGTERM, die);
    BackgroundWorkerUnblockSignals();
}

// Our own processes are superusers in databases whose owners may be hostile or careless: ALTER DATABASE SET
// search_path would make them run another one's functions, default_transaction_read_only would stop them.
static void ignore_database_settings() {
    static constexpr const char *ours[][2] = {
        {"role", "none"},
        {"search_path", "pg_catalog, pg_temp"},
        {"default_transaction_read_only", "off"},
        {"default_transaction_isolation", "read committed"},
        {"default_transaction_deferrable", "off"},
        {"statement_timeout", "0"},
        {"lock_timeout", "0"},
        {"idle_in_transaction_session_timeout", "0"},
        {"transaction_timeout", "0"}, // from 17 on
        {"standard_conforming_strings", "on"},
        {"array_nulls", "on"},
        {"transform_null_equals", "off"},
        {"DateStyle", "ISO, MDY"},
        {"IntervalStyle", "postgres"},
    };
    StartTransactionCommand();
    for (const auto &s : ours)
        if (GetConfigOption(s[0], true, false) != nullptr)
            SetConfigOption(s[0], s[1], PGC_SUSET, PGC_S_SESSION);
    CommitTransactionCommand();
}

void connect_worker(Oid database, Oid user, bool allow_nologin) {
    uint32 flags = 0;
#ifdef BGWORKER_BYPASS_ROLELOGINCHECK
    if (allow_nologin)
        flags |= BGWORKER_BYPASS_ROLELOGINCHECK;
#else
    (void)allow_nologin;
#endif
    call([&] {
        BackgroundWorkerInitializeConnectionByOid(database, user, flags);
        if (OidIsValid(database) && !OidIsValid(user))
            ignore_database_settings();
    });
}

static last_words words = {};
static emit_log_hook_type previous_log_hook = nullptr;

// Raises nothing: it runs inside of ereport.
static void note_fatal(ErrorData *e) {
    if (e->elevel == FATAL) {
        strlcpy(words.sqlstate, unpack_sql_state(e->sqlerrcode), sizeof words.sqlstate);
        copy_clipped(words.message, sizeof words.message, e->message);
    }
    if (previous_log_hook != nullptr)
        previous_log_hook(e);
}

void keep_last_words() {
    if (emit_log_hook == note_fatal)
        return;
    previous_log_hook = emit_log_hook;
    emit_log_hook = note_fatal;
}

const last_words &words_of_fatal() { return words; }

bool wait_latch(int64_t milliseconds) {
    const int events = call([&] {
        const int e = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
                                std::clamp<int64_t>(milliseconds, 0, 3600 * 1000), PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
        if (ConfigReloadPending) {
            ConfigReloadPending = false;
            ProcessConfigFile(PGC_SIGHUP);
        }
        return e;
    });
    return (events & WL_LATCH_SET) != 0;
}

void report_activity(std::string_view what) {
    const std::string text(what);
    pgstat_report_activity(text.empty() ? STATE_IDLE : STATE_RUNNING,
                           text.empty() ? nullptr : text.c_str());
}

} // namespace dbopt::pg
