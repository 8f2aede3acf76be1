// A plan taken apart: what each way of reading a relation costs, and where plans read relations. With both
// the cost of a plan under other indexes is arithmetic: take out what its readings cost, put in what the
// cheapest allowed ones cost. Plain C style: this runs inside the planner, where an error jumps.
// Ideas: INUM (Papadomanolakis, Dash, Ailamaki 2007) for plans reused with other access costs; PINUM
// (Dash et al. 2010) for asking the planner for all access paths in one call.
#include "pg/whatif_internal.hpp"

extern "C" {
#include "common/hashfn.h"
#include "optimizer/tlist.h"
}

namespace dbopt::pg::whatif {

namespace {

uint64 mixed(uint64 a, uint64 b) { return hash_combine64(a, b * UINT64CONST(0x9E3779B97F4A7C15)); }

uint64 hash_of(const Bitmapset *set) {
    uint64 h = 0;
    for (int member = -1; (member = bms_next_member(set, member)) >= 0;)
        h = mixed(h + 1, static_cast<uint64>(member) + 1);
    return h;
}

// The same reference in another plan of the same query; planner nodes are new each time.
// A worker's part of a parallel reading is another matter than all of it.
uint64 reference(PlannerInfo *root, RelOptInfo *rel, bool partial) {
    uint64 rows;
    memcpy(&rows, &rel->rows, sizeof rows);
    uint64 h = mixed(root->simple_rte_array[rel->relid]->relid, rel->relid * 2 + (partial ? 1 : 0));
    h = mixed(h, (static_cast<uint64>(root->query_level) << 32) +
                     static_cast<uint64>(list_length(root->parse->rtable)));
    return mixed(h, rows);
}

// The members of an equivalence class are the same in each plan, but not their sequence.
uint64 hash_of(const PathKey *key) {
    uint64 sum = 0;
    ListCell *cell;
    foreach (cell, key->pk_eclass->ec_members) {
        const EquivalenceMember *m = static_cast<EquivalenceMember *>(lfirst(cell));
        const Node *node = reinterpret_cast<Node *>(m->em_expr);
        if (m->em_is_child || node == nullptr)
            continue;
        if (IsA(node, Var))
            sum += mixed(static_cast<uint64>(reinterpret_cast<const Var *>(node)->varno),
                         static_cast<uint64>(reinterpret_cast<const Var *>(node)->varattno) + 1);
        else
            sum += mixed(static_cast<uint64>(nodeTag(node)), exprType(node));
    }
    const uint64 direction =
#if PG_VERSION_NUM >= 180000
        static_cast<uint64>(key->pk_cmptype);
#else
        static_cast<uint64>(key->pk_strategy);
#endif
    return mixed(sum, direction * 2 + (key->pk_nulls_first ? 1 : 0));
}

interface interface_of(PlannerInfo *root, const Path *path, bool ordered) {
    interface out{};
    out.relation = reference(root, path->parent, path->parallel_workers > 0);
    out.driven_by = hash_of(PATH_REQ_OUTER(path));
    if (!ordered)
        return out;
    uint64 h = 0;
    ListCell *cell;
    foreach (cell, path->pathkeys) {
        if (out.ordered == lengthof(out.order))
            break;
        h = mixed(h, hash_of(static_cast<PathKey *>(lfirst(cell))));
        out.order[out.ordered++] = h;
    }
    return out;
}

void note(armed_state *into, PlannerInfo *root, const Path *path, int index) {
    priced_paths *to = into->priced;
    if (to->count == to->room) {
        to->room = to->room == 0 ? 64 : to->room * 2;
        to->paths = to->paths == nullptr
                        ? static_cast<priced_path *>(palloc(sizeof(priced_path) * to->room))
                        : static_cast<priced_path *>(repalloc(to->paths, sizeof(priced_path) * to->room));
    }
    to->paths[to->count++] = {interface_of(root, path, true), index, path->startup_cost, path->total_cost};
}

List *indexes_aside(const armed_state *from, const RelOptInfo *rel) {
    ListCell *cell;
    foreach (cell, from->asides)
        if (static_cast<aside *>(lfirst(cell))->rel == rel)
            return static_cast<aside *>(lfirst(cell))->indexes;
    return NIL;
}

bool readable(const RelOptInfo *rel, const RangeTblEntry *rte) {
    return rte->rtekind == RTE_RELATION && rel->rtekind == RTE_RELATION && rel->pathlist != NIL &&
           (rte->relkind == RELKIND_RELATION || rte->relkind == RELKIND_MATVIEW);
}

} // namespace

void price_relation(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte, armed_state *into) {
    if (!readable(rel, rte))
        return;
    ListCell *cell;
    foreach (cell, rel->pathlist)
        note(into, root, static_cast<Path *>(lfirst(cell)), -1);
    foreach (cell, rel->partial_pathlist)
        note(into, root, static_cast<Path *>(lfirst(cell)), -1);
    List *alone = indexes_aside(into, rel);
    if (alone == NIL)
        return;
    List *paths = rel->pathlist, *partial = rel->partial_pathlist, *indexes = rel->indexlist;
    rel->indexlist = alone;
    check_index_predicates(root, rel);
    foreach (cell, alone) {
        IndexOptInfo *index = static_cast<IndexOptInfo *>(lfirst(cell));
        rel->pathlist = rel->partial_pathlist = NIL;
        rel->indexlist = list_make1(index);
        create_index_paths(root, rel);
        const int number = static_cast<int>(index->indexoid - first_hypothetical_oid);
        ListCell *made;
        foreach (made, rel->pathlist)
            note(into, root, static_cast<Path *>(lfirst(made)), number);
        foreach (made, rel->partial_pathlist)
            note(into, root, static_cast<Path *>(lfirst(made)), number);
    }
    rel->pathlist = paths;
    rel->partial_pathlist = partial;
    rel->indexlist = indexes;
}

namespace {

// How a change in the cost of a node shows in the cost of the whole plan: of what it takes to give its
// first row, and of what it takes from there to its last.
struct weights {
    double startup, run;
    weights blocked() const { return {startup, startup}; } // all of it before the parent's first row
    weights all_run() const { return {run, run}; }
};

struct walker {
    plan_leaves *out;
    PlannerInfo *top;
};

void walk(const walker &w, PlannerInfo *root, const Path *path, weights at, bool ordered);

template <class T> const T *as(const Path *path) { return reinterpret_cast<const T *>(path); }

void add_leaf(const walker &w, PlannerInfo *root, const Path *path, weights at, bool ordered, Oid index) {
    plan_leaves *to = w.out;
    if (to->count == to->room) {
        to->room = to->room == 0 ? 16 : to->room * 2;
        to->leaves = to->leaves == nullptr
                         ? static_cast<plan_leaf *>(palloc(sizeof(plan_leaf) * to->room))
                         : static_cast<plan_leaf *>(repalloc(to->leaves, sizeof(plan_leaf) * to->room));
    }
    const int number = is_ours(index) ? static_cast<int>(index - first_hypothetical_oid) : -1;
    to->leaves[to->count++] = {{interface_of(root, path, ordered), number, path->startup_cost, path->total_cost},
                               at.startup, at.run};
}

bool has_hypothetical(const Path *path) {
    ListCell *cell;
    switch (nodeTag(path)) {
    case T_IndexPath: return is_ours(as<IndexPath>(path)->indexinfo->indexoid);
    case T_BitmapAndPath:
        foreach (cell, as<BitmapAndPath>(path)->bitmapquals)
            if (has_hypothetical(static_cast<Path *>(lfirst(cell))))
                return true;
        return false;
    case T_BitmapOrPath:
        foreach (cell, as<BitmapOrPath>(path)->bitmapquals)
            if (has_hypothetical(static_cast<Path *>(lfirst(cell))))
                return true;
        return false;
    default: return false;
    }
}

void leaf(const walker &w, PlannerInfo *root, const Path *path, weights at, bool ordered) {
    const RelOptInfo *rel = path->parent;
    if (rel->rtekind != RTE_RELATION ||
        (rel->reloptkind != RELOPT_BASEREL && rel->reloptkind != RELOPT_OTHER_MEMBER_REL))
        return;
    if (IsA(path, IndexPath)) {
        add_leaf(w, root, path, at, ordered, as<IndexPath>(path)->indexinfo->indexoid);
    } else if (IsA(path, BitmapHeapPath)) {
        const Path *quals = as<BitmapHeapPath>(path)->bitmapqual;
        if (IsA(quals, IndexPath))
            add_leaf(w, root, path, at, false, as<IndexPath>(quals)->indexinfo->indexoid);
        else if (!has_hypothetical(quals))
            add_leaf(w, root, path, at, false, InvalidOid);
    } else if (path->pathtype == T_SeqScan) {
        add_leaf(w, root, path, at, false, InvalidOid);
    }
}

// How many times the inner side of a nested loop is paid for.
double repetitions(const NestPath *nest) {
    const Path *outer = nest->jpath.outerjoinpath, *inner = nest->jpath.innerjoinpath;
    const double loops = Max(1.0, outer->rows);
    if (IsA(inner, MaterialPath))
        return 1;
    if (IsA(inner, MemoizePath)) {
        const MemoizePath *m = as<MemoizePath>(inner);
        const double missed = m->calls > 0 ? Min(1.0, m->est_entries / m->calls) : 1;
        return 1 + (loops - 1) * missed;
    }
    const JoinPath *j = &nest->jpath;
    const bool first_match = j->inner_unique || j->jointype == JOIN_SEMI || j->jointype == JOIN_ANTI;
    double own = nest->jpath.path.pathtarget->cost.per_tuple * nest->jpath.path.rows;
    own += cpu_tuple_cost * (first_match ? nest->jpath.path.rows : loops * inner->rows);
    const double paid = (nest->jpath.path.total_cost - outer->total_cost - own) / Max(inner->total_cost, 1e-9);
    // Without early ends and odd conditions each loop is paid in full.
    if (!first_match || paid > loops * 0.99)
        return Min(loops, Max(1.0, j->joinrestrictinfo == NIL ? loops : paid));
    return Max(0.0, paid);
}

void nested_loop(const walker &w, PlannerInfo *root, const Path *path, weights at, bool ordered) {
    const NestPath *nest = as<NestPath>(path);
    walk(w, root, nest->jpath.outerjoinpath, at, ordered);
    const double times = repetitions(nest);
    walk(w, root, nest->jpath.innerjoinpath, {at.run * times, at.run * times}, false);
}

void merge_join(const walker &w, PlannerInfo *root, const Path *path, weights at) {
    const MergePath *merge = as<MergePath>(path);
    const bool sort_outer = merge->outersortkeys != NIL, sort_inner = merge->innersortkeys != NIL;
    walk(w, root, merge->jpath.outerjoinpath, sort_outer ? at.blocked() : at, !sort_outer);
    walk(w, root, merge->jpath.innerjoinpath, sort_inner ? at.blocked() : at, !sort_inner);
}

// The wanted rows may all lie at the other end of the order; ten times what the planner expects is not rare.
double gamble_of(const LimitPath *limit) {
    const Path *below = limit->subpath;
    while (IsA(below, ProjectionPath))
        below = as<ProjectionPath>(below)->subpath;
    if (!IsA(below, IndexPath) || below->param_info != nullptr || below->pathkeys == NIL)
        return 0;
    const double read = as<IndexPath>(below)->indexselectivity * below->parent->tuples;
    if (below->parent->rows > 0.3 * read || limit->path.total_cost > 0.5 * below->total_cost)
        return 0;
    return Min(below->total_cost, 10 * limit->path.total_cost) - limit->path.total_cost;
}

void limited(const walker &w, PlannerInfo *root, const Path *path, weights at, bool ordered) {
    const Path *below = as<LimitPath>(path)->subpath;
    w.out->gamble += gamble_of(as<LimitPath>(path)) * at.run;
    const double run = below->total_cost - below->startup_cost;
    const double part = run > 0 ? (path->total_cost - below->startup_cost) / run : 1;
    walk(w, root, below, {at.startup, at.run * Min(1.0, Max(0.0, part))}, ordered);
}

void walk_list(const walker &w, PlannerInfo *root, const List *paths, weights at, bool ordered) {
    ListCell *cell;
    foreach (cell, paths)
        walk(w, root, static_cast<Path *>(lfirst(cell)), at, ordered);
}

// Plans that run once before the rest: CTEs that are materialised, uncorrelated subqueries.
void walk_init_plans(const walker &w, PlannerInfo *root, weights at) {
    ListCell *cell;
    foreach (cell, root->init_plans) {
        const SubPlan *plan = static_cast<SubPlan *>(lfirst(cell));
        PlannerInfo *sub = static_cast<PlannerInfo *>(list_nth(w.top->glob->subroots, plan->plan_id - 1));
        const RelOptInfo *final = fetch_upper_rel(sub, UPPERREL_FINAL, nullptr);
        if (final->pathlist == NIL || final->cheapest_total_path == nullptr)
            continue;
        walk(w, sub, final->cheapest_total_path, at.blocked(), sub->query_pathkeys != NIL);
        walk_init_plans(w, sub, at.blocked());
    }
}

void subquery(const walker &w, const Path *path, weights at, bool ordered) {
    PlannerInfo *sub = path->parent->subroot;
    if (sub == nullptr)
        return;
    walk(w, sub, as<SubqueryScanPath>(path)->subpath, at, ordered || sub->query_pathkeys != NIL);
    walk_init_plans(w, sub, at);
}

void extremes(const walker &w, const Path *path, weights at) {
    ListCell *cell;
    foreach (cell, as<MinMaxAggPath>(path)->mmaggregates) {
        const MinMaxAggInfo *m = static_cast<MinMaxAggInfo *>(lfirst(cell));
        const double part = m->path->rows > 1 ? 1 / m->path->rows : 1;
        walk(w, m->subroot, m->path, {at.startup, at.startup * part}, true);
    }
}

void aggregate(const walker &w, PlannerInfo *root, const Path *path, weights at) {
    const AggPath *agg = as<AggPath>(path);
    const bool sorted = agg->aggstrategy == AGG_SORTED;
    walk(w, root, agg->subpath, sorted ? at : at.blocked(),
         sorted || (agg->aggstrategy == AGG_PLAIN && root->group_pathkeys != NIL));
}

// INTERSECT and EXCEPT: two inputs since 18, before that both in one.
void set_operation(const walker &w, PlannerInfo *root, const Path *path, weights at) {
    const SetOpPath *both = as<SetOpPath>(path);
    const bool hashed = both->strategy == SETOP_HASHED;
#if PG_VERSION_NUM >= 180000
    walk(w, root, both->leftpath, hashed ? at.all_run() : at, !hashed);
    walk(w, root, both->rightpath, hashed ? at.blocked() : at, !hashed);
#else
    walk(w, root, both->subpath, hashed ? at.blocked() : at, !hashed);
#endif
}

// The planner reckons with ten rounds (cost_recursive_union).
void recursion(const walker &w, PlannerInfo *root, const Path *path, weights at) {
    const RecursiveUnionPath *both = as<RecursiveUnionPath>(path);
    walk(w, root, both->leftpath, at, false);
    walk(w, root, both->rightpath, {at.run * 10, at.run * 10}, false);
}

void walk(const walker &w, PlannerInfo *root, const Path *path, weights at, bool ordered) {
    check_stack_depth();
    if (path == nullptr)
        return;
    switch (nodeTag(path)) {
    case T_Path:
    case T_IndexPath:
    case T_BitmapHeapPath: leaf(w, root, path, at, ordered); break;
    case T_NestPath: nested_loop(w, root, path, at, ordered); break;
    case T_MergePath: merge_join(w, root, path, at); break;
    case T_HashPath:
        walk(w, root, as<JoinPath>(path)->outerjoinpath, at, false);
        walk(w, root, as<JoinPath>(path)->innerjoinpath, at.blocked(), false);
        break;
    case T_SubqueryScanPath: subquery(w, path, at, ordered); break;
    case T_AppendPath: walk_list(w, root, as<AppendPath>(path)->subpaths, at.all_run(), ordered); break;
    case T_MergeAppendPath: walk_list(w, root, as<MergeAppendPath>(path)->subpaths, at, true); break;
    case T_MaterialPath: walk(w, root, as<MaterialPath>(path)->subpath, at, ordered); break;
    case T_MemoizePath: walk(w, root, as<MemoizePath>(path)->subpath, at, false); break;
    case T_UniquePath:
        walk(w, root, as<UniquePath>(path)->subpath,
             as<UniquePath>(path)->umethod == UNIQUE_PATH_NOOP ? at : at.blocked(), false);
        break;
    case T_ProjectionPath: walk(w, root, as<ProjectionPath>(path)->subpath, at, ordered); break;
    case T_ProjectSetPath: walk(w, root, as<ProjectSetPath>(path)->subpath, at, ordered); break;
    case T_SortPath: walk(w, root, as<SortPath>(path)->subpath, at.blocked(), false); break;
    case T_IncrementalSortPath: walk(w, root, as<SortPath>(path)->subpath, at, true); break;
    case T_GroupPath: walk(w, root, as<GroupPath>(path)->subpath, at, true); break;
    case T_UpperUniquePath: walk(w, root, as<UpperUniquePath>(path)->subpath, at, true); break;
    case T_AggPath: aggregate(w, root, path, at); break;
    case T_GroupingSetsPath: walk(w, root, as<GroupingSetsPath>(path)->subpath, at.blocked(), true); break;
    case T_MinMaxAggPath: extremes(w, path, at); break;
    case T_WindowAggPath: walk(w, root, as<WindowAggPath>(path)->subpath, at, true); break;
    case T_LockRowsPath: walk(w, root, as<LockRowsPath>(path)->subpath, at, ordered); break;
    case T_ModifyTablePath: walk(w, root, as<ModifyTablePath>(path)->subpath, at, false); break;
    case T_LimitPath: limited(w, root, path, at, ordered); break;
    case T_GatherPath: walk(w, root, as<GatherPath>(path)->subpath, at, false); break;
    case T_GatherMergePath: walk(w, root, as<GatherMergePath>(path)->subpath, at, true); break;
    case T_SetOpPath: set_operation(w, root, path, at); break;
    case T_RecursiveUnionPath: recursion(w, root, path, at); break;
    default: break; // foreign and custom: what they read is not taken apart
    }
}

} // namespace

void leaves_of(PlannerInfo *top, plan_leaves *out) {
    const RelOptInfo *final = fetch_upper_rel(top, UPPERREL_FINAL, nullptr);
    if (final->cheapest_total_path == nullptr)
        return;
    const walker w{out, top};
    walk(w, top, final->cheapest_total_path, {1, 1}, top->query_pathkeys != NIL);
    walk_init_plans(w, top, {1, 1});
}

} // namespace dbopt::pg::whatif
