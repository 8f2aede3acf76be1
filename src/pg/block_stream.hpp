// The blocks of a relation one after the other, read ahead of time where the disk is slow.
//
// 17 and later: the server's read streams. 15: posix_fadvise, and only while reads turn out to be slow,
// for on a warm cache it is a system call for nothing.
#pragma once
#include "pg/relation.hpp"

struct ReadStream;

namespace dbopt::pg {

class block_stream {
  public:
    block_stream(Relation relation, BufferAccessStrategy ring);
    ~block_stream();
    block_stream(const block_stream &) = delete;
    block_stream &operator=(const block_stream &) = delete;

    // What next() goes through: `blocks` plus `first` each, ascending; or all of [from, to). The span
    // stays the caller's and alive.
    void over(std::span<const uint32_t> blocks, uint32_t first = 0);
    void over_range(uint32_t from, uint32_t to);
    // The next one, pinned. Inside pg::call only: it may raise. No more than was announced.
    Buffer next();
    // Inside pg::call.
    BlockNumber following(); // of the server's stream: the next block it should read

  private:
    uint32_t block_at(size_t i) const { return from_ + (listed_ ? blocks_[i] : static_cast<uint32_t>(i)); }
    void start();
    Relation relation_;
    BufferAccessStrategy ring_;
    std::span<const uint32_t> blocks_;
    bool listed_ = false;
    uint32_t from_ = 0;
    size_t count_ = 0, at_ = 0, ahead_ = 0;
    int slow_ = 0;               // blocks for which reading ahead goes on
    ReadStream *stream_ = nullptr;
    int exceptions_;
};

} // namespace dbopt::pg
