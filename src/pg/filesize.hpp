// Sizes of relations from the data folders alone: no lock is taken, none is waited for.
//
// pg_relation_size and its relatives open the relation and so wait behind ACCESS EXCLUSIVE, held or
// merely queued. Here each folder of the database is read once: all segments, all forks, all
// tablespaces. A relation that is created, rewritten or dropped meanwhile may be missing or counted
// with its old file; a monitoring figure can live with that.
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

struct relation_size {
    Oid relation = InvalidOid;
    char kind = 0;            // RELKIND_…
    Oid owner_table = InvalidOid; // the table this belongs to: itself, of a toast table or an index its table
    int64_t main = 0;         // bytes of all segments of the main fork
    int64_t other = 0;        // free space map, visibility map, init fork
    int64_t total() const { return main + other; }
};

// Every relation with storage of the current database, catalogs included, in no order.
std::vector<relation_size> relation_sizes();

// Bytes of the current database in all tablespaces, by its folders alone.
int64_t database_bytes();

// Bytes below one folder of the cluster, relative to the data directory (not recursive); -1 when it
// cannot be read.
int64_t folder_bytes(const char *path);

} // namespace dbopt::pg
