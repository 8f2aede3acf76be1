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
    call([&] { LockRelationIdForSession(&id_, mode_); });
}
session_lock::~session_lock() {
    quietly([&] { UnlockRelationIdForSession(&id_, mode_); });
}

} // namespace dbopt::pg
