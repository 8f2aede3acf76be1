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

// What the running plan of this process injects and collects; null outside engine::plan.
struct armed_state {
    injected *indexes;
    int count;
    bool collect;
    Oid hidden; // a real index that the plan must not see
    int depth; // of planner(): only the outermost call is ours
    List *collected; // of raw_relation, in the planning context
    MemoryContext keep; // where collected expressions go
};
extern armed_state *armed;

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
