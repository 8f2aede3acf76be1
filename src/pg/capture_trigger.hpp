// Change capture below materialized views: the trigger function and what it needs.
//
// Statement-level triggers with transition tables, in C: each statement adds its rows, projected to
// the columns that some matview needs, to one unlogged table per relation (dbopt.matview_log_<oid>:
// xid, cid, w, c<attribute> …). cid orders the changes of one transaction. The rows belong to the (sub)transaction that wrote them, so rollback,
// savepoints, PREPARE and a refresh in the writer's own transaction need no further care. Pairs that
// do not differ in those columns leave no trace. w = 0 marks what cannot be captured (TRUNCATE).
#pragma once
#include "pg/value.hpp"

namespace dbopt::pg {

std::string capture_log_name(Oid base); // unqualified
Oid capture_log(Oid base);              // InvalidOid when there is none
// The triggers of one relation (a partition or child logs for its root `base`). The caller holds SHARE
// ROW EXCLUSIVE or more and acts as the extension's owner.
void install_capture(Oid relation, Oid base);
void remove_capture(Oid relation);
// All four triggers are there, fire always and write the log of `base`; for a matview, which has no
// triggers: its log is there.
bool has_capture(Oid relation, Oid base);
// The relation and, of a partitioned table, everything below: a statement fires the triggers of the
// relation that it names.
std::vector<Oid> capture_points(Oid base);
// A refresh writes the log of its matview by itself, if some other matview reads it. nullptr: no log.
struct capture;
capture *begin_capture(Relation written);
void add_capture(capture *c, TupleTableSlot *row, int weight);
void end_capture(capture *c);
// Says in the log of `base`, if it has one, that something happened which is not in it.
void mark_uncaptured(Oid base);
// DROP EXTENSION takes the object away without CASCADE.
void make_member(Oid table);
void drop_member(Oid table);

} // namespace dbopt::pg
