// Change capture below materialized views: the trigger function and what it needs.
//
// Statement-level triggers with transition tables, in C: each statement adds its rows, projected to
// the columns that some matview needs, to one unlogged table per relation (dbopt.matview_log_<oid>:
// xid, w, c<attribute> …). The rows belong to the (sub)transaction that wrote them, so rollback,
// savepoints, PREPARE and a refresh in the writer's own transaction need no further care. Pairs that
// do not differ in those columns leave no trace. w = 0 marks what cannot be captured (TRUNCATE).
#pragma once
#include "pg/value.hpp"

namespace dbopt::pg {

std::string capture_log_name(Oid base); // unqualified
// The triggers of one relation (a partition or child logs for its root `base`). The caller holds SHARE
// ROW EXCLUSIVE or more and acts as the extension's owner.
void install_capture(Oid relation, Oid base);
void remove_capture(Oid relation);
bool has_capture(Oid relation);
// DROP EXTENSION takes the object away without CASCADE.
void make_member(Oid table);
void drop_member(Oid table);

} // namespace dbopt::pg
