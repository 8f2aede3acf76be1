// The partitions of dbopt.history: one per week (Monday 00:00 UTC), made when its first snapshot comes,
// dropped as a whole when all of it is past retention.
#pragma once
#include "pg/value.hpp"

namespace dbopt::monitor {

// Makes the partition for this time. True when it did not exist: its first snapshot must be a key
// frame, so that a partition can always be read without the one before it.
bool ensure_history_partition(pg::timestamptz at);

// Drops partitions that end before `keep` ago. One that is in use stays until the next time.
void drop_history_partitions(const pg::interval &keep);

} // namespace dbopt::monitor
