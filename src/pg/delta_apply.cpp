// Rows into a materialized view (or a state table) through the table access method.
//
// SQL refuses to change a materialized view; the access method does not. What it takes: ROW EXCLUSIVE,
// every index kept right, WAL as always. Order: deletes, updates, inserts, so that a unique key may
// move from one row to another within one refresh. A row whose unique key changes is deleted and inserted.
#include "pg/capture_trigger.hpp"
#include "pg/compat.hpp"
#include "pg/frozen.hpp"

extern "C" {
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"
}

namespace dbopt::pg {

namespace {

constexpr int lead = 2; // tid, delete

struct writer {
    Relation relation;
    EState *estate;
    ResultRelInfo *result;
    TupleTableSlot *source, *fresh, *old;
    CommandId command;
    Snapshot snapshot;
    Bitmapset *unique_columns; // attribute numbers of unique indexes; 0 stands for an expression
    int64_t moved;
    capture *log; // of the target, when other matviews read it
    change_counts counts;
};

void open_writer(writer &w, Oid target, TupleDesc desc) {
    w.relation = table_open(target, RowExclusiveLock);
    if (desc->natts != RelationGetDescr(w.relation)->natts + lead)
        elog(ERROR, "%d columns for relation \"%s\" which has %d", desc->natts - lead,
             RelationGetRelationName(w.relation), RelationGetDescr(w.relation)->natts);
    for (int i = 0; i < RelationGetDescr(w.relation)->natts; ++i)
        // A domain is stored as its base type, which is what CASE makes of it.
        if (getBaseType(TupleDescAttr(desc, i + lead)->atttypid) !=
            getBaseType(TupleDescAttr(RelationGetDescr(w.relation), i)->atttypid))
            elog(ERROR, "column %d of relation \"%s\" is of another type than its query's", i + 1,
                 RelationGetRelationName(w.relation));
    w.log = w.relation->rd_rel->relkind == RELKIND_MATVIEW ? begin_capture(w.relation) : nullptr;
    w.estate = CreateExecutorState();
    w.result = makeNode(ResultRelInfo);
    InitResultRelInfo(w.result, w.relation, 0, nullptr, 0);
    ExecOpenIndices(w.result, false);
    w.source = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
    w.fresh = table_slot_create(w.relation, nullptr);
    w.old = table_slot_create(w.relation, nullptr);
    w.command = GetCurrentCommandId(true);
    w.unique_columns = nullptr;
    for (int i = 0; i < w.result->ri_NumIndices; ++i) {
        const IndexInfo *index = w.result->ri_IndexRelationInfo[i];
        if (!index->ii_Unique && index->ii_ExclusionOps == nullptr)
            continue;
        for (int k = 0; k < index->ii_NumIndexKeyAttrs; ++k)
            w.unique_columns = bms_add_member(w.unique_columns, index->ii_IndexAttrNumbers[k]);
        if (index->ii_Predicate != NIL)
            w.unique_columns = bms_add_member(w.unique_columns, 0);
    }
}

void close_writer(writer &w) {
    end_capture(w.log);
    ExecDropSingleTupleTableSlot(w.source);
    ExecDropSingleTupleTableSlot(w.fresh);
    ExecDropSingleTupleTableSlot(w.old);
    ExecCloseIndices(w.result);
    FreeExecutorState(w.estate);
    table_close(w.relation, NoLock);
}

void fill(writer &w) {
    const int columns = w.fresh->tts_tupleDescriptor->natts;
    slot_getallattrs(w.source);
    ExecClearTuple(w.fresh);
    memcpy(w.fresh->tts_values, w.source->tts_values + lead, sizeof(Datum) * columns);
    memcpy(w.fresh->tts_isnull, w.source->tts_isnull + lead, sizeof(bool) * columns);
    ExecStoreVirtualTuple(w.fresh);
    w.fresh->tts_tableOid = RelationGetRelid(w.relation);
}

bool same_column(writer &w, int column) {
    if (w.old->tts_isnull[column] || w.fresh->tts_isnull[column])
        return w.old->tts_isnull[column] && w.fresh->tts_isnull[column];
    const Form_pg_attribute a = TupleDescAttr(w.fresh->tts_tupleDescriptor, column);
    return datum_image_eq(w.old->tts_values[column], w.fresh->tts_values[column], a->attbyval,
                          a->attlen);
}

enum class verdict { same, update, move };

verdict compare(writer &w) {
    slot_getallattrs(w.old);
    verdict v = verdict::same;
    for (int c = 0; c < w.fresh->tts_tupleDescriptor->natts; ++c) {
        if (same_column(w, c))
            continue;
        v = verdict::update;
        if (bms_is_member(c + 1, w.unique_columns))
            return verdict::move;
    }
    return v == verdict::update && bms_is_member(0, w.unique_columns) ? verdict::move : v;
}

void fetch_old(writer &w, ItemPointer tid) {
    if (!table_tuple_fetch_row_version(w.relation, tid, w.snapshot, w.old))
        elog(ERROR, "row to change not found in \"%s\"", RelationGetRelationName(w.relation));
}

void conflict(writer &w) {
    ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                    errmsg("rows of \"%s\" were changed by another transaction meanwhile",
                           RelationGetRelationName(w.relation))));
}

void remove(writer &w, ItemPointer tid) {
    if (w.log != nullptr) {
        fetch_old(w, tid);
        add_capture(w.log, w.old, -1);
    }
    TM_FailureData failure;
    if (table_tuple_delete(w.relation, tid, w.command, w.snapshot, InvalidSnapshot, true, &failure,
                           false) != TM_Ok)
        conflict(w);
}

void insert(writer &w) {
    if (w.log != nullptr)
        add_capture(w.log, w.fresh, 1);
    table_tuple_insert(w.relation, w.fresh, w.command, 0, nullptr);
    if (w.result->ri_NumIndices > 0)
        compat::insert_index_entries(w.result, w.fresh, w.estate, false, false);
}

void update(writer &w, ItemPointer tid) {
    bool indexes = false, summarizing = false;
    if (w.log != nullptr) {
        add_capture(w.log, w.old, -1);
        add_capture(w.log, w.fresh, 1);
    }
    if (compat::update_tuple(w.relation, tid, w.fresh, w.command, w.snapshot, &indexes,
                             &summarizing) != TM_Ok)
        conflict(w);
    if (w.result->ri_NumIndices > 0 && indexes)
        compat::insert_index_entries(w.result, w.fresh, w.estate, true, summarizing);
}

void skip_or_insert(writer &w, bool gone, bool last) {
    if (!last || gone)
        return;
    fill(w);
    insert(w);
    ++w.counts.inserted;
}

// First pass: deletes and updates; a row whose unique key changes is deleted. Updates leave unique keys
// alone, so that they stand in nobody's way. Last pass: inserts, of moved rows too.
void pass(writer &w, Tuplestorestate *rows, bool last) {
    tuplestore_rescan(rows);
    while (tuplestore_gettupleslot(rows, true, false, w.source)) {
        CHECK_FOR_INTERRUPTS();
        ResetPerTupleExprContext(w.estate);
        bool no_tid = false, null = false;
        const Datum tid_datum = slot_getattr(w.source, 1, &no_tid);
        const bool gone = DatumGetBool(slot_getattr(w.source, 2, &null)) && !null;
        if (no_tid) {
            skip_or_insert(w, gone, last);
            continue;
        }
        if (last && (gone || w.moved == 0))
            continue;
        ItemPointerData tid = *reinterpret_cast<ItemPointer>(DatumGetPointer(tid_datum));
        if (gone) {
            remove(w, &tid);
            ++w.counts.deleted;
            continue;
        }
        fill(w);
        // In the last pass the row is gone or updated already: its old version is still readable.
        fetch_old(w, &tid);
        const verdict v = compare(w);
        if (last) {
            if (v == verdict::move)
                insert(w);
            continue;
        }
        ++(v == verdict::same ? w.counts.unchanged : w.counts.updated);
        if (v == verdict::move) {
            remove(w, &tid);
            ++w.moved;
        } else if (v == verdict::update) {
            update(w, &tid);
        }
    }
}

} // namespace

change_counts frozen::apply(Oid target, const std::string &name) {
    const named_store &s = stores_.at(name);
    writer w{};
    call([&] {
        open_writer(w, target, s.desc);
        PushCopiedSnapshot(snapshot_);
        UpdateActiveSnapshotCommandId();
        w.snapshot = GetActiveSnapshot();
        pass(w, s.tuples, false);
        pass(w, s.tuples, true);
        tuplestore_rescan(s.tuples);
        PopActiveSnapshot();
        close_writer(w);
    });
    advance();
    return w.counts;
}

} // namespace dbopt::pg
