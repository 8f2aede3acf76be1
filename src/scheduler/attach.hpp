// How the long-lived processes of a database announce themselves in shared memory and leave it.
#pragma once
#include "pg/crew.hpp"
#include "pg/worker.hpp"

namespace dbopt::scheduler {

// Starts a worker whose end is seen in shared memory, so that no handle is kept. False: no slot left.
bool start_process(const pg::worker_spec &spec);

enum class part { database_worker, rooms };

// Registers this process, and its exit callback. False when the database is parked or when another
// process has the part already: go away.
bool attach(Oid database, part p);
// After connecting: false when the database was parked meanwhile.
bool still_welcome(Oid database);
void set_ready(Oid database);
// The database has no extension: the launcher asks again when one is created. News that came after
// `seen` wins, so that a CREATE EXTENSION just now is not lost.
void set_absent(Oid database, uint64_t seen);
uint64_t news_of(Oid database);
bool is_parked(Oid database);
// Reads the catalog: needs a transaction.
bool extension_exists();
// The same in a transaction of its own. After an error: the extension was dropped under our feet, and
// what failed for that is nothing to speak of.
bool extension_there();

} // namespace dbopt::scheduler
