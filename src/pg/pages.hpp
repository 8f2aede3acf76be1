// Reading pages of heaps and indexes as they lie on disk, for measuring.
//
// One visit and one share lock per page, through a small buffer ring: the cache keeps what it holds.
// All readers hold AccessShareLock (so
// nothing truncates or rewrites the relation meanwhile) and run no user-defined code.
// Idea and definitions of live, dead and free: contrib/pgstattuple.
#pragma once
#include "pg/block_stream.hpp"
#include "pg/file_pages.hpp"
#include "pg/relation.hpp"

namespace dbopt::pg {

// A relation that is open and locked for reading, for a scope.
class open_relation {
  public:
    // Does not wait longer than wait_ms; valid() is false when the lock was not free or the relation
    // is gone (then `why` says which).
    open_relation(Oid relation, int64_t wait_ms);
    ~open_relation();
    open_relation(const open_relation &) = delete;
    open_relation &operator=(const open_relation &) = delete;
    bool valid() const { return relation_ != nullptr; }
    const char *why() const { return why_; }
    Relation get() const { return relation_; }
    uint32_t blocks() const;
    bool shareable() const; // other processes can read it: not a temporary table

  private:
    Relation relation_ = nullptr;
    const char *why_ = nullptr;
    int exceptions_;
};

constexpr int most_tuples_per_page = MaxHeapTuplesPerPage;

// What one heap page holds. In bytes as pgstattuple counts them.
struct heap_page {
    struct totals {
        uint32_t live_bytes, dead_bytes, free_bytes;
        uint32_t held_bytes;    // part of dead_bytes that some transaction may still see
        uint32_t running_bytes; // part of live_bytes written or deleted by running transactions
        uint32_t live, dead;    // tuples
        uint32_t dead_pointers; // pruned rows whose line pointers and index entries wait for VACUUM
        uint32_t root_entries;  // index entries a rebuild makes for this page
        uint32_t entries;       // those that an index may have: of roots of chains, pruned rows included
    } sum;
    uint32_t runs;              // tuples that a rewrite keeps, in order, as runs of one length …
    struct run {
        uint16_t length, count; // … after it
    } kept[most_tuples_per_page];
};

enum class fate { live, running, held, gone }; // of a row

class heap_reader {
  public:
    // oldest_xmin: rows deleted before it are gone for everybody; Invalid: asked for.
    explicit heap_reader(Relation relation, TransactionId oldest_xmin = InvalidTransactionId);
    ~heap_reader();
    heap_reader(const heap_reader &) = delete;
    heap_reader &operator=(const heap_reader &) = delete;
    void prefetch(uint32_t block) const;
    // Which pages next() reads: these (the span stays alive), or all of [from, to).
    void over(std::span<const uint32_t> blocks);
    void over_range(uint32_t from, uint32_t to);
    void next(heap_page &page);
    TransactionId oldest_xmin() const { return oldest_xmin_; }
    // Which of these tuples (of one block) an index rebuilt now would point to.
    void live_roots(uint32_t block, std::span<const uint16_t> offsets, std::span<bool> live);
    // Sum of the free-space map over the first `blocks` blocks and its values for some of them
    // (ascending). False when there is no map, or it is too large to be worth reading.
    bool free_space_map(uint32_t blocks, std::span<const uint32_t> wanted, std::span<double> values,
                        double &sum);
    // The same for the visibility map; a value is 1 where not all-visible.
    bool visibility_map(uint32_t blocks, std::span<const uint32_t> wanted, std::span<double> values,
                        double &sum);
    int fillfactor() const;

  private:
    Buffer next_buffer();
    bool read_page(Page page, Buffer buffer, heap_page &out);
    fate judge_slowly(HeapTupleHeader tuple, uint32_t length, ItemPointerData at, Buffer buffer) const;
    bool chain_needed(Page page, Buffer buffer, OffsetNumber at) const;
    uint16_t rewritten_length(HeapTupleHeader tuple, uint32_t length);
    Relation relation_;
    BufferAccessStrategy ring_;
    TransactionId oldest_xmin_;
    std::optional<block_stream> stream_;
    std::optional<file_pages> range_;
    bool reshape_ = false; // dropped or late-added columns: a rewrite changes lengths
    Datum *values_ = nullptr;
    bool *nulls_ = nullptr;
};

// Copies one page of any fork-0 block into 8 kB of caller's memory, under a short share lock.
class page_reader {
  public:
    explicit page_reader(Relation relation);
    ~page_reader();
    page_reader(const page_reader &) = delete;
    page_reader &operator=(const page_reader &) = delete;
    void copy(uint32_t block, char *page);
    block_stream &stream() { return *stream_; }
    void copy_next(char *page);

  private:
    Relation relation_;
    BufferAccessStrategy ring_;
    std::optional<block_stream> stream_;
};

// Nothing when the relation can be measured as a heap, otherwise the reason for not doing so.
const char *heap_obstacle(Relation relation);

} // namespace dbopt::pg
