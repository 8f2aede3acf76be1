#pragma once
#include "pg/shmem.hpp"

namespace dbopt::pg {

// A lock_guard that never waits: false when somebody has the lock.
class try_lock {
  public:
    try_lock(LWLock *lock, LWLockMode mode)
        : lock_(lock), held_(call([&] { return LWLockConditionalAcquire(lock_, mode); })) {}
    ~try_lock() {
        if (held_ && LWLockHeldByMe(lock_))
            LWLockRelease(lock_);
    }
    try_lock(const try_lock &) = delete;
    try_lock &operator=(const try_lock &) = delete;
    explicit operator bool() const { return held_; }

  private:
    LWLock *lock_;
    bool held_;
};

} // namespace dbopt::pg
