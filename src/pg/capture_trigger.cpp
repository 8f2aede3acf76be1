#include "pg/capture_trigger.hpp"
#include "pg/query.hpp"

extern "C" {
#include "access/transam.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/dependency.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "parser/parse_func.h"
#include "utils/datum.h"
#include "utils/tuplestore.h"
#include "utils/xid8.h"
}

namespace dbopt::pg {

// A log that is being written.
struct capture {
    Relation log;
    TupleTableSlot *out;
    BulkInsertState bulk;
    AttrNumber *from; // column of the written relation for each column of the log
    CommandId command;
};

namespace {

constexpr int log_lead = 3; // xid, cid, w
constexpr const char *events[] = {"ins", "upd", "del", "trunc"};


// The log's columns are called c<attribute of the root>; a partition may number its own otherwise.
// False when a column has another type than the log's: its matview is gone, its log not yet, and the
// owner has altered the column meanwhile. A value stored as another type would crash whoever reads it.
bool map_columns(capture &c, Relation written, Oid base) {
    TupleDesc desc = RelationGetDescr(c.log);
    c.from = static_cast<AttrNumber *>(palloc0(sizeof(AttrNumber) * desc->natts));
    for (int i = log_lead; i < desc->natts; ++i) {
        const AttrNumber a =
            static_cast<AttrNumber>(atoi(NameStr(TupleDescAttr(desc, i)->attname) + 1));
        const char *name = get_attname(base, a, true);
        AttrNumber from = RelationGetRelid(written) == base ? a
                          : name == nullptr ? InvalidAttrNumber
                                            : get_attnum(RelationGetRelid(written), name);
        if (from <= 0 || from > RelationGetNumberOfAttributes(written) ||
            TupleDescAttr(RelationGetDescr(written), from - 1)->attisdropped)
            from = InvalidAttrNumber;
        else if (TupleDescAttr(RelationGetDescr(written), from - 1)->atttypid !=
                 TupleDescAttr(desc, i)->atttypid)
            return false;
        c.from[i] = from;
    }
    return true;
}

void write(capture &c, TupleTableSlot *row, int64 weight) {
    ExecClearTuple(c.out);
    c.out->tts_values[0] = FullTransactionIdGetDatum(GetTopFullTransactionId());
    c.out->tts_isnull[0] = false;
    c.out->tts_values[1] = Int64GetDatum((int64)c.command);
    c.out->tts_isnull[1] = false;
    c.out->tts_values[2] = Int64GetDatum(weight);
    c.out->tts_isnull[2] = false;
    for (int i = log_lead; i < c.out->tts_tupleDescriptor->natts; ++i) {
        c.out->tts_isnull[i] = true;
        c.out->tts_values[i] = 0;
        if (row != nullptr && c.from[i] != InvalidAttrNumber)
            c.out->tts_values[i] = slot_getattr(row, c.from[i], &c.out->tts_isnull[i]);
    }
    ExecStoreVirtualTuple(c.out);
    table_tuple_insert(c.log, c.out, c.command, 0, c.bulk);
}

bool same(capture &c, TupleTableSlot *a, TupleTableSlot *b) {
    for (int i = log_lead; i < c.out->tts_tupleDescriptor->natts; ++i) {
        if (c.from[i] == InvalidAttrNumber)
            continue;
        bool null_a, null_b;
        const Datum x = slot_getattr(a, c.from[i], &null_a), y = slot_getattr(b, c.from[i], &null_b);
        const Form_pg_attribute at = TupleDescAttr(c.out->tts_tupleDescriptor, i);
        if (null_a != null_b || (!null_a && !datum_image_eq(x, y, at->attbyval, at->attlen)))
            return false;
    }
    return true;
}

void write_rows(capture &c, Relation written, Tuplestorestate *old_rows, Tuplestorestate *new_rows) {
    TupleTableSlot *before = MakeSingleTupleTableSlot(RelationGetDescr(written), &TTSOpsMinimalTuple);
    TupleTableSlot *after = MakeSingleTupleTableSlot(RelationGetDescr(written), &TTSOpsMinimalTuple);
    bool more_old = old_rows != nullptr, more_new = new_rows != nullptr;
    if (more_old)
        tuplestore_select_read_pointer(old_rows, 0), tuplestore_rescan(old_rows);
    if (more_new)
        tuplestore_select_read_pointer(new_rows, 0), tuplestore_rescan(new_rows);
    while (more_old || more_new) {
        CHECK_FOR_INTERRUPTS();
        more_old = more_old && tuplestore_gettupleslot(old_rows, true, false, before);
        more_new = more_new && tuplestore_gettupleslot(new_rows, true, false, after);
        // Equal images cancel wherever they stand: rows are counted, not numbered.
        if (more_old && more_new && same(c, before, after))
            continue;
        if (more_old)
            write(c, before, -1);
        if (more_new)
            write(c, after, 1);
    }
    ExecDropSingleTupleTableSlot(before);
    ExecDropSingleTupleTableSlot(after);
}

Oid log_of(Oid base) {
    char name[NAMEDATALEN];
    snprintf(name, sizeof name, "matview_log_%u", base);
    const Oid schema = get_namespace_oid("dbopt", true);
    return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

bool belongs_to(Relation written, Oid base) {
    return RelationGetRelid(written) == base ||
           (written->rd_rel->relispartition &&
            list_member_oid(get_partition_ancestors(RelationGetRelid(written)), base));
}

void open_capture(capture &c, Oid log) {
    c.log = table_open(log, RowExclusiveLock);
    c.out = table_slot_create(c.log, nullptr);
    c.command = GetCurrentCommandId(true);
    c.bulk = GetBulkInsertState();
}

void close_capture(capture &c) {
    FreeBulkInsertState(c.bulk);
    ExecDropSingleTupleTableSlot(c.out);
    table_close(c.log, NoLock);
}

void run_capture(TriggerData *t) {
    // A trigger that a dump brought back names a relation of another database.
    const Oid base = static_cast<Oid>(strtoul(t->tg_trigger->tgargs[0], nullptr, 10));
    const Oid log = belongs_to(t->tg_relation, base) ? log_of(base) : InvalidOid;
    if (!OidIsValid(log))
        return; // a restored or half-removed capture: the next refresh is a full one and says so
    capture c{};
    open_capture(c, log);
    // The mark of a TRUNCATE says for other reasons, too: what happened is not in the log.
    if (!map_columns(c, t->tg_relation, base) || TRIGGER_FIRED_BY_TRUNCATE(t->tg_event))
        write(c, nullptr, 0);
    else
        write_rows(c, t->tg_relation, t->tg_oldtable, t->tg_newtable);
    close_capture(c);
}

std::string trigger_name(const char *event) { return std::string("dbopt_capture_") + event; }

Oid trigger_of(Oid relation, const std::string &name) {
    return call([&] { return get_trigger_oid(relation, name.c_str(), true); });
}

} // namespace

capture *begin_capture(Relation written) {
    const Oid log = log_of(RelationGetRelid(written));
    if (!OidIsValid(log))
        return nullptr;
    capture *c = static_cast<capture *>(palloc0(sizeof(capture)));
    open_capture(*c, log);
    if (map_columns(*c, written, RelationGetRelid(written)))
        return c;
    write(*c, nullptr, 0);
    close_capture(*c);
    return nullptr;
}

void add_capture(capture *c, TupleTableSlot *row, int weight) { write(*c, row, weight); }

void end_capture(capture *c) {
    if (c != nullptr)
        close_capture(*c);
}

Oid capture_log(Oid base) {
    return call([&] { return log_of(base); });
}

void mark_uncaptured(Oid base) {
    call([&] {
        const Oid log = log_of(base);
        if (!OidIsValid(log))
            return;
        capture c{};
        open_capture(c, log);
        write(c, nullptr, 0);
        close_capture(c);
    });
}

std::vector<Oid> capture_points(Oid base) {
    std::vector<Oid> out{base};
    List *all = call([&]() -> List * {
        return get_rel_relkind(base) == RELKIND_PARTITIONED_TABLE ? find_all_inheritors(base, NoLock, nullptr) : NIL;
    });
    for (int i = 0; i < list_length(all); ++i)
        if (list_nth_oid(all, i) != base)
            out.push_back(list_nth_oid(all, i));
    return out;
}

std::string capture_log_name(Oid base) { return "matview_log_" + std::to_string(base); }

static bool is_capture(const Trigger &t, const char *event, Oid function, Oid base) {
    constexpr int16 kinds[] = {TRIGGER_TYPE_INSERT, TRIGGER_TYPE_UPDATE, TRIGGER_TYPE_DELETE, TRIGGER_TYPE_TRUNCATE};
    int16 kind = 0;
    for (int i = 0; i < 4; ++i)
        if (event == events[i])
            kind = kinds[i];
    return t.tgfoid == function && t.tgenabled == TRIGGER_FIRES_ALWAYS && TRIGGER_FOR_AFTER(t.tgtype) &&
           !TRIGGER_FOR_ROW(t.tgtype) && (t.tgtype & kind) != 0 && t.tgnattr == 0 && t.tgqual == nullptr &&
           t.tgnargs == 1 && static_cast<Oid>(strtoul(t.tgargs[0], nullptr, 10)) == base;
}

bool has_capture(Oid relation, Oid base) {
    return call([&] {
        if (!OidIsValid(log_of(base)))
            return false;
        if (get_rel_relkind(relation) == RELKIND_MATVIEW)
            return true;
        Relation r = try_relation_open(relation, AccessShareLock);
        if (r == nullptr)
            return false;
        const Oid function = LookupFuncName(list_make2(makeString(pstrdup("dbopt")), makeString(pstrdup("_capture"))),
                                            0, nullptr, true);
        int found = 0;
        for (const char *e : events)
            for (int i = 0; r->trigdesc != nullptr && i < r->trigdesc->numtriggers; ++i)
                if (is_capture(r->trigdesc->triggers[i], e, function, base)) {
                    ++found;
                    break;
                }
        relation_close(r, NoLock);
        return found == 4;
    });
}

void install_capture(Oid relation, Oid base) {
    const std::string table = qualified_name(relation);
    constexpr const char *when[] = {"INSERT ON %s REFERENCING NEW TABLE AS new_rows",
                                    "UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
                                    "DELETE ON %s REFERENCING OLD TABLE AS old_rows", "TRUNCATE ON %s"};
    for (int i = 0; i < 4; ++i) {
        const std::string name = trigger_name(events[i]);
        std::string clause = when[i];
        clause.replace(clause.find("%s"), 2, table);
        execute("CREATE TRIGGER " + name + " AFTER " + clause +
                " FOR EACH STATEMENT EXECUTE FUNCTION dbopt._capture('" + std::to_string(base) + "')");
        execute("ALTER TABLE " + table + " ENABLE ALWAYS TRIGGER " + name);
        const ObjectAddress trigger{TriggerRelationId, trigger_of(relation, name), 0};
        call([&] {
            const ObjectAddress extension{ExtensionRelationId, get_extension_oid("dbopt", false), 0};
            recordDependencyOn(&trigger, &extension, DEPENDENCY_AUTO_EXTENSION);
        });
    }
}

void remove_capture(Oid relation) {
    for (const char *e : events)
        if (OidIsValid(trigger_of(relation, trigger_name(e))))
            execute("DROP TRIGGER " + trigger_name(e) + " ON " + qualified_name(relation));
}

void make_member(Oid table) { execute("ALTER EXTENSION dbopt ADD TABLE " + qualified_name(table)); }

void drop_member(Oid table) {
    const std::string name = qualified_name(table);
    execute("ALTER EXTENSION dbopt DROP TABLE " + name);
    execute("DROP TABLE " + name);
}

} // namespace dbopt::pg

extern "C" {
PG_FUNCTION_INFO_V1(dbopt_capture);
PGDLLEXPORT Datum dbopt_capture(PG_FUNCTION_ARGS);
}

Datum dbopt_capture(PG_FUNCTION_ARGS) {
    return dbopt::pg::boundary([&]() -> Datum {
        dbopt::pg::call([&] {
            if (!CALLED_AS_TRIGGER(fcinfo))
                ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                                errmsg("dbopt._capture works as a trigger only")));
            dbopt::pg::run_capture(reinterpret_cast<TriggerData *>(fcinfo->context));
        });
        return 0;
    });
}
