// Hypothetical indexes as the planner's own nodes: built once, copied into each plan.
#include "pg/compat.hpp"
#include "pg/whatif_internal.hpp"

namespace dbopt::pg::whatif {

namespace {

// An index row is a heap of arrays that every plan shares; only the node itself is copied.
IndexOptInfo *allocate_model(int columns, int keys) {
    IndexOptInfo *index = makeNode(IndexOptInfo);
    index->ncolumns = columns;
    index->nkeycolumns = keys;
    index->indexkeys = static_cast<int *>(palloc0(sizeof(int) * columns));
    index->indexcollations = static_cast<Oid *>(palloc0(sizeof(Oid) * columns));
    index->opfamily = static_cast<Oid *>(palloc0(sizeof(Oid) * columns));
    index->opcintype = static_cast<Oid *>(palloc0(sizeof(Oid) * columns));
    index->canreturn = static_cast<bool *>(palloc0(sizeof(bool) * columns));
    index->opclassoptions = static_cast<bytea **>(palloc0(sizeof(bytea *) * columns));
    return index;
}

void fill_method(IndexOptInfo *index, Oid method, const index_spec &spec) {
    const IndexAmRoutine *am = GetIndexAmRoutineByAmId(method, false);
    index->relam = method;
    index->amcanorderbyop = am->amcanorderbyop;
    index->amoptionalkey = am->amoptionalkey;
    index->amsearcharray = am->amsearcharray;
    index->amsearchnulls = am->amsearchnulls;
    index->amhasgettuple = am->amgettuple != nullptr;
    index->amhasgetbitmap = am->amgetbitmap != nullptr;
    index->amcanparallel = am->amcanparallel;
    index->amcanmarkpos = am->ammarkpos != nullptr && am->amrestrpos != nullptr;
    index->amcostestimate =
        reinterpret_cast<decltype(index->amcostestimate)>(am->amcostestimate);
    if (!am->amcanorder)
        return;
    index->sortopfamily = index->opfamily;
    index->reverse_sort = static_cast<bool *>(palloc0(sizeof(bool) * index->nkeycolumns));
    index->nulls_first = static_cast<bool *>(palloc0(sizeof(bool) * index->nkeycolumns));
    for (int i = 0; i < index->nkeycolumns; ++i) {
        index->reverse_sort[i] = spec.keys[i].descending;
        index->nulls_first[i] = spec.keys[i].nulls_first;
    }
}

void fill_key(IndexOptInfo *index, int i, const key &k, Relation relation) {
    Oid type, collation;
    if (k.column != 0) {
        const FormData_pg_attribute *a = TupleDescAttr(RelationGetDescr(relation), k.column - 1);
        type = a->atttypid;
        collation = a->attcollation;
    } else {
        type = exprType(k.expression);
        collation = exprCollation(k.expression);
        index->indexprs = lappend(index->indexprs, copyObjectImpl(k.expression));
    }
    const Oid opclass =
        OidIsValid(k.opclass) ? k.opclass : GetDefaultOpClass(type, index->relam);
    if (!OidIsValid(opclass))
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_OBJECT),
                 errmsg("data type %s has no default operator class for access method \"%s\"",
                        format_type_be(type), get_am_name(index->relam))));
    index->indexkeys[i] = k.column;
    index->indexcollations[i] = collation;
    index->opfamily[i] = get_opclass_family(opclass);
    index->opcintype[i] = get_opclass_input_type(opclass);
    index->canreturn[i] = index->relam == BTREE_AM_OID;
}

IndexOptInfo *make_model(const index_spec &spec, Relation relation) {
    const int keys = static_cast<int>(spec.keys.size());
    const int columns = keys + static_cast<int>(spec.includes.size());
    IndexOptInfo *index = allocate_model(columns, keys);
    index->relam = spec.method;
    for (int i = 0; i < keys; ++i)
        fill_key(index, i, spec.keys[i], relation);
    for (int i = keys; i < columns; ++i) {
        const FormData_pg_attribute *a =
            TupleDescAttr(RelationGetDescr(relation), spec.includes[i - keys] - 1);
        index->indexkeys[i] = a->attnum;
        index->indexcollations[i] = a->attcollation;
        index->canreturn[i] = true;
    }
    fill_method(index, spec.method, spec);
    index->indpred = static_cast<List *>(copyObjectImpl(spec.predicate));
    index->unique = spec.unique;
    index->immediate = true;
    index->hypothetical = true;
    return index;
}

// The same index on a partition whose columns may stand in another order.
index_spec for_leaf(const index_spec &spec, const AttrMap *map, Oid leaf, Oid leaf_type) {
    index_spec out = spec;
    out.relation = leaf;
    bool whole_row;
    for (key &k : out.keys) {
        if (k.column != 0)
            k.column = map->attnums[k.column - 1];
        else
            k.expression = call([&] {
                return map_variable_attnos(k.expression, 1, 0, map, leaf_type, &whole_row);
            });
    }
    for (AttrNumber &c : out.includes)
        c = map->attnums[c - 1];
    out.predicate = call([&] {
        return reinterpret_cast<List *>(map_variable_attnos(
            reinterpret_cast<Node *>(out.predicate), 1, 0, map, leaf_type, &whole_row));
    });
    return out;
}

} // namespace

index_spec leaf_spec(const index_spec &spec, Oid leaf) {
    const AttrMap *map = call([&] {
        Relation parent = table_open(spec.relation, AccessShareLock);
        Relation kid = table_open(leaf, AccessShareLock);
        AttrMap *m = compat::attributes_by_name(RelationGetDescr(kid), RelationGetDescr(parent));
        table_close(kid, NoLock);
        table_close(parent, NoLock);
        return m;
    });
    return for_leaf(spec, map, leaf, get_rel_type_id(leaf));
}

namespace {

void apply_shape(IndexOptInfo *model, const index_shape &shape, double share) {
    model->pages = static_cast<BlockNumber>(std::clamp(shape.pages * share, 1.0, 4294967000.0));
    model->tuples = std::max(0.0, shape.tuples * share);
    model->tree_height = shape.height;
}

} // namespace

void engine::build_template(const index_spec &spec, Oid relation, const index_shape &shape,
                            leaf *out) {
    const Oid oid = first_hypothetical_oid + static_cast<Oid>(indexes_.size());
    out->in.relation = relation;
    out->in.active = true;
    out->in.model = call([&] {
        MemoryContext old = MemoryContextSwitchTo(context_);
        Relation open = table_open(relation, AccessShareLock);
        IndexOptInfo *model = make_model(spec, open);
        model->indexoid = oid;
        table_close(open, NoLock);
        MemoryContextSwitchTo(old);
        return model;
    });
    apply_shape(out->in.model, shape, 1.0);
}

int engine::add_index(const index_spec &spec, const index_shape &shape) {
    if (static_cast<int>(indexes_.size()) >= max_indexes)
        raise({.code = ERRCODE_PROGRAM_LIMIT_EXCEEDED, .message = "too many hypothetical indexes"});
    std::vector<leaf> leaves;
    if (get_rel_relkind(spec.relation) != RELKIND_PARTITIONED_TABLE) {
        leaves.resize(1);
        build_template(spec, spec.relation, shape, &leaves[0]);
    } else {
        List *children = call([&] {
            MemoryContext old = MemoryContextSwitchTo(context_);
            List *all = find_all_inheritors(spec.relation, AccessShareLock, nullptr);
            MemoryContextSwitchTo(old);
            return all;
        });
        for (int i = 0; i < list_length(children); ++i) {
            const Oid child = list_nth_oid(children, i);
            if (get_rel_relkind(child) != RELKIND_RELATION)
                continue;
            leaves.emplace_back();
            build_template(leaf_spec(spec, child), child, shape, &leaves.back());
        }
    }
    indexes_.push_back(std::move(leaves));
    const int id = static_cast<int>(indexes_.size()) - 1;
    reshape(id, shape);
    return id;
}

// Partitions get their part of the tree by their part of the pages of the table.
void engine::reshape(int index, const index_shape &shape) {
    std::vector<leaf> &leaves = indexes_[index];
    std::vector<double> weight;
    double total = 0;
    for (const leaf &l : leaves) {
        double pages = 0, tuples = 0;
        call([&] {
            Relation open = table_open(l.in.relation, AccessShareLock);
            pages = std::max<double>(1, RelationGetNumberOfBlocks(open));
            tuples = open->rd_rel->reltuples;
            table_close(open, NoLock);
        });
        weight.push_back(tuples > 0 ? tuples : pages);
        total += weight.back();
    }
    for (size_t i = 0; i < leaves.size(); ++i)
        apply_shape(leaves[i].in.model, shape, leaves.size() == 1 ? 1.0 : weight[i] / total);
}

} // namespace dbopt::pg::whatif
