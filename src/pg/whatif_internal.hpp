// Shared by the whatif_*.cpp files only.
#pragma once
#include "pg/whatif.hpp"

extern "C" {
#include "access/amapi.h"
#include "access/htup_details.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_index.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_operator.h"
#include "commands/defrem.h"
#include "commands/explain.h"
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/plancat.h"
#include "optimizer/planner.h"
#include "optimizer/restrictinfo.h"
#include "parser/analyze.h"
#include "parser/parse_type.h"
#include "parser/parse_utilcmd.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/selfuncs.h"
}

namespace dbopt::pg::whatif {

// One injected index on one relation (a partitioned parent has one per leaf). POD: the hook runs
// between C frames.
struct injected {
    Oid relation;
    IndexOptInfo *model; // arrays shared by every plan; expressions over varno 1
    bool active;
};

// The hypothetical indexes of one relation of one query level, kept out of its plan.
struct aside {
    RelOptInfo *rel;
    List *indexes; // of IndexOptInfo
};

// ---- whatif_access.cpp ----

// What a plan asks of the way a relation is read: which relation, driven by which others (the outer sides
// of nested loops), in which order. Ways that agree in this can stand for each other in a plan.
struct interface {
    uint64 relation; // one reference to a relation in one query level, told by what plans share
    uint64 driven_by;
    uint64 order[3]; // of the first keys, each with those before it
    int ordered;
};
struct priced_path {
    interface face;
    int index; // hypothetical; -1: what is there without
    double startup, total;
};
struct priced_paths {
    priced_path *paths;
    int count, room;
};
// Where a finished plan reads a relation, and how much of that reading's cost is in the plan's cost.
struct plan_leaf {
    priced_path path;
    double startup_weight, run_weight;
};
struct plan_leaves {
    plan_leaf *leaves;
    int count, room;
    // What the plan may cost more than it says: it reads rows in the order wanted, throws away those that other
    // conditions do not want, and believes to be done soon because the wanted ones lie evenly in that order.
    double gamble;
};

// What the running plan of this process injects and collects; null outside engine::plan.
struct armed_state {
    injected *indexes;
    int count;
    bool collect;
    Oid hidden; // a real index that the plan must not see
    int depth; // of planner(): only the outermost call is ours
    List *collected; // of raw_relation, in the planning context
    MemoryContext keep; // where collected expressions go
    bool price;         // try each index alone and note its paths
    List *asides;       // of aside
    priced_paths *priced;
    PlannerInfo *top;   // of the query itself, once its plan is complete
};
extern armed_state *armed;

void price_relation(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte, armed_state *into);
// The leaves of the plan that `top` was planned to; those of correlated subqueries are left out.
void leaves_of(PlannerInfo *top, plan_leaves *out);


inline bool is_ours(Oid index) { return index >= first_hypothetical_oid; }
// Marks which hypothetical indexes a plan reads.
void used_in_plan(const Plan *plan, bool *used);
void used_in_list(const List *plans, bool *used);

struct engine::leaf {
    injected in;
};

struct raw_use {
    use_kind kind;
    bool alternative;
    AttrNumber column;
    Node *expression;
    Oid opclass;
    int group;
    double selectivity;
    bool descending;
    bool nulls_first;
};
struct raw_condition {
    Node *expression;
    double selectivity;
};
struct raw_relation {
    Oid relation;
    double tuples, rows, pages;
    bool whole_row, limited;
    Bitmapset *needed; // attribute numbers, offset by FirstLowInvalidHeapAttributeNumber
    List *uses;        // of raw_use *
    List *conditions;  // of raw_condition *
};

// Called by the set_rel_pathlist hook; plain C style (it may be jumped over).
void collect_relation(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte, armed_state *into);
// The same index on a partition, whose columns may stand in another order.
index_spec leaf_spec(const index_spec &spec, Oid leaf);
// The names printed by plan_text for hypothetical indexes.
const char *hypothetical_name(Oid index);

} // namespace dbopt::pg::whatif
