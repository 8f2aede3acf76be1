#include "pg/worker.hpp"

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

void connect_worker(Oid database, Oid user, bool allow_nologin) {
    uint32 flags = 0;
#ifdef BGWORKER_BYPASS_ROLELOGINCHECK
    if (allow_nologin)
        flags |= BGWORKER_BYPASS_ROLELOGINCHECK;
#else
    (void)allow_nologin;
#endif
    call([&] { BackgroundWorkerInitializeConnectionByOid(database, user, flags); });
}

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
