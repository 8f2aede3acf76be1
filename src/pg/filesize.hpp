// Sizes from the data folders alone: no lock is taken, none is waited for.
//
// pg_relation_size and its relatives open the relation and so wait behind ACCESS EXCLUSIVE, held or
// merely queued. pg/inventory.hpp puts these sizes and the catalog together.
#pragma once
#include "pg/error.hpp"
#include <unordered_map>

namespace dbopt::pg {

struct file_sizes {
    int64_t main = 0;  // bytes of all segments of the main fork
    int64_t other = 0; // of the other forks
};
using sizes_by_file = std::unordered_map<uint32_t, file_sizes>; // by relfilenode

// Adds what the database's folder in this tablespace holds. Returns the bytes of all files there,
// of those that are no relations, too; 0 when there is no such folder.
int64_t read_database_folder(Oid tablespace, sizes_by_file &into);

// Bytes below one folder of the cluster, relative to the data directory (not recursive); -1 when it
// cannot be read.
int64_t folder_bytes(const char *path);

} // namespace dbopt::pg
