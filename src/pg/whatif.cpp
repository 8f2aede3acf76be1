#include "pg/whatif_internal.hpp"
#include "pg/compat.hpp"
#include "pg/transaction.hpp"

extern "C" {
#include "catalog/partition.h"
}

namespace dbopt::pg::whatif {

armed_state *armed = nullptr;

namespace {

get_relation_info_hook_type previous_info = nullptr;
set_rel_pathlist_hook_type previous_pathlist = nullptr;
planner_hook_type previous_planner = nullptr;
explain_get_index_name_hook_type previous_name = nullptr;

// ---- inside the planner: plain C style, no object with a destructor ----

// The index's columns as a target list, as build_index_tlist (plancat.c) makes it.
List *index_target_list(PlannerInfo *root, IndexOptInfo *index, Relation relation) {
    List *targets = NIL;
    ListCell *expression = list_head(index->indexprs);
    const Index varno = index->rel->relid;
    (void)root;
    for (int i = 0; i < index->ncolumns; ++i) {
        const int column = index->indexkeys[i];
        Expr *var;
        if (column != 0) {
            const FormData_pg_attribute *a = TupleDescAttr(RelationGetDescr(relation), column - 1);
            var = reinterpret_cast<Expr *>(
                makeVar(varno, column, a->atttypid, a->atttypmod, a->attcollation, 0));
        } else {
            var = static_cast<Expr *>(lfirst(expression));
            expression = lnext(index->indexprs, expression);
        }
        targets = lappend(targets, makeTargetEntry(var, i + 1, nullptr, false));
    }
    return targets;
}

void inject(PlannerInfo *root, Oid relation, RelOptInfo *rel) {
    Relation open = nullptr;
    for (int i = 0; i < armed->count; ++i) {
        const injected &in = armed->indexes[i];
        if (in.relation != relation || !in.active)
            continue;
        if (open == nullptr)
            open = table_open(relation, NoLock); // the planner holds the lock already
        IndexOptInfo *index = makeNode(IndexOptInfo);
        memcpy(index, in.model, sizeof(IndexOptInfo));
        index->rel = rel;
        index->indexprs = static_cast<List *>(copyObjectImpl(in.model->indexprs));
        index->indpred = static_cast<List *>(copyObjectImpl(in.model->indpred));
        if (rel->relid != 1) {
            ChangeVarNodes(reinterpret_cast<Node *>(index->indexprs), 1, rel->relid, 0);
            ChangeVarNodes(reinterpret_cast<Node *>(index->indpred), 1, rel->relid, 0);
        }
        index->indextlist = index_target_list(root, index, open);
        index->indrestrictinfo = NIL;
        index->predOK = false;
        rel->indexlist = lcons(index, rel->indexlist);
    }
    if (open != nullptr)
        table_close(open, NoLock);
}

// A partition's index is hidden with its parent's.
bool is_hidden(Oid index) {
    for (Oid at = index; OidIsValid(at);) {
        if (at == armed->hidden)
            return true;
        at = get_rel_relispartition(at) ? get_partition_parent(at, true) : InvalidOid;
    }
    return false;
}

void conceal(RelOptInfo *rel) {
    ListCell *cell;
    foreach (cell, rel->indexlist)
        if (is_hidden(static_cast<IndexOptInfo *>(lfirst(cell))->indexoid))
            rel->indexlist = foreach_delete_current(rel->indexlist, cell);
}

void relation_info(PlannerInfo *root, Oid relation, bool inhparent, RelOptInfo *rel) {
    if (previous_info != nullptr)
        previous_info(root, relation, inhparent, rel);
    if (armed == nullptr || armed->depth != 1)
        return;
    if (OidIsValid(armed->hidden))
        conceal(rel);
    if (!inhparent && armed->count > 0)
        inject(root, relation, rel);
}

void rel_pathlist(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte) {
    if (previous_pathlist != nullptr)
        previous_pathlist(root, rel, rti, rte);
    if (armed != nullptr && armed->depth == 1 && armed->collect)
        collect_relation(root, rel, rte, armed);
}

// Counts nested planner calls. On an error the depth is not restored, but then `armed` goes too.
PlannedStmt *plan_hook(Query *query, const char *text, int options, ParamListInfo params) {
    armed_state *mine = armed;
    if (mine != nullptr)
        ++mine->depth;
    PlannedStmt *result = previous_planner != nullptr
                              ? previous_planner(query, text, options, params)
                              : standard_planner(query, text, options, params);
    if (mine != nullptr)
        --mine->depth;
    return result;
}

const char *index_name(Oid index) {
    if (const char *name = hypothetical_name(index))
        return name;
    return previous_name != nullptr ? previous_name(index) : nullptr;
}

bool is_ours(Oid index) { return index >= first_hypothetical_oid; }

// ---- the used indexes of a finished plan ----

void used_in_plan(const Plan *plan, bool *used);

void used_in_list(const List *plans, bool *used) {
    ListCell *cell;
    foreach (cell, plans)
        used_in_plan(static_cast<Plan *>(lfirst(cell)), used);
}

void mark(Oid index, bool *used) {
    if (is_ours(index))
        used[index - first_hypothetical_oid] = true;
}

template <class T> const T *as(const Plan *plan) { return reinterpret_cast<const T *>(plan); }

void used_in_plan(const Plan *plan, bool *used) {
    if (plan == nullptr)
        return;
    check_stack_depth();
    switch (nodeTag(plan)) {
    case T_IndexScan: mark(as<IndexScan>(plan)->indexid, used); break;
    case T_IndexOnlyScan: mark(as<IndexOnlyScan>(plan)->indexid, used); break;
    case T_BitmapIndexScan: mark(as<BitmapIndexScan>(plan)->indexid, used); break;
    case T_Append: used_in_list(as<Append>(plan)->appendplans, used); break;
    case T_MergeAppend: used_in_list(as<MergeAppend>(plan)->mergeplans, used); break;
    case T_BitmapAnd: used_in_list(as<BitmapAnd>(plan)->bitmapplans, used); break;
    case T_BitmapOr: used_in_list(as<BitmapOr>(plan)->bitmapplans, used); break;
    case T_SubqueryScan: used_in_plan(as<SubqueryScan>(plan)->subplan, used); break;
    case T_CustomScan: used_in_list(as<CustomScan>(plan)->custom_plans, used); break;
    default: break;
    }
    used_in_plan(plan->lefttree, used);
    used_in_plan(plan->righttree, used);
}

// Arms for a scope. Trivial to leave by exception: the destructor only resets a pointer.
struct arming {
    explicit arming(armed_state *state) { armed = state; }
    ~arming() { armed = nullptr; }
    arming(const arming &) = delete;
    arming &operator=(const arming &) = delete;
};

} // namespace

void install_hooks() {
    previous_info = get_relation_info_hook;
    get_relation_info_hook = relation_info;
    previous_pathlist = set_rel_pathlist_hook;
    set_rel_pathlist_hook = rel_pathlist;
    previous_planner = planner_hook;
    planner_hook = plan_hook;
    previous_name = explain_get_index_name_hook;
    explain_get_index_name_hook = index_name;
}

struct engine::leaf {
    injected in;
};

engine::engine() {
    context_ = call([] {
        return AllocSetContextCreate(CurrentMemoryContext, "dbopt what-if", ALLOCSET_DEFAULT_SIZES);
    });
    planning_ = call([&] {
        return AllocSetContextCreate(context_, "dbopt what-if plan", ALLOCSET_DEFAULT_SIZES);
    });
}

engine::~engine() { MemoryContextDelete(context_); }

namespace {

// The query inside a statement that carries one; *types: the declared parameters of a PREPARE.
Node *inner_query(Node *statement, List **types) {
    switch (nodeTag(statement)) {
    case T_PrepareStmt:
        *types = reinterpret_cast<PrepareStmt *>(statement)->argtypes;
        return reinterpret_cast<PrepareStmt *>(statement)->query;
    case T_DeclareCursorStmt: return reinterpret_cast<DeclareCursorStmt *>(statement)->query;
    case T_ExplainStmt: return reinterpret_cast<ExplainStmt *>(statement)->query;
    case T_CreateTableAsStmt: return reinterpret_cast<CreateTableAsStmt *>(statement)->query;
    case T_CopyStmt: return reinterpret_cast<CopyStmt *>(statement)->query;
    default: return statement;
    }
}

Query *analyse(const char *sql, Oid *types, int count) {
    List *raw = pg_parse_query(sql);
    if (list_length(raw) != 1)
        ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
                        raw == NIL ? errmsg("the text holds no statement")
                                   : errmsg("the text holds %d statements, only one is allowed",
                                            list_length(raw)),
                        errhint("Give each statement as an array element of its own.")));
    RawStmt *statement = linitial_node(RawStmt, raw);
    List *declared = NIL;
    statement->stmt = statement->stmt != nullptr ? inner_query(statement->stmt, &declared) : nullptr;
    if (statement->stmt == nullptr)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("this statement has no plan that indexes could change")));
    if (declared != NIL && count == 0) {
        types = static_cast<Oid *>(palloc(sizeof(Oid) * list_length(declared)));
        ListCell *cell;
        foreach (cell, declared)
            types[count++] = typenameTypeId(nullptr, static_cast<TypeName *>(lfirst(cell)));
    }
    List *rewritten = pg_analyze_and_rewrite_varparams(statement, sql, &types, &count, nullptr);
    Query *query = list_length(rewritten) == 1 ? linitial_node(Query, rewritten) : nullptr;
    if (query == nullptr || query->commandType == CMD_UTILITY || query->commandType == CMD_NOTHING)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("this statement has no plan that indexes could change"),
                        errhint("SELECT, INSERT, UPDATE, DELETE and MERGE can be advised on.")));
    return query;
}

void bind(ParamExternData *to, Oid type, const char *text) {
    to->ptype = type;
    to->pflags = PARAM_FLAG_CONST;
    to->isnull = text == nullptr;
    if (text == nullptr)
        return;
    Oid function, element;
    getTypeInputInfo(type, &function, &element);
    to->value = OidInputFunctionCall(function, const_cast<char *>(text), element, -1);
}

} // namespace

int engine::add_query(const std::string &text, const std::vector<bound> &parameters) {
    const char *sql = text.c_str();
    const int count = static_cast<int>(parameters.size());
    std::vector<Oid> types;
    for (const bound &b : parameters)
        types.push_back(b.type);
    ParamListInfo list = nullptr;
    Query *tree = call([&]() -> Query * {
        MemoryContext old = MemoryContextSwitchTo(context_);
        Oid *known = nullptr;
        if (count > 0) {
            known = static_cast<Oid *>(palloc(sizeof(Oid) * count));
            memcpy(known, types.data(), sizeof(Oid) * count);
        }
        Query *query = analyse(sql, known, count);
        if (count > 0) {
            list = makeParamList(count);
            for (int i = 0; i < count; ++i)
                bind(&list->params[i], types[i],
                     parameters[i].text ? parameters[i].text->c_str() : nullptr);
        }
        MemoryContextSwitchTo(old);
        return query;
    });
    queries_.push_back({tree, text, static_cast<int64_t>(tree->queryId), list});
    return query_count() - 1;
}

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

PlannedStmt *engine::run(int query, std::span<const int> indexes, List **collected) {
    MemoryContextReset(planning_);
    std::vector<injected> show;
    for (const int i : indexes)
        for (const leaf &l : indexes_[i])
            show.push_back(l.in);
    armed_state state{.indexes = show.data(),
                      .count = static_cast<int>(show.size()),
                      .collect = collected != nullptr,
                      .hidden = hidden_,
                      .depth = 0,
                      .collected = NIL,
                      .keep = context_};
    const parsed &q = queries_[query];
    ++plans_;
    const arming on(&state);
    return call([&] {
        CHECK_FOR_INTERRUPTS();
        MemoryContext old = MemoryContextSwitchTo(planning_);
        Query *copy = static_cast<Query *>(copyObjectImpl(q.tree));
        PlannedStmt *plan = planner(copy, q.text.c_str(), CURSOR_OPT_PARALLEL_OK, q.parameters);
        MemoryContextSwitchTo(old);
        if (collected != nullptr)
            *collected = state.collected;
        return plan;
    });
}

outcome engine::plan(int query, std::span<const int> indexes) {
    PlannedStmt *plan = run(query, indexes, nullptr);
    outcome out{.cost = plan->planTree->total_cost, .used = {}};
    if (indexes.empty())
        return out;
    std::vector<char> used(indexes_.size(), 0);
    call([&] {
        bool *flags = reinterpret_cast<bool *>(used.data());
        used_in_plan(plan->planTree, flags);
        used_in_list(plan->subplans, flags);
    });
    for (const int i : indexes)
        if (used[i])
            out.used.push_back(i);
    return out;
}

engine::change engine::change_of(int query) const {
    const Query *q = queries_[query].tree;
    change out;
    if (q->resultRelation <= 0 || (q->commandType != CMD_INSERT && q->commandType != CMD_UPDATE))
        return out;
    out.relation = rt_fetch(q->resultRelation, q->rtable)->relid;
    out.inserts = q->commandType == CMD_INSERT;
    for (int i = 0; !out.inserts && i < list_length(q->targetList); ++i) {
        const auto *target = static_cast<TargetEntry *>(list_nth(q->targetList, i));
        if (!target->resjunk)
            out.columns.push_back(target->resno);
    }
    return out;
}

std::pair<double, std::vector<relation_use>> engine::inspect(int query) {
    List *collected = NIL;
    PlannedStmt *plan = run(query, {}, &collected);
    call([&] { compat::check_permissions(plan); });
    std::vector<relation_use> out;
    for (int i = 0; i < list_length(collected); ++i) {
        const auto *raw = static_cast<raw_relation *>(list_nth(collected, i));
        relation_use r{.relation = raw->relation,
                       .tuples = raw->tuples,
                       .rows = raw->rows,
                       .pages = raw->pages,
                       .whole_row = raw->whole_row,
                       .limited = raw->limited,
                       .needed = {},
                       .uses = {},
                       .conditions = {}};
        for (int a = -1; (a = bms_next_member(raw->needed, a)) >= 0;) {
            const int column = a + FirstLowInvalidHeapAttributeNumber;
            if (column > 0)
                r.needed.push_back(static_cast<AttrNumber>(column));
            else
                r.whole_row = true;
        }
        for (int u = 0; u < list_length(raw->uses); ++u) {
            const auto *x = static_cast<raw_use *>(list_nth(raw->uses, u));
            r.uses.push_back({x->kind, x->alternative, x->column, x->expression, x->opclass, x->group,
                              x->selectivity, x->descending, x->nulls_first});
        }
        for (int c = 0; c < list_length(raw->conditions); ++c) {
            const auto *x = static_cast<raw_condition *>(list_nth(raw->conditions, c));
            r.conditions.push_back({x->expression, x->selectivity});
        }
        out.push_back(std::move(r));
    }
    return {plan->planTree->total_cost, std::move(out)};
}

} // namespace dbopt::pg::whatif
