// Functions in the query of a view whose result changes though no row does; keys the query shows.
#include "pg/view_internal.hpp"

extern "C" {
#include "catalog/pg_proc.h"
#include "parser/parse_clause.h"
}

namespace dbopt::pg {

using namespace views;

namespace {

bool depends_on_settings_only(const char *name) {
    static constexpr const char *names[] = {
        "date_trunc", "date_part", "extract", "timestamp", "timestamptz", "date",   "to_char",
        "timezone",   "text",      "concat",  "concat_ws", "format",      "to_date"};
    const std::string_view n(name);
    if (n.size() > 4 && n.substr(n.size() - 4) == "_out")
        return true;
    if (n.find("timestamptz") != n.npos && (n.find("_lt") != n.npos || n.find("_gt") != n.npos ||
                                            n.find("_le") != n.npos || n.find("_ge") != n.npos ||
                                            n.find("_eq") != n.npos || n.find("_cmp") != n.npos))
        return true;
    return std::find(std::begin(names), std::end(names), n) != std::end(names);
}

struct function_search {
    char *found;
};
bool check_function(Oid function, void *context) {
    if (func_volatile(function) == PROVOLATILE_IMMUTABLE)
        return false;
    char *name = get_func_name(function);
    if (function < FirstNormalObjectId && func_volatile(function) == PROVOLATILE_STABLE &&
        depends_on_settings_only(name))
        return false;
    static_cast<function_search *>(context)->found = psprintf("%s()", name);
    return true;
}
bool find_changing(Node *n, void *searched) {
    auto *context = static_cast<function_search *>(searched);
    if (n == nullptr)
        return false;
    if (!IsA(n, RangeTblEntry) && !IsA(n, Query) && check_functions_in_node(n, check_function, context))
        return true;
    if (IsA(n, SQLValueFunction)) {
        context->found = pstrdup("the current date, time or user");
        return true;
    }
    if (IsA(n, RangeTblEntry)) {
        if (((RangeTblEntry *)n)->tablesample == nullptr)
            return false; // its expressions come by themselves
        context->found = pstrdup("TABLESAMPLE");
        return true;
    }
    if (IsA(n, Query))
        return walk_query((Query *)n, find_changing, context);
    return walk(n, find_changing, context);
}

} // namespace

std::optional<std::string> changing_function(Oid view) {
    Query *q = stored_query(view);
    function_search found{nullptr};
    call([&] { find_changing((Node *)q, &found); });
    return found.found == nullptr ? std::nullopt : std::optional<std::string>(found.found);
}

std::vector<std::string> grouping_columns(Oid matview) {
    Query *q = stored_query(matview);
    List *clause = q->groupClause != NIL ? q->groupClause : q->distinctClause;
    std::vector<std::string> out;
    if (q->setOperations != nullptr || q->groupingSets != NIL || q->hasDistinctOn)
        return out;
    for (int i = 0; i < list_length(clause); ++i) {
        TargetEntry *t = get_sortgroupclause_tle((SortGroupClause *)list_nth(clause, i), q->targetList);
        if (t->resjunk)
            return {};
        out.push_back(t->resname);
    }
    return out;
}

} // namespace dbopt::pg
