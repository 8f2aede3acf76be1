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

} // namespace dbopt::pg
