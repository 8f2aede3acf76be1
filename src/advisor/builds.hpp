// Building chosen indexes without blocking anyone, verifying that they help, and taking them back if
// they do not. Work is queued (pg/queue.hpp); background() moves each build to its next state, and
// watches the statements that were to gain for a while (dbopt._index_watch):
//
//   building → kept | dropped | failed          (verify)
//   building → built | failed                   (no verification)
//   partitioned: an index ON ONLY each partitioned level at once, each leaf's CONCURRENTLY, then ATTACH from below
#pragma once
#include "pg/entry.hpp"

namespace dbopt::advisor {

// Queues the build of the index that exactly one CREATE INDEX statement describes. Returns the run.
// Needs ownership of the table. Raises 42P07 when a relation of that name exists.
struct build_options {
    bool verify = true;
    // Times of day in the session's time zone, in µs since midnight: it does not begin outside.
    std::optional<int64_t> window_start, window_end;
    std::optional<int64_t> expectation;
};
int64_t apply(const std::string &ddl, const build_options &options);

// Queues the end of an index that brought nothing; `qualified` is quoted.
int64_t enqueue_drop(const std::string &qualified, Oid run_as);

// Remembers that an index must exist; background() builds it once its table does.
void expect(const std::string &ddl);

} // namespace dbopt::advisor
