// A lock of the session for a piece of work that spans transactions, so that two sessions do not do
// it at once. Ends with the scope, or with the session.
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

class work_lock {
  public:
    // `kind` keeps the rooms' numbers apart. Look at held() before going on.
    work_lock(uint32_t kind, Oid object);
    ~work_lock();
    work_lock(const work_lock &) = delete;
    work_lock &operator=(const work_lock &) = delete;
    bool held() const { return held_; }

  private:
    LOCKTAG tag_;
    bool held_ = false;
};

// A lock on a relation that outlives COMMIT: writers (with ExclusiveLock) wait while several short
// transactions of ours go by. Raises 55P03 when lock_timeout passes first.
class session_lock {
  public:
    session_lock(Oid relation, LOCKMODE mode);
    ~session_lock();
    session_lock(const session_lock &) = delete;
    session_lock &operator=(const session_lock &) = delete;

  private:
    LockRelId id_;
    LOCKMODE mode_;
};

// From here to the end of the (sub)transaction a lock is waited for no longer than this; 0: as long as
// it takes. An autovacuum that holds it is sent away, as the server does after deadlock_timeout: with
// the usual second for that, a short wait would never get past a long vacuum.
void wait_for_locks(int64_t milliseconds);

} // namespace dbopt::pg
