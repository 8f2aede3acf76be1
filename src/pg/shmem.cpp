#include "pg/shmem.hpp"

namespace dbopt::pg {

namespace {
constexpr int most_blocks = 16;
shared_block *blocks[most_blocks];
int block_count = 0;
shmem_request_hook_type previous_request = nullptr;
shmem_startup_hook_type previous_startup = nullptr;

void on_request() {
    if (previous_request != nullptr)
        previous_request();
    for (int i = 0; i < block_count; ++i) {
        RequestAddinShmemSpace(MAXALIGN(blocks[i]->bytes()));
        if (blocks[i]->locks > 0)
            RequestNamedLWLockTranche(blocks[i]->name, blocks[i]->locks);
    }
}

void on_startup() {
    if (previous_startup != nullptr)
        previous_startup();
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    for (int i = 0; i < block_count; ++i) {
        bool found;
        blocks[i]->memory = ShmemInitStruct(blocks[i]->name, blocks[i]->bytes(), &found);
        if (blocks[i]->locks > 0)
            blocks[i]->tranche = GetNamedLWLockTranche(blocks[i]->name);
        if (!found)
            boundary([&] { blocks[i]->initialize(blocks[i]->memory); });
    }
    LWLockRelease(AddinShmemInitLock);
}
} // namespace

void request_shared(shared_block *block) {
    if (block_count == most_blocks)
        raise({.code = ERRCODE_INTERNAL_ERROR, .message = "too many shared memory blocks"});
    if (block_count == 0) {
        previous_request = shmem_request_hook;
        shmem_request_hook = on_request;
        previous_startup = shmem_startup_hook;
        shmem_startup_hook = on_startup;
    }
    blocks[block_count++] = block;
}

} // namespace dbopt::pg
