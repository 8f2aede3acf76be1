// The hooks that show the planner indexes that do not exist, and what a finished plan uses of them. They
// do nothing but call the previous one until an engine plans. Plain C style, no object with a
// destructor: all of this runs inside the planner, where an error jumps.
#include "pg/compat.hpp"
#include "pg/whatif_internal.hpp"

extern "C" {
#include "catalog/partition.h"
}

namespace dbopt::pg::whatif {

armed_state *armed = nullptr;

namespace {

get_relation_info_hook_type previous_info = nullptr;
set_rel_pathlist_hook_type previous_pathlist = nullptr;
planner_hook_type previous_planner = nullptr;
create_upper_paths_hook_type previous_upper = nullptr;
explain_get_index_name_hook_type previous_name = nullptr;

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

// While access paths are priced the relation's plan is made without them; each is tried alone later.
void put_aside(RelOptInfo *rel, IndexOptInfo *index) {
    aside *a = armed->asides != NIL ? static_cast<aside *>(llast(armed->asides)) : nullptr;
    if (a == nullptr || a->rel != rel) {
        a = static_cast<aside *>(palloc(sizeof(aside)));
        *a = {rel, NIL};
        armed->asides = lappend(armed->asides, a);
    }
    a->indexes = lappend(a->indexes, index);
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
        if (armed->price)
            put_aside(rel, index);
        else
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
    if (armed != nullptr && armed->depth == 1 && armed->price)
        price_relation(root, rel, rte, armed);
}

void upper_paths(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *input, RelOptInfo *output,
                 void *extra) {
    if (previous_upper != nullptr)
        previous_upper(root, stage, input, output, extra);
    if (armed != nullptr && armed->depth == 1 && stage == UPPERREL_FINAL && root->parent_root == nullptr)
        armed->top = root;
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

} // namespace

// ---- the used indexes of a finished plan ----

void used_in_plan(const Plan *plan, bool *used);

void used_in_list(const List *plans, bool *used) {
    ListCell *cell;
    foreach (cell, plans)
        used_in_plan(static_cast<Plan *>(lfirst(cell)), used);
}

namespace {
void mark(Oid index, bool *used) {
    if (is_ours(index))
        used[index - first_hypothetical_oid] = true;
}

template <class T> const T *as(const Plan *plan) { return reinterpret_cast<const T *>(plan); }
} // namespace

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
void install_hooks() {
    previous_info = get_relation_info_hook;
    get_relation_info_hook = relation_info;
    previous_pathlist = set_rel_pathlist_hook;
    set_rel_pathlist_hook = rel_pathlist;
    previous_upper = create_upper_paths_hook;
    create_upper_paths_hook = upper_paths;
    previous_planner = planner_hook;
    planner_hook = plan_hook;
    previous_name = explain_get_index_name_hook;
    explain_get_index_name_hook = index_name;
}

} // namespace dbopt::pg::whatif
