// Packed counters (core/packed_counts.hpp) in a table of dbopt's own: bucket int4, data bytea; one unique
// index on bucket. Read and written through the access methods, so that rollback, savepoints and
// snapshots need no care; bucket -1 describes the rest.
#pragma once
#include "core/packed_counts.hpp"
#include "pg/frozen.hpp"

namespace dbopt::pg {

struct count_header {
    uint32_t version = 2, buckets = 1;
    int32_t key = 0, width = 0;
    uint64_t seeds[2] = {0, 0}; // of hashed keys
    int64_t entries = 0;
    // Of the server that made it: another one may hash otherwise, and pg_upgrade takes the tables along.
    uint32_t server = PG_VERSION_NUM / 10000, spare = 0;
};

class count_store {
  public:
    count_store(Oid table, const frozen &now);
    ~count_store();
    count_store(const count_store &) = delete;
    count_store &operator=(const count_store &) = delete;

    count_header header(); // raises if there is none
    // Content of a bucket, until the next call; the next put() of that bucket replaces it.
    std::string_view get(int32_t bucket);
    void put(int32_t bucket, std::string_view data);
    void put_header(const count_header &h);
    // For an empty table without its index: rows only.
    void append(int32_t bucket, std::string_view data);
    // More buckets, when entries are going to be too many for those there are.
    void make_room(const core::packed_layout &l, count_header &h, uint64_t more);

  private:
    void open_scan();
    void fill_row(int32_t bucket, std::string_view data);
    Relation relation_ = nullptr;
    EState *estate_ = nullptr;
    ResultRelInfo *result_ = nullptr;
    IndexScanDesc scan_ = nullptr;
    TupleTableSlot *found_ = nullptr, *fresh_ = nullptr;
    BulkInsertState bulk_ = nullptr;
    char *buffer_ = nullptr;
    int32_t at_ = INT32_MIN; // bucket of found_
};

} // namespace dbopt::pg
