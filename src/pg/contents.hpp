// What tables hold, by value: rows and the sum of their hashes, per range of the partition key.
//
// Read by several processes over one snapshot (pg/parallel.hpp). Only the bytes of values are looked
// at, so no function of a type's owner runs, and equal sums mean equal images.
#pragma once
#include "core/partition_plan.hpp"
#include "core/row_hash.hpp"
#include "pg/query.hpp"

namespace dbopt::pg {

struct contents_request {
    Oid like = InvalidOid;               // its columns, matched by name, in its order
    std::vector<Oid> left, right;        // tables with storage
    std::string key_column;
    core::key_unit unit = core::key_unit::timestamptz;
    std::vector<core::position> edges;   // sorted; range i ends below edges[i], the last has no end
};

struct contents {
    // One more than edges, and one for keys that are NULL.
    std::vector<core::content_sum> left, right;
};

// With the transaction's snapshot: call it in a REPEATABLE READ transaction to look at more than this.
contents read_contents(const contents_request &request);

// The columns that count, as a list for SELECT, each led by `prefix`.
std::vector<std::string> content_columns(Oid like);
// Takes rows, selected with these columns, out of the sums.
void take_out(const contents_request &request, const result &rows, std::vector<core::content_sum> &sums);

} // namespace dbopt::pg
