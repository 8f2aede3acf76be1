#include "pg/index_sample.hpp"
#include "core/index_size.hpp"
#include "pg/whatif_internal.hpp"
#include <cmath>

extern "C" {
#include "access/detoast.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_statistic.h"
#include "common/hashfn.h"
}

namespace dbopt::pg::whatif {

namespace {
// Rows are fetched by tuple identifier: the same call on every version, one buffer each.
int fetch_block(Relation relation, BlockNumber block, TupleTableSlot *slot, HeapTuple *out, int room) {
    int n = 0, misses = 0;
    for (OffsetNumber offset = 1; n < room && misses < 8; ++offset) {
        ItemPointerData tid;
        ItemPointerSet(&tid, block, offset);
        if (offset > MaxHeapTuplesPerPage)
            break;
        if (table_tuple_fetch_row_version(relation, &tid, GetActiveSnapshot(), slot)) {
            out[n++] = ExecCopySlotHeapTuple(slot);
            misses = 0;
        } else {
            ++misses;
        }
        ExecClearTuple(slot);
    }
    return n;
}

// Functions that PostgreSQL itself or a superuser put there (built in, or in C). Others may be anybody's,
// and rows of a sample may be none of their business.
bool untrusted_function(Oid function, void *) {
    if (function < FirstGenbkiObjectId)
        return false;
    HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    if (!HeapTupleIsValid(tuple))
        return true;
    const Oid language = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple))->prolang;
    ReleaseSysCache(tuple);
    return language != INTERNALlanguageId && language != ClanguageId;
}

bool untrusted(Node *node, void *context) {
    if (node == nullptr)
        return false;
    if (IsA(node, CoerceToDomain) || check_functions_in_node(node, untrusted_function, context))
        return true;
#if PG_VERSION_NUM >= 160000
    return expression_tree_walker(node, untrusted, context);
#else
    return expression_tree_walker(node, (bool (*)())(void *)untrusted, context);
#endif
}

} // namespace

void measure(Datum value, const FormData_pg_attribute *a, int32_t *width, uint8_t *alignment,
             uint32_t *hash) {
    const uint8_t natural = a->attalign == TYPALIGN_DOUBLE  ? 8
                            : a->attalign == TYPALIGN_INT   ? 4
                            : a->attalign == TYPALIGN_SHORT ? 2
                                                            : 1;
    *alignment = natural;
    if (a->attlen > 0) {
        *width = a->attlen;
        if (a->attbyval)
            *hash = hash_bytes(reinterpret_cast<const unsigned char *>(&value), sizeof(value));
        else
            *hash = hash_bytes(reinterpret_cast<const unsigned char *>(DatumGetPointer(value)),
                               a->attlen);
    } else if (a->attlen == -1) {
        struct varlena *v = reinterpret_cast<struct varlena *>(DatumGetPointer(value));
        if (VARATT_IS_EXTERNAL(v)) {
            *width = static_cast<int32_t>(std::min<Size>(toast_datum_size(value), 2000));
            *hash = hash_bytes(reinterpret_cast<const unsigned char *>(v), VARSIZE_ANY(v));
            return;
        }
        *width = static_cast<int32_t>(VARSIZE_ANY(v));
        *hash = hash_bytes(reinterpret_cast<const unsigned char *>(VARDATA_ANY(v)),
                           static_cast<int>(VARSIZE_ANY_EXHDR(v)));
        // A short header needs no alignment; a long one that would fit a short one gets it.
        if (VARATT_IS_1B(v)) {
            *alignment = 1;
        } else if (VARATT_IS_4B_U(v) && *width - 3 <= 127) {
            *alignment = 1;
            *width -= 3;
        }
    } else {
        *width = static_cast<int32_t>(strlen(DatumGetCString(value)) + 1);
        *hash = hash_bytes(reinterpret_cast<const unsigned char *>(DatumGetCString(value)),
                           *width);
    }
}

bool is_trusted(Node *node) {
    return call([&] { return !untrusted(node, nullptr); });
}

size_model::sample &size_model::sample_of(Oid relation, depth how) {
    auto [it, fresh] = samples_.try_emplace({relation, how});
    if (fresh)
        read(relation, how, &it->second);
    return it->second;
}

// A partitioned table is sampled through its largest leaf.
void size_model::read(Oid relation, depth how, sample *out) {
    Oid source = relation;
    if (get_rel_relkind(relation) == RELKIND_PARTITIONED_TABLE) {
        List *children = call([&] { return find_all_inheritors(relation, AccessShareLock, nullptr); });
        double best = -1;
        source = InvalidOid;
        for (int i = 0; i < list_length(children); ++i) {
            const Oid child = list_nth_oid(children, i);
            if (get_rel_relkind(child) != RELKIND_RELATION)
                continue;
            const sample &s = sample_of(child, shallow);
            out->pages += s.pages;
            out->tuples += s.tuples;
            if (s.pages > best) {
                best = s.pages;
                source = child;
            }
        }
        if (source == InvalidOid)
            return;
        const sample &s = sample_of(source, how);
        out->rows = s.rows;
        out->page_of_row = s.page_of_row;
        out->sampled_pages = s.sampled_pages;
        return;
    }
    // Fewer pages, at least 12, where a page holds many rows.
    const int sample_pages = how == deep ? 400 : 40, sample_rows = how == deep ? 20000 : 2000;
    std::vector<HeapTuple> rows(sample_rows);
    std::vector<int> page_of_row(sample_rows);
    int count = 0;
    double pages = 0, tuples = 0;
    int done = 0;
    call([&] {
        MemoryContext old = MemoryContextSwitchTo(keep_);
        Relation open = table_open(source, AccessShareLock);
        const BlockNumber blocks = RelationGetNumberOfBlocks(open);
        pages = blocks;
        if (open->rd_rel->reltuples > 0 && open->rd_rel->relpages > 0)
            tuples = open->rd_rel->reltuples / open->rd_rel->relpages * blocks;
        TupleTableSlot *slot = table_slot_create(open, nullptr);
        const double per_page = tuples > 0 && pages > 0 ? tuples / pages : 40;
        const double affordable = std::clamp(0.9 * sample_rows / per_page, 12.0, 1.0 * sample_pages);
        const int wanted = static_cast<int>(std::min<double>(affordable, blocks));
        // Evenly spaced with a fixed offset: the same answer for the same table every time.
        for (int i = 0; i < wanted && count < sample_rows; ++i) {
            CHECK_FOR_INTERRUPTS();
            const auto block = static_cast<BlockNumber>((i + 0.37) * blocks / wanted);
            const int n = fetch_block(open, block, slot, rows.data() + count, sample_rows - count);
            for (int r = count; r < count + n; ++r)
                page_of_row[r] = i;
            count += n;
            if (n > 0 && count < sample_rows)
                ++done;
        }
        ExecDropSingleTupleTableSlot(slot);
        table_close(open, NoLock);
        MemoryContextSwitchTo(old);
    });
    rows.resize(count);
    page_of_row.resize(count);
    out->pages = pages;
    out->sampled_pages = std::max(1, done);
    out->tuples = tuples > 0 ? tuples : pages * count / std::max(1, done);
    out->rows = std::move(rows);
    out->page_of_row = std::move(page_of_row);
}

const size_model::column &size_model::column_of(Oid relation, sample &s, AttrNumber number) {
    auto [it, fresh] = s.columns.try_emplace(number);
    column &c = it->second;
    if (!fresh)
        return c;
    const size_t n = s.rows.size();
    c.width.assign(n, -1);
    c.alignment.assign(n, 1);
    c.hash.assign(n, 0);
    c.type = get_atttype(relation, number);
    if (n == 0)
        return c;
    const char *name = get_attname(relation, number, false);
    call([&] {
        // A partitioned parent's sample comes from a leaf, whose columns may be numbered otherwise.
        Oid source = s.rows[0]->t_tableOid;
        Relation open = table_open(source, AccessShareLock);
        const AttrNumber at = source == relation ? number : get_attnum(source, name);
        TupleDesc desc = RelationGetDescr(open);
        for (size_t i = 0; i < n && at != InvalidAttrNumber; ++i) {
            bool null;
            const Datum d = heap_getattr(s.rows[i], at, desc, &null);
            if (!null)
                measure(d, TupleDescAttr(desc, at - 1), &c.width[i], &c.alignment[i], &c.hash[i]);
        }
        table_close(open, NoLock);
    });
    return c;
}

int size_model::widest(Oid relation, AttrNumber number) {
    const column &c = column_of(relation, sample_of(relation), number);
    return c.width.empty() ? 0 : *std::max_element(c.width.begin(), c.width.end());
}

size_model::column size_model::expression_column(Oid relation, sample &s, Node *expression) {
    column c;
    const size_t n = s.rows.size();
    c.width.assign(n, -1);
    c.alignment.assign(n, 1);
    c.hash.assign(n, 0);
    c.type = exprType(expression);
    if (n == 0 || s.rows[0]->t_tableOid != relation)
        return c;
    if (!is_trusted(expression)) { // nobody's code runs here: as wide as its type usually is
        const int width = call([&] { return get_typavgwidth(c.type, -1); });
        for (size_t i = 0; i < n; ++i) {
            c.width[i] = width;
            c.alignment[i] = 4;
            c.hash[i] = static_cast<uint32_t>(i);
        }
        return c;
    }
    call([&] {
        Relation open = table_open(relation, AccessShareLock);
        EState *estate = CreateExecutorState();
        ExprContext *context = GetPerTupleExprContext(estate);
        ExprState *state = ExecPrepareExpr(reinterpret_cast<Expr *>(expression), estate);
        TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(open), &TTSOpsHeapTuple);
        context->ecxt_scantuple = slot;
        FormData_pg_attribute a{};
        a.atttypid = c.type;
        get_typlenbyvalalign(c.type, &a.attlen, &a.attbyval, &a.attalign);
        for (size_t i = 0; i < n; ++i) {
            bool null;
            ExecStoreHeapTuple(s.rows[i], slot, false);
            const Datum d = ExecEvalExprSwitchContext(state, context, &null);
            if (!null)
                measure(d, &a, &c.width[i], &c.alignment[i], &c.hash[i]);
            ResetPerTupleExprContext(estate);
        }
        ExecDropSingleTupleTableSlot(slot);
        FreeExecutorState(estate);
        table_close(open, NoLock);
    });
    return c;
}

double size_model::fraction(Oid relation, List *predicate) {
    sample &s = sample_of(relation);
    const size_t n = s.rows.size();
    if (predicate == NIL)
        return 1;
    if (n == 0 || s.rows[0]->t_tableOid != relation || !is_trusted(reinterpret_cast<Node *>(predicate)))
        return 0.1;
    int hits = 0;
    call([&] {
        Relation open = table_open(relation, AccessShareLock);
        EState *estate = CreateExecutorState();
        ExprContext *context = GetPerTupleExprContext(estate);
        ExprState *state = ExecPrepareQual(predicate, estate);
        TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(open), &TTSOpsHeapTuple);
        context->ecxt_scantuple = slot;
        for (size_t i = 0; i < n; ++i) {
            ExecStoreHeapTuple(s.rows[i], slot, false);
            hits += ExecQual(state, context) ? 1 : 0;
            ResetPerTupleExprContext(estate);
        }
        ExecDropSingleTupleTableSlot(slot);
        FreeExecutorState(estate);
        table_close(open, NoLock);
    });
    return std::max(0.5, static_cast<double>(hits)) / static_cast<double>(n);
}

size_model::column_statistics size_model::statistics(Oid relation, AttrNumber number) {
    const double rows = sample_of(relation).tuples;
    column_statistics out;
    call([&] {
        const bool inherited = get_rel_relkind(relation) == RELKIND_PARTITIONED_TABLE;
        HeapTuple tuple =
            SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(relation), Int16GetDatum(number),
                            BoolGetDatum(inherited));
        if (!HeapTupleIsValid(tuple))
            return;
        const auto *form = reinterpret_cast<Form_pg_statistic>(GETSTRUCT(tuple));
        out.known = true;
        out.distinct = form->stadistinct < 0 ? -form->stadistinct * rows : form->stadistinct;
        out.null_fraction = form->stanullfrac;
        out.width = form->stawidth;
        AttStatsSlot slot;
        if (get_attstatsslot(&slot, tuple, STATISTIC_KIND_CORRELATION, InvalidOid,
                             ATTSTATSSLOT_NUMBERS)) {
            out.correlation = slot.numbers[0];
            free_attstatsslot(&slot);
        }
        ReleaseSysCache(tuple);
    });
    return out;
}

} // namespace dbopt::pg::whatif
