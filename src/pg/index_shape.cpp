// The shape of an index that is not there, from the sample: b-tree, GIN, and what needs no sample.
#include "core/index_size.hpp"
#include "pg/index_sample.hpp"
#include "pg/whatif_internal.hpp"
#include <cmath>

extern "C" {
#include "access/nbtree.h"
}

namespace dbopt::pg::whatif {

namespace {

double align_to(double offset, double alignment) {
    return std::ceil(offset / alignment) * alignment;
}

Oid column_collation(Oid relation, AttrNumber column) {
    Oid type, collation;
    int32 modifier;
    get_atttypetypmodcoll(relation, column, &type, &modifier, &collation);
    return collation;
}

// Only b-trees: support function 4 of another method's operator class is something else altogether.
bool deduplicates(const index_spec &spec, std::span<const Oid> types) {
    if (spec.method != BTREE_AM_OID || !spec.includes.empty())
        return false;
    for (size_t i = 0; i < spec.keys.size(); ++i) {
        const key &k = spec.keys[i];
        const Oid type = types[i];
        const bool safe = call([&] {
            const Oid opclass =
                OidIsValid(k.opclass) ? k.opclass : GetDefaultOpClass(type, BTREE_AM_OID);
            if (!OidIsValid(opclass))
                return false;
            const Oid family = get_opclass_family(opclass), input = get_opclass_input_type(opclass);
            const Oid proc = get_opfamily_proc(family, input, input, BTEQUALIMAGE_PROC);
            const Oid collation = k.column != 0 ? column_collation(spec.relation, k.column)
                                                : exprCollation(k.expression);
            return OidIsValid(proc) &&
                   DatumGetBool(OidFunctionCall1Coll(proc, collation, ObjectIdGetDatum(input)));
        });
        if (!safe)
            return false;
    }
    return true;
}

} // namespace

index_shape size_model::btree(const definition &d, double tuples) {
    const index_spec &spec = d.spec;
    sample &s = sample_of(spec.relation);
    const size_t n = s.rows.size();
    std::vector<column> own;
    own.reserve(spec.keys.size());
    std::vector<const column *> columns;
    std::vector<Oid> types;
    for (const key &k : spec.keys) {
        if (k.column != 0) {
            columns.push_back(&column_of(spec.relation, s, k.column));
        } else {
            own.push_back(expression_column(spec.relation, s, k.expression));
            columns.push_back(&own.back());
        }
        types.push_back(columns.back()->type);
    }
    const size_t keys = columns.size();
    std::vector<const column *> all = columns;
    for (const AttrNumber c : spec.includes)
        all.push_back(&column_of(spec.relation, s, c));
    double bytes = 0, pivot = 0;
    for (size_t i = 0; i < n; ++i) {
        double at = 0, key_at = 0;
        bool nulls = false;
        for (size_t c = 0; c < all.size(); ++c) {
            if (all[c]->width[i] < 0)
                nulls = true;
            else
                at = align_to(at, all[c]->alignment[i]) + all[c]->width[i];
            if (c + 1 == keys)
                key_at = at;
        }
        const double header = nulls ? 16 : 8;
        bytes += align_to(header + at, 8);
        pivot += align_to(header + key_at, 8);
    }
    core::btree_input in;
    in.tuples = tuples;
    in.tuple_bytes = n > 0 ? bytes / static_cast<double>(n) : 8.0 + 8 * static_cast<double>(all.size());
    in.pivot_bytes = n > 0 ? pivot / static_cast<double>(n) : in.tuple_bytes;
    in.deduplicate = d.deduplicate && deduplicates(spec, types);
    in.fillfactor = d.fillfactor > 0 ? d.fillfactor : 90;
    in.distinct = tuples;
    if (in.deduplicate) {
        in.keys = repetition_of(spec);
        const bool part = s.tuples > 0 && tuples < s.tuples;
        if (part) // of a partial index little is known
            in.keys = {.distinct = in.keys.distinct};
        in.distinct = std::min(tuples, part ? core::occupied(in.keys.distinct, tuples) : in.keys.distinct);
    }
    const core::tree_size size = core::btree_size(in);
    return {.pages = size.pages, .tuples = tuples, .height = size.height};
}

namespace {
// What the operator class extracts from sampled rows.
struct extracted {
    uint32_t hash;
    int32_t width;
};

int extract_keys(Relation open, const key &k, const std::vector<HeapTuple> &rows, extracted *out,
                 int room, int *count) {
    int used_rows = 0;
    EState *estate = CreateExecutorState();
    ExprContext *context = GetPerTupleExprContext(estate);
    Expr *expression = reinterpret_cast<Expr *>(k.expression);
    Oid type, collation;
    if (k.column != 0) {
        const FormData_pg_attribute *a = TupleDescAttr(RelationGetDescr(open), k.column - 1);
        expression = reinterpret_cast<Expr *>(
            makeVar(1, k.column, a->atttypid, a->atttypmod, a->attcollation, 0));
    }
    type = exprType(reinterpret_cast<Node *>(expression));
    collation = exprCollation(reinterpret_cast<Node *>(expression));
    const Oid opclass = OidIsValid(k.opclass) ? k.opclass : GetDefaultOpClass(type, GIN_AM_OID);
    const Oid input = get_opclass_input_type(opclass);
    FmgrInfo extract;
    fmgr_info(get_opfamily_proc(get_opclass_family(opclass), input, input, 2), &extract);
    // The class's stored type, or for arrays the element's.
    Oid stored = get_base_element_type(type);
    HeapTuple tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
    const Oid declared = reinterpret_cast<Form_pg_opclass>(GETSTRUCT(tuple))->opckeytype;
    ReleaseSysCache(tuple);
    if (OidIsValid(declared) && declared != ANYELEMENTOID)
        stored = declared;
    if (!OidIsValid(stored))
        stored = type;
    FormData_pg_attribute a{};
    get_typlenbyvalalign(stored, &a.attlen, &a.attbyval, &a.attalign);
    ExprState *state = ExecPrepareExpr(expression, estate);
    TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(open), &TTSOpsHeapTuple);
    context->ecxt_scantuple = slot;
    for (const HeapTuple row : rows) {
        if (*count >= room)
            break;
        bool null;
        ExecStoreHeapTuple(row, slot, false);
        MemoryContext old = MemoryContextSwitchTo(context->ecxt_per_tuple_memory);
        const Datum value = ExecEvalExpr(state, context, &null);
        ++used_rows;
        int32 n = 0;
        if (!null) {
            bool *nulls = nullptr;
            const Datum *keys = reinterpret_cast<Datum *>(DatumGetPointer(
                FunctionCall3Coll(&extract, collation, value, PointerGetDatum(&n),
                                  PointerGetDatum(&nulls))));
            for (int32 i = 0; i < n && *count < room; ++i) {
                if (nulls != nullptr && nulls[i])
                    continue;
                uint8_t alignment;
                measure(keys[i], &a, &out[*count].width, &alignment, &out[*count].hash);
                ++*count;
            }
        }
        MemoryContextSwitchTo(old);
        ResetPerTupleExprContext(estate);
    }
    ExecDropSingleTupleTableSlot(slot);
    FreeExecutorState(estate);
    return used_rows;
}
} // namespace

index_shape size_model::gin(const definition &d, double tuples) {
    sample &s = sample_of(d.spec.relation);
    index_shape out{.pages = 3, .tuples = tuples, .height = 0};
    if (s.rows.empty() || s.rows[0]->t_tableOid != d.spec.relation)
        return out;
    double pages = 0;
    for (const key &k : d.spec.keys) {
        if (k.expression != nullptr && !is_trusted(k.expression)) {
            pages += s.pages * 0.4;
            continue;
        }
        constexpr int room = 60000;
        std::vector<extracted> found(room);
        int count = 0, rows = 0;
        call([&] {
            Relation open = table_open(d.spec.relation, AccessShareLock);
            rows = extract_keys(open, k, s.rows, found.data(), room, &count);
            table_close(open, NoLock);
        });
        found.resize(count);
        std::sort(found.begin(), found.end(),
                  [](const extracted &a, const extracted &b) { return a.hash < b.hash; });
        core::gin_input in;
        core::key_counts counts;
        double width = 0;
        for (size_t i = 0; i < found.size();) {
            size_t j = i;
            while (j < found.size() && found[j].hash == found[i].hash)
                ++j;
            counts.add(j - i);
            if (j - i >= 5)
                in.often.push_back(static_cast<double>(j - i) / std::max(1, rows) * tuples);
            width += found[i].width;
            i = j;
        }
        in.entries = static_cast<double>(count) / std::max(1, rows) * tuples;
        in.distinct = core::distinct_in_whole(counts, in.entries);
        in.key_bytes = width / std::max(1.0, counts.distinct);
        in.table_pages = s.pages;
        pages += core::gin_pages(in);
    }
    out.pages = std::max(3.0, pages);
    return out;
}

// A partitioned index is one per leaf: as the largest leaf's, for all rows.
index_shape size_model::of_leaves(const definition &d) {
    const sample &all = sample_of(d.spec.relation);
    if (all.rows.empty())
        return {.pages = 1, .tuples = all.tuples, .height = 0};
    definition one = d;
    const Oid leaf = all.rows[0]->t_tableOid;
    one.spec = leaf_spec(d.spec, leaf);
    index_shape out = shape(one);
    const double times = all.tuples / std::max(1.0, sample_of(leaf).tuples);
    out.pages *= times;
    out.tuples *= times;
    return out;
}

index_shape size_model::shape(const definition &d) {
    const Oid relation = d.spec.relation;
    if (get_rel_relkind(relation) == RELKIND_PARTITIONED_TABLE)
        return of_leaves(d);
    const double share = d.spec.share >= 0 ? d.spec.share : fraction(relation, d.spec.predicate);
    const double tuples = sample_of(relation).tuples * share;
    switch (d.spec.method) {
    case HASH_AM_OID:
        return {.pages = core::hash_pages(tuples, d.fillfactor > 0 ? d.fillfactor : 75),
                .tuples = tuples,
                .height = 0};
    case BRIN_AM_OID:
        return {.pages = core::brin_pages(pages(relation), d.pages_per_range,
                                          16.0 + 16.0 * static_cast<double>(d.spec.keys.size())),
                .tuples = pages(relation) / d.pages_per_range,
                .height = 0};
    case BTREE_AM_OID: return btree(d, tuples);
    case GIN_AM_OID: return gin(d, tuples);
    default: { // GiST and others: as large as a b-tree over the columns' own widths
        definition plain = d;
        return btree(plain, tuples);
    }
    }
}

} // namespace dbopt::pg::whatif
