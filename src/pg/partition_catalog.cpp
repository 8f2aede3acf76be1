#include "pg/partition_catalog.hpp"
#include "pg/query.hpp"
#include <algorithm>
#include <cstring>
#include <unordered_map>

extern "C" {
#include "catalog/pg_partitioned_table.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "partitioning/partbounds.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/partcache.h"
#include "utils/uuid.h"
}

namespace dbopt::pg {

namespace {

// ---- reading relpartbound's text: only the marks that 15 to 18 share ----

struct cursor {
    const char *at;
    bool skip_to(const char *mark) {
        const char *found = std::strstr(at, mark);
        if (found == nullptr)
            return false;
        at = found + std::strlen(mark);
        return true;
    }
    long number() {
        char *end;
        const long n = std::strtol(at, &end, 10);
        at = end;
        return n;
    }
};

// The bytes of ":constvalue 8 [ 0 64 -61 … ]" into `space`; the length, or -1.
int constant_bytes(cursor &c, char *space, int size) {
    if (!c.skip_to(":constvalue "))
        return -1;
    const long length = c.number();
    if (length < 0 || length > size || !c.skip_to("["))
        return -1;
    for (long i = 0; i < length; ++i)
        space[i] = static_cast<char>(c.number());
    return static_cast<int>(length);
}

struct edge {
    int kind; // -1 MINVALUE, 0 a value, 1 MAXVALUE
    core::position at;
    bool fine; // the value lies between this position and the next
};

// Whether a key's value is not a position but lies behind one: fractions, the tails of uuids.
bool between_positions(Datum d, Oid type) {
    if (type == UUIDOID) {
        const unsigned char *bytes = DatumGetUUIDP(d)->data;
        return std::any_of(bytes + 6, bytes + 16, [](unsigned char b) { return b != 0; });
    }
    return type == NUMERICOID && !numeric_is_nan(DatumGetNumeric(d)) && !numeric_is_inf(DatumGetNumeric(d)) &&
           call([&] { return !DatumGetBool(DirectFunctionCall2(numeric_eq, d, DirectFunctionCall1(numeric_floor, d))); });
}

bool read_edge(cursor &c, Oid type, core::key_unit unit, edge &e) {
    if (!c.skip_to(":kind "))
        return false;
    e.kind = static_cast<int>(c.number());
    e.fine = false;
    if (e.kind != 0) {
        e.at = e.kind < 0 ? core::minus_infinity : core::infinity;
        return true;
    }
    alignas(8) char bytes[128];
    const int length = constant_bytes(c, bytes, sizeof bytes);
    if (length < 0)
        return false;
    const bool by_reference = type == NUMERICOID || type == UUIDOID;
    Datum d;
    std::memcpy(&d, bytes, sizeof d);
    e.at = key_position(by_reference ? PointerGetDatum(bytes) : d, type, unit);
    e.fine = by_reference && between_positions(PointerGetDatum(bytes), type);
    return true;
}

// Whether a second key column moves the bound behind its position.
bool narrowed(cursor c, const char *end) {
    const char *next = std::strstr(c.at, "{PARTITIONRANGEDATUM");
    if (next == nullptr || next >= end)
        return false;
    cursor second{next};
    return second.skip_to(":kind ") && second.number() != -1;
}

core::position saturated(Numeric n) {
    // Ids beyond 64 bits saturate: such a partition reaches as far as dbopt can see.
    const Datum top = NumericGetDatum(int64_to_numeric(INT64_MAX - 1));
    const Datum bottom = NumericGetDatum(int64_to_numeric(INT64_MIN + 1));
    if (DatumGetBool(DirectFunctionCall2(numeric_ge, NumericGetDatum(n), top)))
        return core::infinity;
    if (DatumGetBool(DirectFunctionCall2(numeric_le, NumericGetDatum(n), bottom)))
        return core::minus_infinity;
    return DatumGetInt64(
        DirectFunctionCall1(numeric_int8, DirectFunctionCall1(numeric_floor, NumericGetDatum(n))));
}

} // namespace

core::position key_position(Datum d, Oid type, core::key_unit unit) {
    switch (type) {
    case TIMESTAMPTZOID:
    case TIMESTAMPOID: return DatumGetInt64(d); // their infinities are INT64's ends, as ours
    case DATEOID:
        if (DATE_IS_NOBEGIN(DatumGetDateADT(d)))
            return core::minus_infinity;
        return DATE_IS_NOEND(DatumGetDateADT(d)) ? core::infinity : DatumGetDateADT(d);
    case INT2OID: return DatumGetInt16(d);
    case INT4OID: return DatumGetInt32(d);
    case INT8OID: return DatumGetInt64(d);
    case NUMERICOID: return call([&] { return saturated(DatumGetNumeric(d)); });
    case UUIDOID: {
        const unsigned char *bytes = DatumGetUUIDP(d)->data;
        int64_t ms = 0;
        for (int i = 0; i < 6; ++i)
            ms = ms << 8 | bytes[i];
        return ms;
    }
    default: break;
    }
    (void)unit;
    raise({.code = ERRCODE_FEATURE_NOT_SUPPORTED,
           .message = "partition keys of type " + std::to_string(type) + " are not supported"});
}

bool parse_range_bound(const char *text, Oid type, core::key_unit unit, partition_entry &entry) {
    cursor c{text};
    if (!c.skip_to(":is_default "))
        return false;
    entry.is_default = std::strncmp(c.at, "true", 4) == 0;
    if (entry.is_default)
        return true;
    edge lower, upper;
    if (!c.skip_to(":lowerdatums ") || *c.at != '(' || !read_edge(c, type, unit, lower))
        return false;
    const char *second = std::strstr(c.at, ":upperdatums ");
    entry.fine_lower = lower.fine || (lower.kind == 0 && second != nullptr && narrowed(c, second));
    if (!c.skip_to(":upperdatums ") || *c.at != '(' || !read_edge(c, type, unit, upper))
        return false;
    entry.fine_upper = upper.fine || (upper.kind == 0 && narrowed(c, text + std::strlen(text)));
    entry.range = {lower.at, upper.at};
    return true;
}

partitioned_table describe_partitioned(Oid relation) {
    partitioned_table t;
    call([&] {
        HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
        if (!HeapTupleIsValid(tuple))
            return;
        Form_pg_class form = (Form_pg_class)GETSTRUCT(tuple);
        t.relation = relation;
        t.schema = form->relnamespace;
        t.owner = form->relowner;
        ReleaseSysCache(tuple);
    });
    if (t.relation == InvalidOid)
        return t;
    t.name = call([&] { return get_rel_name(relation); });
    bool expression = false, null_expression = false;
    bool one_expression = false;
    call([&] {
        HeapTuple tuple = SearchSysCache1(PARTRELID, ObjectIdGetDatum(relation));
        if (!HeapTupleIsValid(tuple))
            return;
        Form_pg_partitioned_table form = (Form_pg_partitioned_table)GETSTRUCT(tuple);
        t.strategy = form->partstrat;
        t.key_columns = form->partnatts;
        t.attribute = form->partattrs.values[0];
        expression = t.attribute == 0;
        if (expression && form->partstrat == PARTITION_STRATEGY_RANGE) {
            const Datum stored = SysCacheGetAttr(PARTRELID, tuple, Anum_pg_partitioned_table_partexprs,
                                               &null_expression);
            List *nodes = (List *)stringToNode(TextDatumGetCString(stored));
            t.key_type = exprType((Node *)linitial(nodes));
            one_expression = list_length(nodes) == 1;
        } else if (!expression) {
            t.key_type = get_atttype(relation, t.attribute);
        }
        ReleaseSysCache(tuple);
    });
    if (t.attribute > 0) {
        t.key_column = call([&] { return get_attname(relation, t.attribute, false); });
        t.key_text = call([&] { return ::quote_identifier(t.key_column.c_str()); });
    } else if (one_expression) { // every name qualified, as the queries that read it need
        t.key_text = "(" + scalar<std::string>("SELECT pg_get_expr(partexprs, partrelid) FROM pg_partitioned_table WHERE partrelid = $1",
                                               {relation}).value() + ")";
    }
    return t;
}

namespace {

struct link {
    Oid child;
    int set;
    bool pending;
};

// pg_inherits: by the parent's index for few sets, in one pass for many.
std::vector<link> read_links(const std::vector<Oid> &relations) {
    std::unordered_map<Oid, int> index;
    for (size_t i = 0; i < relations.size(); ++i)
        index.emplace(relations[i], static_cast<int>(i));
    std::vector<link> links;
    Relation inherits = call([] { return table_open(InheritsRelationId, AccessShareLock); });
    const auto drain = [&](SysScanDesc scan) {
        for (;;) {
            HeapTuple tuple = call([&] { return systable_getnext(scan); });
            if (!HeapTupleIsValid(tuple))
                break;
            Form_pg_inherits form = (Form_pg_inherits)GETSTRUCT(tuple);
            const auto found = index.find(form->inhparent);
            if (found != index.end())
                links.push_back({form->inhrelid, found->second, form->inhdetachpending});
        }
        call([&] { systable_endscan(scan); });
    };
    if (relations.size() > 8) {
        drain(call([&] {
            return systable_beginscan(inherits, InvalidOid, false, nullptr, 0, nullptr);
        }));
    } else {
        for (const Oid parent : relations)
            drain(call([&] {
                ScanKeyData key;
                ScanKeyInit(&key, Anum_pg_inherits_inhparent, BTEqualStrategyNumber, F_OIDEQ,
                            ObjectIdGetDatum(parent));
                return systable_beginscan(inherits, InheritsParentIndexId, true, nullptr, 1, &key);
            }));
    }
    call([&] { table_close(inherits, AccessShareLock); });
    return links;
}

struct reader {
    std::vector<partitioned_table> &sets;
    const std::vector<core::key_unit> &units;
    TupleDesc desc;

    void take(HeapTuple tuple, const link &l) const {
        Form_pg_class form = (Form_pg_class)GETSTRUCT(tuple);
        partitioned_table &set = sets[l.set];
        partition_entry e;
        e.relation = form->oid;
        e.schema = form->relnamespace;
        e.owner = form->relowner;
        e.name = NameStr(form->relname);
        e.kind = form->relkind;
        e.pending = l.pending;
        e.rows = form->reltuples;
        e.pages = form->relpages;
        bool null = true;
        const Datum bound = heap_getattr(tuple, Anum_pg_class_relpartbound, desc, &null);
        if (null)
            return; // plain inheritance, or detached this moment
        char *deparsed = call([&] { return TextDatumGetCString(bound); });
        e.readable = set.strategy == PARTITION_STRATEGY_RANGE &&
                     parse_range_bound(deparsed, set.key_type, units[l.set], e);
        if (set.strategy != PARTITION_STRATEGY_RANGE)
            e.is_default = std::strstr(deparsed, ":is_default true") != nullptr;
        pfree(deparsed);
        if (e.is_default) {
            set.has_default = true;
            set.default_partition = std::move(e);
        } else {
            set.partitions.push_back(std::move(e));
        }
    }
};

} // namespace

std::vector<partitioned_table> read_partitions(const std::vector<Oid> &relations,
                                               const std::vector<core::key_unit> &units) {
    std::vector<partitioned_table> sets;
    sets.reserve(relations.size());
    for (const Oid relation : relations)
        sets.push_back(describe_partitioned(relation));
    const std::vector<link> links = read_links(relations);
    Relation pg_class = call([] { return table_open(RelationRelationId, AccessShareLock); });
    const reader into{sets, units, RelationGetDescr(pg_class)};
    if (relations.size() > 8) {
        std::unordered_map<Oid, const link *> wanted;
        wanted.reserve(links.size());
        for (const link &l : links)
            wanted.emplace(l.child, &l);
        SysScanDesc scan = call([&] {
            return systable_beginscan(pg_class, InvalidOid, false, nullptr, 0, nullptr);
        });
        for (;;) {
            HeapTuple tuple = call([&] { return systable_getnext(scan); });
            if (!HeapTupleIsValid(tuple))
                break;
            Form_pg_class form = (Form_pg_class)GETSTRUCT(tuple);
            if (!form->relispartition)
                continue;
            if (const auto found = wanted.find(form->oid); found != wanted.end())
                into.take(tuple, *found->second);
        }
        call([&] { systable_endscan(scan); });
    } else {
        for (const link &l : links) {
            HeapTuple tuple =
                call([&] { return SearchSysCache1(RELOID, ObjectIdGetDatum(l.child)); });
            if (!HeapTupleIsValid(tuple))
                continue;
            into.take(tuple, l);
            call([&] { ReleaseSysCache(tuple); });
        }
    }
    call([&] { table_close(pg_class, AccessShareLock); });
    return sets;
}

bool given(FunctionCallInfo info, int argument) {
    const Node *call_node = info->flinfo->fn_expr;
    if (call_node == nullptr || !IsA(call_node, FuncExpr))
        return true;
    const List *list = ((const FuncExpr *)call_node)->args;
    if (argument >= list_length(list))
        return false;
    const Node *node = (const Node *)list_nth(list, argument);
    return !IsA(node, Const) || ((const Const *)node)->location >= 0;
}

} // namespace dbopt::pg
