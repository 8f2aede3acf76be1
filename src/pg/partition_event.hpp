// The event trigger that notices partitions as they come.
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

// Whether the command made or attached a partition.
bool partition_came(FunctionCallInfo info);
// No row that anybody could see, but for transactions under way: none, under the lock of whoever made or
// attached it.
bool is_empty(Oid relation);
// Whether this transaction holds it for itself alone. Waits for nothing.
bool held_exclusively(Oid relation);

} // namespace dbopt::pg
