// Rows of one table into the partitions of another, many per WAL record (as COPY writes them) and
// without triggers, constraints or indexes: the copying half of a conversion. The caller knows that
// the rows are valid because the source holds them already.
#pragma once
#include "core/partition_plan.hpp"
#include "pg/error.hpp"

namespace dbopt::pg {

struct copy_target {
    Oid leaf = InvalidOid;
    core::bounds range{}; // sorted, without overlap
};

struct copy_request {
    Oid source = InvalidOid;
    uint32_t first_block = 0, end_block = 0; // [first, end)
    int16_t key_attribute = 0;               // in the source
    core::key_unit unit = core::key_unit::timestamptz;
    const std::vector<copy_target> *targets = nullptr;
    Oid default_leaf = InvalidOid;           // rows that fit nowhere, and NULL keys
};

// In the current transaction, with a snapshot of its own. Returns the number of rows.
int64_t bulk_copy(const copy_request &request);

uint32_t blocks_of(Oid relation);
// Inside of call(): refuses what has no TID range scan, a call of which would end the process.
void require_tid_ranges(struct RelationData *r);
bool has_tid_ranges(Oid relation);
// What this session wrote and committed, with synchronous_commit = off too, is on disk afterwards.
void flush_wal();

} // namespace dbopt::pg
