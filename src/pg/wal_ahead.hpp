// WAL segments made before they are needed.
//
// A commit that meets the end of a segment whose successor does not exist yet makes it: 16 MB of zeros,
// written and synced under WALWriteLock, while everyone else who commits waits. A server that writes
// steadily recycles old segments; one that suddenly writes much has none left. Who is about to write much
// makes them himself, without that lock. Source: PreallocXlogFiles (src/backend/access/transam/xlog.c).
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

// So that about this many bytes find their segments; never more than a quarter of max_wal_size.
void make_wal_ahead(int64_t bytes);

} // namespace dbopt::pg
