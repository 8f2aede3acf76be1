// A range of blocks straight from the relation's file, many at a time, for who reads a whole relation once.
//
// A page that is not in the server's cache costs an entry of the table of buffers, a victim and a system call.
// Here it is asked only whether the page is in the cache; runs of pages that are not are read with one call into
// private memory. That sees what the server would see: it writes a changed page to the file before it lets go of
// the buffer. A page that another process brings in, changes and writes during the call may be seen half new; so
// readers check everything that lies on a page, as they do for damaged ones.
// The lock on the relation keeps it from being truncated or rewritten. Not for temporary tables (their cache is the
// session's) and other storage managers than the server's own, whose files may not hold plain pages.
#pragma once
#include "pg/relation.hpp"

namespace dbopt::pg {

class file_pages {
  public:
    explicit file_pages(Relation relation) : relation_(relation) {}
    ~file_pages();
    file_pages(const file_pages &) = delete;
    file_pages &operator=(const file_pages &) = delete;

    void over_range(uint32_t from, uint32_t to);
    // Inside pg::call: the next page of the range, or nullptr when it has to be read through the cache. Valid
    // until the next call.
    Page next();
    uint32_t at() const { return at_ - 1; } // the block of the last next()
    // The last page was of no use as a copy: if that goes on, the cache is asked for all of them for a while.
    void useless() { ++useless_; }

  private:
    static constexpr uint32_t batch = 32; // 256 kB: as large as the ring of a scan, and it fits a processor's cache
    void fill();
    bool cached(uint32_t block) const;
    bool open(uint32_t segment);
    void read_run(uint32_t from, uint32_t to);
    Relation relation_;
    char *memory_ = nullptr, *pages_ = nullptr; // as allocated; aligned
    int file_ = -1;
    uint32_t segment_ = 0;
    uint32_t at_ = 0, to_ = 0;       // next block, end of the range
    uint32_t first_ = 0, end_ = 0;   // the batch
    uint32_t useless_ = 0, rest_ = 0; // of this batch; batches left to the cache
    bool here_[batch];               // read into pages_
};

} // namespace dbopt::pg
