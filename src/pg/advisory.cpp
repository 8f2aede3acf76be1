#include "pg/advisory.hpp"
#include <algorithm>

namespace dbopt::pg {

work_lock::work_lock(uint32_t kind, Oid object) {
    SET_LOCKTAG_ADVISORY(tag_, MyDatabaseId, kind, object, 2);
    held_ = call([&] { return LockAcquire(&tag_, ExclusiveLock, true, true); }) != LOCKACQUIRE_NOT_AVAIL;
}

work_lock::~work_lock() {
    if (held_)
        quietly([&] { LockRelease(&tag_, ExclusiveLock, true); });
}

session_lock::session_lock(Oid relation, LOCKMODE mode) : id_{relation, MyDatabaseId}, mode_(mode) {
    // The waiting is for a lock of the transaction: when a timeout strikes at the very moment the lock is
    // granted, the server keeps it, and only the (sub)transaction's abort gives it back. A session's
    // lock would stay, unknown to everyone, and keep writers out until the session ends.
    call([&] {
        LockRelationOid(id_.relId, mode_);
        LockRelationIdForSession(&id_, mode_); // does not wait: it is ours
    });
}
session_lock::~session_lock() {
    quietly([&] { UnlockRelationIdForSession(&id_, mode_); });
}

void wait_for_locks(int64_t milliseconds) {
    call([&] {
        const auto set = [](const char *name, const char *value) {
            // deadlock_timeout is for superusers; this changes nobody's rights.
            (void)set_config_option(name, value, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
        };
        set("lock_timeout", psprintf("%lld", static_cast<long long>(milliseconds)));
        set("deadlock_timeout", milliseconds == 0 ? GetConfigOptionResetString("deadlock_timeout")
                                                  : psprintf("%lld", static_cast<long long>(std::max<int64_t>(1, milliseconds / 3))));
    });
}

} // namespace dbopt::pg
