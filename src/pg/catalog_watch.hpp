// Counts what may have changed about relations, functions and roles, so that knowledge about a definition
// can be kept in the backend's memory: it holds while the count stands still.
//
//   const uint64_t before = pg::catalog_changes();   // then look at the catalogs
//   pg::watch_relation(base);                        // from now on its changes are counted
//   …
//   if (before == pg::catalog_changes()) …           // what was seen still holds
//
// The server tells of changes when a lock is taken (AcceptInvalidationMessages): look after locking.
#pragma once
#include "pg/value.hpp"

namespace dbopt::pg {

uint64_t catalog_changes();
// Grows with every message about any relation, watched or not: whether something may have been missed before a watch.
uint64_t relation_messages();
void watch_relation(Oid relation);
// Tells all backends that something about this relation is to be looked up again.
void announce_change(Oid relation);
// The settings that the content of a view depends on, as one text.
std::string content_settings();
// As pg_relation_filenode(): 0 when it has no file.
Oid relation_file(Oid relation);

} // namespace dbopt::pg
