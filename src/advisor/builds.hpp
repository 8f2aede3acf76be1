// Building chosen indexes without blocking anyone, verifying that they help, and taking them back if
// they do not. Work is queued (pg/queue.hpp); background() moves each build to its next state:
//
//   building → kept | dropped | failed          (verify)
//   building → built | failed                   (no verification)
//   partitioned: the parent's index ON ONLY at once, each leaf's CONCURRENTLY, then ATTACH
#pragma once
#include "pg/entry.hpp"

namespace dbopt::advisor {

// Queues the build of the index that exactly one CREATE INDEX statement describes. Returns the run.
// Needs ownership of the table. Raises 42P07 when a relation of that name exists.
int64_t apply(const std::string &ddl, bool verify, std::optional<int64_t> expectation = {});

// Remembers that an index must exist; background() builds it once its table does.
void expect(const std::string &ddl);

} // namespace dbopt::advisor
