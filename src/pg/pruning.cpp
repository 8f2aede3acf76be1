#include "pg/pruning.hpp"
#include "pg/compat.hpp"

extern "C" {
#include "nodes/plannodes.h"
}

namespace dbopt::pg {

namespace {

bool prunes_later(const Plan *plan) {
    if (plan == nullptr)
        return false;
    const List *children = nullptr;
    switch (nodeTag(plan)) {
    case T_Append:
        if (compat::has_prune_steps((const Append *)plan))
            return true;
        children = ((const Append *)plan)->appendplans;
        break;
    case T_MergeAppend:
        if (compat::has_prune_steps((const MergeAppend *)plan))
            return true;
        children = ((const MergeAppend *)plan)->mergeplans;
        break;
    case T_SubqueryScan:
        if (prunes_later(((const SubqueryScan *)plan)->subplan))
            return true;
        break;
    default: break;
    }
    for (int i = 0; i < list_length(children); ++i)
        if (prunes_later((const Plan *)list_nth(children, i)))
            return true;
    return prunes_later(plan->lefttree) || prunes_later(plan->righttree);
}

} // namespace

planned_relations plan_relations(const std::string &sql) {
    planned_relations found;
    PlannedStmt *statement = call([&] {
        List *parsed = pg_parse_query(sql.c_str());
        if (list_length(parsed) != 1)
            ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("exactly one statement is wanted, not %d", list_length(parsed))));
        List *queries = pg_analyze_and_rewrite_fixedparams((RawStmt *)linitial(parsed), sql.c_str(), nullptr, 0, nullptr);
        if (list_length(queries) != 1 || ((Query *)linitial(queries))->commandType == CMD_UTILITY)
            ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("only a query can be planned"),
                            errhint("Give a SELECT, INSERT, UPDATE, DELETE or MERGE.")));
        return pg_plan_query((Query *)linitial(queries), sql.c_str(), CURSOR_OPT_PARALLEL_OK, nullptr);
    });
    for (int i = 0; i < list_length(statement->relationOids); ++i)
        found.relations.push_back(list_nth_oid(statement->relationOids, i));
    found.prunes_later = prunes_later(statement->planTree);
    for (int i = 0; i < list_length(statement->subplans); ++i)
        found.prunes_later |= prunes_later((const Plan *)list_nth(statement->subplans, i));
    return found;
}

} // namespace dbopt::pg
