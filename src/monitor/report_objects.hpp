// The report's lists of tables and indexes: the largest, those that grew most, indexes nobody reads.
#pragma once
#include "pg/query.hpp"

namespace dbopt::monitor {

// Columns as arrays of equal length, for unnest($1, $2, …); OIDs as int8.
using object_list = std::vector<pg::value>;
struct object_lists {
    object_list largest; // relation, total bytes, bytes of indexes, live rows, dead rows, all bytes of the database's tables
    object_list grown;   // relation, bytes, growth, rows inserted, updated, deleted
    object_list unused;  // index, table, pages
    int64_t database_bytes = 0;
    std::optional<pg::timestamptz> as_of = {}; // nothing: measured now
};
object_lists list_objects(const pg::interval &span);

} // namespace dbopt::monitor
