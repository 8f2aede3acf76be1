// Virtual pages: how much room the surviving tuples would take after a rewrite.
//
// What VACUUM FULL and REINDEX give back does not follow from free space: alignment, fillfactor, the
// limit of line pointers per page, the end of a page into which the next tuple does not fit, and
// deduplication decide. So the tuples of the sample are put into pages as the server would do it.
// Sources: raw_heap_insert (access/heap/rewriteheap.c), _bt_buildadd and _bt_dedup_*
// (access/nbtree/nbtsort.c, nbtdedup.c).
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace dbopt::core {

struct page_layout {
    uint32_t page_bytes = 8192;
    uint32_t header_bytes = 24;
    uint32_t line_pointer_bytes = 4;
    uint32_t alignment = 8;
};

constexpr uint32_t align_up(uint32_t n, uint32_t to) { return (n + to - 1) & ~(to - 1); }

// Rewrites a heap tuple by tuple.
class heap_packer {
  public:
    struct options {
        uint32_t fillfactor = 100;
        uint32_t max_tuples = 291; // MaxHeapTuplesPerPage
        page_layout layout = {};
    };
    explicit heap_packer(const options &o);
    // So many tuples of one length (before alignment, header included). Inline: called for every row.
    void add(uint32_t tuple_bytes, uint32_t times = 1) {
        const uint32_t item = align_up(tuple_bytes, o_.layout.alignment) + o_.layout.line_pointer_bytes;
        if (times == 1 && count_ > 0 && count_ < o_.max_tuples && used_ + item <= full_at_) {
            used_ += item;
            ++count_;
        } else {
            add_run(item, times);
        }
    }
    // Pages so far; the open one counts by how full it is compared with what is full for it.
    double pages() const;
    uint64_t full_pages() const { return full_ + (count_ > 0 ? 1 : 0); } // as a file would have them

  private:
    void add_run(uint32_t item, uint32_t times);
    options o_;
    uint32_t usable_, full_at_; // bytes; a tuple that would end past full_at_ begins a page
    uint64_t full_ = 0;
    uint32_t used_ = 0, count_ = 0;
};

// Builds the leaf level of a b-tree from index entries in key order.
class btree_packer {
  public:
    struct options {
        uint32_t fillfactor = 90;
        uint32_t special_bytes = 16;
        bool deduplicate = true;
        page_layout layout = {};
    };
    explicit btree_packer(const options &o);
    // A group of `count` heap rows with one key; key_bytes is the aligned size of a plain entry.
    // `cut`: the group may go on outside of the sampled page, its last part waits for the next such.
    void add(uint32_t key_bytes, uint32_t count, bool cut = false);
    double pages() const;

  private:
    void put(uint32_t bytes, uint32_t posting_bytes);
    options o_;
    uint32_t usable_, reserve_, max_posting_;
    uint64_t full_ = 0;
    uint32_t used_ = 0, last_ = 0, last_posting_ = 0, count_ = 0;
    uint32_t waiting_ = 0; // rows of cut groups
};

} // namespace dbopt::core
