// Whoever commits waits for all WAL that was written before his. A process that writes much of it
// (a copy, the building of an index) therefore sees to it that little of it is left unflushed:
// as long as this object lives, a timer wakes the WAL writer every few milliseconds, which flushes
// what has come together, while this process goes on working.
#pragma once
#include <cstddef>

namespace dbopt::pg {

class steady_wal {
  public:
    steady_wal();
    ~steady_wal();
    steady_wal(const steady_wal &) = delete;
    steady_wal &operator=(const steady_wal &) = delete;
};

// Waits until no more than this much of what the process wrote is not on disk yet.
void limit_unflushed_wal(size_t bytes);

} // namespace dbopt::pg
