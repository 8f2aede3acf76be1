// Functions in the query of a view whose result changes though no row does; keys the query shows.
#include "pg/view_internal.hpp"

extern "C" {
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "parser/parse_clause.h"
}

namespace dbopt::pg {

using namespace views;

namespace {

bool depends_on_settings_only(const char *name) {
    static constexpr const char *names[] = {
        "date_trunc", "date_part", "extract", "timestamp", "timestamptz", "date",   "to_char",
        "timezone",   "text",      "concat",  "concat_ws", "format",      "to_date",
        "json_agg", "jsonb_agg", "json_object_agg", "jsonb_object_agg", "to_json", "to_jsonb", "row_to_json",
        "array_to_json", "json_build_object", "jsonb_build_object", "json_build_array", "jsonb_build_array"};
    const std::string_view n(name);
    if (n.size() > 4 && n.substr(n.size() - 4) == "_out")
        return true;
    if (n.find("timestamptz") != n.npos && (n.find("_lt") != n.npos || n.find("_gt") != n.npos ||
                                            n.find("_le") != n.npos || n.find("_ge") != n.npos ||
                                            n.find("_eq") != n.npos || n.find("_cmp") != n.npos))
        return true;
    return std::find(std::begin(names), std::end(names), n) != std::end(names);
}

// Whose text form follows a catalog and the search_path: names of objects change, and no row does. Types of
// users, whose casts and output functions are theirs, count as well.
bool names_objects(Oid type, int depth = 0) {
    const Oid base = getBaseType(type), element = get_element_type(base);
    if (OidIsValid(element))
        return names_objects(element, depth);
    static constexpr Oid names[] = {REGPROCOID, REGPROCEDUREOID, REGOPEROID, REGOPERATOROID, REGCLASSOID, REGTYPEOID,
                                    REGROLEOID, REGNAMESPACEOID, REGCONFIGOID, REGDICTIONARYOID, REGCOLLATIONOID, ACLITEMOID};
    if (std::find(std::begin(names), std::end(names), base) != std::end(names) || depth > 8)
        return true;
    if (base < FirstNormalObjectId || type_is_enum(base))
        return false; // an unnamed row: its fields are looked at
    if (get_typtype(base) != TYPTYPE_COMPOSITE)
        return true;
    TupleDesc d = lookup_rowtype_tupdesc(base, -1);
    bool found = false;
    for (int i = 0; i < d->natts && !found; ++i)
        found = !TupleDescAttr(d, i)->attisdropped && names_objects(TupleDescAttr(d, i)->atttypid, depth + 1);
    ReleaseTupleDesc(d);
    return found;
}

bool field_names_objects(Node *n, void *) {
    if (n == nullptr)
        return false;
    if (IsA(n, RowExpr)) // of no type of its own, perhaps
        return walk((Node *)((RowExpr *)n)->args, field_names_objects, nullptr) || names_objects(exprType(n));
    return IsA(n, List) ? walk(n, field_names_objects, nullptr) : names_objects(exprType(n));
}

// Arguments of what turns values into text. Elsewhere an object's name is a number.
List *shown_values(Node *n) {
    if (IsA(n, CoerceViaIO))
        return list_make1(((CoerceViaIO *)n)->arg);
    if (IsA(n, FuncExpr) && func_volatile(((FuncExpr *)n)->funcid) != PROVOLATILE_IMMUTABLE)
        return ((FuncExpr *)n)->args;
    List *out = NIL;
    if (IsA(n, Aggref) && func_volatile(((Aggref *)n)->aggfnoid) != PROVOLATILE_IMMUTABLE)
        for (int i = 0; i < list_length(((Aggref *)n)->args); ++i)
            out = lappend(out, ((TargetEntry *)list_nth(((Aggref *)n)->args, i))->expr);
    return out;
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
    List *shown = shown_values(n);
    for (int i = 0; i < list_length(shown); ++i)
        if (field_names_objects((Node *)list_nth(shown, i), nullptr)) {
            context->found = pstrdup("the name of a database object as text");
            return true;
        }
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
