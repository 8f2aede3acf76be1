#include "pg/advisory.hpp"

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

} // namespace dbopt::pg
