#include "pg/parallel.hpp"

extern "C" {
#include "access/parallel.h"
#include "optimizer/optimizer.h"
}

namespace dbopt::pg {

constexpr uint64 memory_key = UINT64CONST(0xDB07000000000001);

int workers_for(uint32_t blocks) {
    constexpr uint64 first = 4096; // 32 MB: below that, starting a worker costs more than it saves
    if (IsInParallelMode() || !ActiveSnapshotSet())
        return 0;
    int workers = 0;
    for (uint64 size = first; blocks >= size && workers < max_parallel_maintenance_workers; size *= 3)
        ++workers;
    return workers;
}

parallel_team::parallel_team(const char *function, int workers, const void *initial, size_t bytes)
    : exceptions_(std::uncaught_exceptions()) {
    call([&] {
        EnterParallelMode();
        context_ = CreateParallelContext("dbopt", function, workers);
        shm_toc_estimate_chunk(&context_->estimator, bytes);
        shm_toc_estimate_keys(&context_->estimator, 1);
        InitializeParallelDSM(context_);
        memory_ = shm_toc_allocate(context_->toc, bytes);
        memcpy(memory_, initial, bytes);
        shm_toc_insert(context_->toc, memory_key, memory_);
        LaunchParallelWorkers(context_);
    });
}

int parallel_team::launched() const { return context_->nworkers_launched; }

void parallel_team::wait() {
    call([&] { WaitForParallelWorkersToFinish(context_); });
}

parallel_team::~parallel_team() {
    if (std::uncaught_exceptions() == exceptions_)
        quietly([&] {
            DestroyParallelContext(context_);
            ExitParallelMode();
        });
}

void *team_memory(shm_toc *toc) {
    return call([&] { return shm_toc_lookup(toc, memory_key, false); });
}

int team_number() { return ParallelWorkerNumber; }

} // namespace dbopt::pg
