// Shared memory of fixed size, asked for while preloading. Holds PODs and offsets only.
//
//   static pg::shared_block block{"dbopt scheduler", sizeof(state), 1, [](void *p) { new (p) state(); }};
//   pg::request_shared(&block);                 // from _PG_init, only when preloading
//   if (auto *s = block.get<state>()) …         // nullptr without preload
//   pg::lock_guard hold(block.lock(0), LW_EXCLUSIVE);
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

struct shared_block {
    const char *name; // also the name of the lock tranche in pg_stat_activity
    size_t size;
    int locks;
    void (*initialize)(void *memory); // runs once, before any process can see the memory
    // In a block whose size depends on a setting, size_of is asked instead of size.
    size_t (*size_of)() = nullptr;

    void *memory = nullptr;
    LWLockPadded *tranche = nullptr;

    template <class T> T *get() const { return static_cast<T *>(memory); }
    LWLock *lock(int n) const { return &tranche[n].lock; }
    size_t bytes() const { return size_of != nullptr ? size_of() : size; }
};

void request_shared(shared_block *block);

// Holds an LWLock for a scope. After an ERROR the server has released all locks (and zeroed the
// interrupt counter) before C++ unwinds, so the destructor releases only what is still held.
class lock_guard {
  public:
    lock_guard(LWLock *lock, LWLockMode mode) : lock_(lock) {
        call([&] { LWLockAcquire(lock_, mode); });
    }
    ~lock_guard() {
        if (LWLockHeldByMe(lock_))
            LWLockRelease(lock_);
    }
    lock_guard(const lock_guard &) = delete;
    lock_guard &operator=(const lock_guard &) = delete;

  private:
    LWLock *lock_;
};

} // namespace dbopt::pg
