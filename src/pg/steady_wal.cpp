#include "pg/steady_wal.hpp"
#include "pg/error.hpp"

extern "C" {
#include "access/xlog.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
}

namespace dbopt::pg {

namespace {

constexpr int wake_every_ms = 5;
bool registered = false;
TimeoutId timer;

// In a signal handler: a latch may be set, nothing else.
void wake_wal_writer() {
#if PG_VERSION_NUM >= 180000
    const ProcNumber writer = ProcGlobal->walwriterProc;
    if (writer != INVALID_PROC_NUMBER)
        SetLatch(&GetPGProcByNumber(writer)->procLatch);
#else
    if (ProcGlobal->walwriterLatch != nullptr)
        SetLatch(ProcGlobal->walwriterLatch);
#endif
}

} // namespace

steady_wal::steady_wal() {
    call([] {
        if (!registered)
            timer = RegisterTimeout(USER_TIMEOUT, wake_wal_writer);
        registered = true;
        enable_timeout_every(timer, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wake_every_ms), wake_every_ms);
    });
}

// Runs while an error passes as well; it cannot fail.
steady_wal::~steady_wal() { disable_timeout(timer, false); }

void limit_unflushed_wal(size_t bytes) {
    const XLogRecPtr mine = XactLastRecEnd;
    if (mine == InvalidXLogRecPtr || mine <= bytes)
        return;
    call([&] {
        if (mine - bytes > GetFlushRecPtr(nullptr))
            XLogFlush(mine - bytes / 2);
    });
}

} // namespace dbopt::pg
