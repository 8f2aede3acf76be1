#include "pg/block_stream.hpp"

extern "C" {
#include "portability/instr_time.h"
#if PG_VERSION_NUM >= 170000
#include "storage/read_stream.h"
#endif
}

namespace dbopt::pg {

block_stream::block_stream(Relation relation, BufferAccessStrategy ring)
    : relation_(relation), ring_(ring), exceptions_(std::uncaught_exceptions()) {}

block_stream::~block_stream() {
#if PG_VERSION_NUM >= 170000
    // While an error travels, the abort of the (sub)transaction lets go of the pins.
    if (stream_ != nullptr && std::uncaught_exceptions() == exceptions_)
        quietly([&] { read_stream_end(stream_); });
#endif
}

void block_stream::over(std::span<const uint32_t> blocks, uint32_t first) {
    blocks_ = blocks;
    listed_ = true;
    from_ = first;
    count_ = blocks.size();
    start();
}

void block_stream::over_range(uint32_t from, uint32_t to) {
    listed_ = false;
    from_ = from;
    count_ = to - from;
    start();
}

BlockNumber block_stream::following() {
    return ahead_ < count_ ? block_at(ahead_++) : InvalidBlockNumber;
}

#if PG_VERSION_NUM >= 170000

static BlockNumber following_block(ReadStream *, void *self, void *) {
    return static_cast<block_stream *>(self)->following();
}

void block_stream::start() {
    at_ = ahead_ = 0;
    call([&] {
        if (stream_ != nullptr)
            read_stream_end(stream_);
        stream_ = nullptr;
        if (count_ > 0)
            stream_ = read_stream_begin_relation(listed_ ? READ_STREAM_DEFAULT : READ_STREAM_SEQUENTIAL,
                                                 ring_, relation_, MAIN_FORKNUM, following_block,
                                                 this, 0);
    });
}

Buffer block_stream::next() {
    CHECK_FOR_INTERRUPTS();
    ++at_;
    return read_stream_next_buffer(stream_, nullptr);
}

#else

void block_stream::start() {
    at_ = ahead_ = 0;
    slow_ = 0;
}

Buffer block_stream::next() {
    constexpr size_t distance = 32;
    constexpr double slow_us = 40; // longer than a copy from the system's cache takes
    constexpr int trust = 64;
    CHECK_FOR_INTERRUPTS();
    if (!listed_) // of a range the system reads ahead by itself
        return ReadBufferExtended(relation_, MAIN_FORKNUM, block_at(at_++), RBM_NORMAL, ring_);
    if (slow_ > 0) {
        --slow_;
        for (ahead_ = Max(ahead_, at_ + 1); ahead_ < Min(count_, at_ + 1 + distance); ++ahead_)
            (void)PrefetchBuffer(relation_, MAIN_FORKNUM, block_at(ahead_));
    }
    instr_time begin, end;
    INSTR_TIME_SET_CURRENT(begin);
    Buffer buffer = ReadBufferExtended(relation_, MAIN_FORKNUM, block_at(at_), RBM_NORMAL, ring_);
    INSTR_TIME_SET_CURRENT(end);
    INSTR_TIME_SUBTRACT(end, begin);
    if (INSTR_TIME_GET_DOUBLE(end) * 1e6 > slow_us)
        slow_ = trust;
    ++at_;
    return buffer;
}

#endif

} // namespace dbopt::pg
