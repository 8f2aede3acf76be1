#include "pg/memory.hpp"

namespace dbopt::pg {

namespace {
// What lies before each block, so that free finds what palloc returned.
struct header {
    void *start;
};
} // namespace

void *context_allocate(MemoryContext context, size_t bytes, size_t alignment) {
    const size_t room = bytes + alignment + sizeof(header);
    // Past the server's own limit palloc raises in spite of NO_OOM: a jump over C++ frames.
    void *start = room < bytes || room > MaxAllocHugeSize
                      ? nullptr
                      : MemoryContextAllocExtended(context, room, MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE);
    if (start == nullptr)
        throw std::bad_alloc();
    auto address = reinterpret_cast<uintptr_t>(start) + sizeof(header);
    address = (address + alignment - 1) & ~(uintptr_t{alignment} - 1);
    reinterpret_cast<header *>(address)[-1].start = start;
    return reinterpret_cast<void *>(address);
}

void context_free(void *p) noexcept {
    if (p != nullptr)
        pfree(static_cast<header *>(p)[-1].start);
}

static MemoryContext make(MemoryContext parent, const char *name) {
    return call([&] {
        MemoryContext c = AllocSetContextCreate(parent, "dbopt", ALLOCSET_DEFAULT_SIZES);
        MemoryContextSetIdentifier(c, name);
        return c;
    });
}

context_resource::context_resource(const char *name, MemoryContext parent)
    : context_(make(parent, name)) {}
context_resource::~context_resource() { MemoryContextDelete(context_); }

scratch::scratch(const char *name)
    : context_(make(CurrentMemoryContext, name)), previous_(MemoryContextSwitchTo(context_)) {}
scratch::~scratch() {
    MemoryContextSwitchTo(previous_);
    MemoryContextDelete(context_);
}

} // namespace dbopt::pg
