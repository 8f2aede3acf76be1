#include "pg/file_pages.hpp"
#include "pg/compat.hpp"

extern "C" {
#include "storage/buf_internals.h"
#include "storage/fd.h"
#include "storage/smgr.h"
}

namespace dbopt::pg {

namespace {

#if PG_VERSION_NUM >= 160000
const compat::file_location &location_of(SMgrRelation r) { return r->smgr_rlocator; }
BufferTag tag_of(SMgrRelation r, BlockNumber block) {
    BufferTag tag;
    InitBufferTag(&tag, &r->smgr_rlocator.locator, MAIN_FORKNUM, block);
    return tag;
}
#else
const compat::file_location &location_of(SMgrRelation r) { return r->smgr_rnode; }
BufferTag tag_of(SMgrRelation r, BlockNumber block) {
    BufferTag tag;
    INIT_BUFFERTAG(tag, r->smgr_rnode.node, MAIN_FORKNUM, block);
    return tag;
}
#endif

bool is_sound(Page page, BlockNumber block) { // says nothing: whoever reads it through the cache will
#if PG_VERSION_NUM >= 180000
    bool wrong_checksum = false;
    return PageIsVerified(page, block, 0, &wrong_checksum);
#else
    return PageIsVerifiedExtended(page, block, 0);
#endif
}

} // namespace

file_pages::~file_pages() {
    if (file_ >= 0)
        quietly([&] { FileClose(file_); });
    if (memory_ != nullptr)
        pfree(memory_);
}

void file_pages::over_range(uint32_t from, uint32_t to) {
    at_ = first_ = end_ = from;
    to_ = to;
    useless_ = 0;
}

Page file_pages::next() {
    if (at_ == end_)
        fill();
    const uint32_t i = at_++ - first_;
    return here_[i] ? static_cast<Page>(pages_ + size_t{i} * BLCKSZ) : nullptr;
}

// Which pages of the batch are read, and reading them.
void file_pages::fill() {
    constexpr uint32_t alignment = 4096, pause = 15;
    CHECK_FOR_INTERRUPTS();
    if (useless_ > (end_ - first_) / 4)
        rest_ = pause;
    useless_ = 0;
    first_ = at_;
    end_ = Min(to_, first_ + batch - first_ % batch); // batches never cross the end of a file
    std::fill_n(here_, batch, false);
    if (rest_ > 0) {
        --rest_;
        return;
    }
    if (RelationUsesLocalBuffers(relation_) || RelationGetSmgr(relation_)->smgr_which != 0) {
        rest_ = pause;
        return;
    }
    if (memory_ == nullptr) {
        memory_ = static_cast<char *>(palloc(batch * BLCKSZ + alignment));
        pages_ = reinterpret_cast<char *>(TYPEALIGN(alignment, memory_));
    }
    uint32_t in_cache = 0;
    for (uint32_t from = first_; from < end_;) {
        if (cached(from)) {
            ++from, ++in_cache;
            continue;
        }
        uint32_t to = from + 1;
        while (to < end_ && !cached(to))
            ++to;
        read_run(from, to);
        from = to + 1; // that one is in the cache
        in_cache += to < end_ ? 1 : 0;
    }
    if (in_cache == end_ - first_) // probably all of it: ask less often
        rest_ = 3;
}

bool file_pages::cached(uint32_t block) const {
    BufferTag tag = tag_of(RelationGetSmgr(relation_), block);
    const uint32 hash = BufTableHashCode(&tag);
    LWLock *partition = BufMappingPartitionLock(hash);
    LWLockAcquire(partition, LW_SHARED);
    const int id = BufTableLookup(&tag, hash);
    LWLockRelease(partition);
    return id >= 0;
}

bool file_pages::open(uint32_t segment) {
    if (file_ >= 0 && segment_ == segment)
        return true;
    if (file_ >= 0)
        FileClose(std::exchange(file_, -1));
    const char *path = compat::path_of(location_of(RelationGetSmgr(relation_)), MAIN_FORKNUM);
    file_ = PathNameOpenFile(segment == 0 ? path : psprintf("%s.%u", path, segment), O_RDONLY | PG_BINARY);
    segment_ = segment;
    return file_ >= 0;
}

// What cannot be read, or is not a sound page, is left to the cache: that raises the server's error.
void file_pages::read_run(uint32_t from, uint32_t to) {
    constexpr uint32_t segment = RELSEG_SIZE;
    if (!open(from / segment))
        return;
    char *start = pages_ + size_t{from - first_} * BLCKSZ;
    const int64_t bytes = FileRead(file_, start, (to - from) * BLCKSZ, off_t{from % segment} * BLCKSZ,
                                   WAIT_EVENT_DATA_FILE_READ);
    for (uint32_t i = 0; i < to - from && int64_t{i + 1} * BLCKSZ <= bytes; ++i) {
        here_[from - first_ + i] = is_sound(start + size_t{i} * BLCKSZ, from + i);
        pgstat_count_buffer_read(relation_);
        ++pgBufferUsage.shared_blks_read;
    }
}

} // namespace dbopt::pg
