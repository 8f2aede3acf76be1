// Every difference between PostgreSQL 15, 16, 17 and 18 that C++ code meets, one inline function each.
// Version tests stand here (or in another file below src/pg/), nowhere else.
#pragma once
#include "pg/server.hpp"

extern "C" {
#include "catalog/pg_tablespace.h"
}

extern "C" {
#include "access/attmap.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "common/relpath.h"
#include "commands/explain.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "utils/relmapper.h"
#if PG_VERSION_NUM >= 160000
#include "nodes/queryjumble.h"
#else
#include "utils/queryjumble.h"
#endif
#if PG_VERSION_NUM >= 180000
#include "commands/explain_state.h"
#endif
}

namespace dbopt::pg {

// What ExecutorRun and ProcessUtility are called with, whatever the version's argument list.
struct executor_run {
    QueryDesc *query;
    ScanDirection direction;
    uint64 count;
    bool once;
};
struct utility_call {
    PlannedStmt *statement;
    const char *text;
    bool read_only;
    ProcessUtilityContext context;
    ParamListInfo params;
    QueryEnvironment *environment;
    DestReceiver *receiver;
    QueryCompletion *completion;
};

} // namespace dbopt::pg

namespace dbopt::pg::compat {

// For SQL text that must differ: views of the server that were split, renamed or added.
constexpr int server_version = PG_VERSION_NUM / 10000;

inline void call_run(ExecutorRun_hook_type previous, const executor_run &r) {
#if PG_VERSION_NUM >= 180000
    (previous != nullptr ? previous : standard_ExecutorRun)(r.query, r.direction, r.count);
#else
    (previous != nullptr ? previous : standard_ExecutorRun)(r.query, r.direction, r.count, r.once);
#endif
}

inline uint64_t instr_ns(const instr_time &t) {
#if PG_VERSION_NUM >= 160000
    return static_cast<uint64_t>(INSTR_TIME_GET_NANOSEC(t));
#else
    return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(t.tv_nsec);
#endif
}

inline uint32_t local_transaction_id() {
#if PG_VERSION_NUM >= 170000
    return MyProc->vxid.lxid;
#else
    return MyProc->lxid;
#endif
}

// The cumulative statistics of a table; the fields were renamed in 16.
#if PG_VERSION_NUM >= 160000
inline int64_t live_rows(const PgStat_StatTabEntry &e) { return e.live_tuples; }
inline int64_t dead_rows(const PgStat_StatTabEntry &e) { return e.dead_tuples; }
inline int64_t modified_rows(const PgStat_StatTabEntry &e) { return e.mod_since_analyze; }
#else
inline int64_t live_rows(const PgStat_StatTabEntry &e) { return e.n_live_tuples; }
inline int64_t dead_rows(const PgStat_StatTabEntry &e) { return e.n_dead_tuples; }
inline int64_t modified_rows(const PgStat_StatTabEntry &e) { return e.changes_since_analyze; }
#endif

// The file of a relation whose file is told by the map instead of pg_class.
inline uint32_t mapped_file(Oid relation, bool shared) {
#if PG_VERSION_NUM >= 160000
    return RelationMapOidToFilenumber(relation, shared);
#else
    return RelationMapOidToFilenode(relation, shared);
#endif
}

// Where the files of a relation are, and their path below the data folder.
#if PG_VERSION_NUM >= 160000
using file_location = RelFileLocatorBackend;
#else
using file_location = RelFileNodeBackend;
#endif
inline file_location location_of(Oid relation, Form_pg_class c) {
    const Oid space = OidIsValid(c->reltablespace) ? c->reltablespace : MyDatabaseTableSpace;
    const Oid database = space == GLOBALTABLESPACE_OID ? InvalidOid : MyDatabaseId;
    const uint32_t file = c->relfilenode != 0 ? c->relfilenode : mapped_file(relation, c->relisshared);
    const bool temporary = c->relpersistence == RELPERSISTENCE_TEMP;
    const bool own = temporary && isTempOrTempToastNamespace(c->relnamespace);
#if PG_VERSION_NUM >= 170000
    const ProcNumber backend = own ? ProcNumberForTempRelations()
                               : temporary ? GetTempNamespaceProcNumber(c->relnamespace)
                                           : INVALID_PROC_NUMBER;
#else
    const BackendId backend = own ? BackendIdForTempRelations()
                              : temporary ? GetTempNamespaceBackendId(c->relnamespace)
                                          : InvalidBackendId;
#endif
    return {{space, database, file}, backend};
}
inline const char *path_of(const file_location &f, ForkNumber fork) {
#if PG_VERSION_NUM >= 180000
    return pstrdup(relpath(f, fork).str);
#else
    return relpath(f, fork);
#endif
}

// Raises 42P01 when the relation is gone: 18 by itself would call that an internal error.
inline bool owns_relation(Oid relation, Oid role) {
#if PG_VERSION_NUM >= 160000
    if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation)))
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                        errmsg("relation with OID %u does not exist", relation)));
    return object_ownercheck(RelationRelationId, relation, role);
#else
    return pg_class_ownercheck(relation, role);
#endif
}

inline bool owns_database(Oid database, Oid role) {
#if PG_VERSION_NUM >= 160000
    return object_ownercheck(DatabaseRelationId, database, role);
#else
    return pg_database_ownercheck(database, role);
#endif
}

inline bool may_create_in(Oid schema, Oid role) {
#if PG_VERSION_NUM >= 160000
    return object_aclcheck(NamespaceRelationId, schema, role, ACL_CREATE) == ACLCHECK_OK;
#else
    return pg_namespace_aclcheck(schema, role, ACL_CREATE) == ACLCHECK_OK;
#endif
}

inline bool may_create_in_tablespace(Oid tablespace, Oid role) {
#if PG_VERSION_NUM >= 160000
    return object_aclcheck(TableSpaceRelationId, tablespace, role, ACL_CREATE) == ACLCHECK_OK;
#else
    return pg_tablespace_aclcheck(tablespace, role, ACL_CREATE) == ACLCHECK_OK;
#endif
}

// Owner, or on 17+ a holder of MAINTAIN on the relation (or a member of pg_maintain).
inline bool may_maintain(Oid relation, Oid role) {
#if PG_VERSION_NUM >= 170000
    return owns_relation(relation, role) ||
           pg_class_aclcheck(relation, role, ACL_MAINTAIN) == ACLCHECK_OK;
#else
    return owns_relation(relation, role);
#endif
}

inline bool portal_run_to_end(Portal portal, DestReceiver *receiver, QueryCompletion *completion) {
#if PG_VERSION_NUM >= 180000
    return PortalRun(portal, FETCH_ALL, true, receiver, receiver, completion);
#else
    return PortalRun(portal, FETCH_ALL, true, true, receiver, receiver, completion);
#endif
}

// attnums[column of `from` - 1] = column of `to`.
inline AttrMap *attributes_by_name(TupleDesc to, TupleDesc from) {
#if PG_VERSION_NUM >= 160000
    return build_attrmap_by_name(to, from, false);
#else
    return build_attrmap_by_name(to, from);
#endif
}

// What ExecutorStart checks: raises 42501 when the user may not do what the plan does.
inline void check_permissions(PlannedStmt *plan) {
#if PG_VERSION_NUM >= 160000
    ExecCheckPermissions(plan->rtable, plan->permInfos, true);
#else
    ExecCheckRTPerms(plan->rtable, true);
#endif
}

inline void explain_plan(PlannedStmt *plan, ExplainState *es, const char *text) {
#if PG_VERSION_NUM >= 170000
    ExplainOnePlan(plan, nullptr, es, text, nullptr, nullptr, nullptr, nullptr, nullptr);
#else
    ExplainOnePlan(plan, nullptr, es, text, nullptr, nullptr, nullptr, nullptr);
#endif
}

inline void insert_index_entries(ResultRelInfo *result, TupleTableSlot *slot, EState *estate,
                                 bool update, [[maybe_unused]] bool only_summarizing) {
#if PG_VERSION_NUM >= 160000
    (void)ExecInsertIndexTuples(result, slot, estate, update, false, nullptr, NIL,
                                only_summarizing);
#else
    (void)ExecInsertIndexTuples(result, slot, estate, update, false, nullptr, NIL);
#endif
}

inline IndexScanDesc begin_index_scan(Relation table, Relation index, Snapshot snapshot, int keys) {
#if PG_VERSION_NUM >= 180000
    return index_beginscan(table, index, snapshot, nullptr, keys, 0);
#else
    return index_beginscan(table, index, snapshot, keys, 0);
#endif
}

inline TM_Result update_tuple(Relation relation, ItemPointer tid, TupleTableSlot *slot,
                              CommandId command, Snapshot snapshot, bool *indexes,
                              bool *only_summarizing) {
    TM_FailureData failure;
    LockTupleMode mode;
    *only_summarizing = false;
#if PG_VERSION_NUM >= 160000
    TU_UpdateIndexes touched;
    const TM_Result r = table_tuple_update(relation, tid, slot, command, snapshot, InvalidSnapshot,
                                           true, &failure, &mode, &touched);
    *indexes = touched != TU_None;
    *only_summarizing = touched == TU_Summarizing;
    return r;
#else
    return table_tuple_update(relation, tid, slot, command, snapshot, InvalidSnapshot, true,
                              &failure, &mode, indexes);
#endif
}

// Whether an Append or MergeAppend can drop partitions when it is executed.
template <class Node> bool has_prune_steps(const Node *append) {
#if PG_VERSION_NUM >= 180000
    return append->part_prune_index >= 0;
#else
    return append->part_prune_info != nullptr;
#endif
}

// Free bytes of a heap page as this version's pgstattuple counts them: since 18 without a reserve for
// the next line pointer.
inline Size free_space(Page page) {
#if PG_VERSION_NUM >= 180000
    return PageGetExactFreeSpace(page);
#else
    return PageGetHeapFreeSpace(page);
#endif
}

} // namespace dbopt::pg::compat
