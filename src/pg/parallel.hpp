// A team: the caller and a few parallel workers at one task, over one block of shared memory.
//
// The workers live in the caller's transaction: same snapshot, role and settings; they write nothing.
// Their entry is an exported function `extern "C" PGDLLEXPORT void dbopt_xxx(dsm_segment *, shm_toc *)`
// whose body is pg::boundary([&]{ … pg::team_memory(toc) … }).
// Source: access/parallel.h, README.parallel of the server.
#pragma once
#include "pg/error.hpp"

extern "C" {
struct ParallelContext;
struct dsm_segment;
struct shm_toc;
}

namespace dbopt::pg {

// How many workers a command over so many blocks may have: as the server's own index builds decide,
// by size and by max_parallel_maintenance_workers. 0 inside of a parallel query or without a snapshot.
int workers_for(uint32_t blocks);

class parallel_team {
  public:
    // Copies `bytes` from `initial` into the shared block (which is as large) and starts the workers.
    parallel_team(const char *function, int workers, const void *initial, size_t bytes);
    // While an error travels, the abort of the (sub)transaction ends the workers.
    ~parallel_team();
    parallel_team(const parallel_team &) = delete;
    parallel_team &operator=(const parallel_team &) = delete;
    void *memory() const { return memory_; }
    int launched() const;
    void wait(); // until all workers are through; their errors are raised here

  private:
    ParallelContext *context_ = nullptr;
    void *memory_ = nullptr;
    int exceptions_;
};

void *team_memory(shm_toc *toc);
int team_number(); // of a worker: 0, 1, …

} // namespace dbopt::pg
