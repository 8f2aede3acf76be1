#include "pg/catalog_text.hpp"
#include <algorithm>

extern "C" {
#include "catalog/partition.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "mb/pg_wchar.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
}

namespace dbopt::pg {

std::string column_name(Oid relation, AttrNumber column) {
    return call([&] { return get_attname(relation, column, false); });
}

bool has_class(Oid relation, AttrNumber column, Oid method) {
    return call([&] { return OidIsValid(GetDefaultOpClass(get_atttype(relation, column), method)); });
}

bool is_default_class(Oid opclass) {
    return call([&] {
        HeapTuple tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
        if (!HeapTupleIsValid(tuple))
            return false;
        const bool is_default = reinterpret_cast<Form_pg_opclass>(GETSTRUCT(tuple))->opcdefault;
        ReleaseSysCache(tuple);
        return is_default;
    });
}

bool is_scalar_column(Oid relation, AttrNumber column) {
    return call([&] {
        const Oid type = getBaseType(get_atttype(relation, column));
        return !OidIsValid(get_element_type(type)) && type != JSONBOID && type != JSONOID &&
               type != TSVECTOROID && type != XMLOID && get_typtype(type) != TYPTYPE_COMPOSITE;
    });
}

static const Var *plain_column(const Node *node) {
    while (node != nullptr && IsA(node, RelabelType))
        node = reinterpret_cast<const Node *>(reinterpret_cast<const RelabelType *>(node)->arg);
    if (node == nullptr || !IsA(node, Var) || reinterpret_cast<const Var *>(node)->varattno <= 0)
        return nullptr;
    return reinterpret_cast<const Var *>(node);
}

condition_shape describe_condition(Node *condition) {
    condition_shape out;
    const Node *subject = condition;
    if (IsA(condition, NullTest)) {
        subject = reinterpret_cast<Node *>(reinterpret_cast<NullTest *>(condition)->arg);
    } else if (IsA(condition, BoolExpr) &&
               reinterpret_cast<BoolExpr *>(condition)->boolop == NOT_EXPR) {
        subject = static_cast<Node *>(linitial(reinterpret_cast<BoolExpr *>(condition)->args));
    } else if (IsA(condition, OpExpr)) {
        const OpExpr *o = reinterpret_cast<OpExpr *>(condition);
        const char *name = call([&] { return get_opname(o->opno); });
        if (list_length(o->args) != 2 || name == nullptr || strcmp(name, "=") != 0 ||
            !IsA(lsecond(o->args), Const))
            return out;
        out.compares = true;
        subject = static_cast<Node *>(linitial(o->args));
    }
    const Var *var = plain_column(subject);
    if (var != nullptr && (subject != condition || var->vartype == BOOLOID))
        out.column = var->varattno;
    return out;
}

List *make_list(Node *one, MemoryContext home) {
    return call([&] {
        MemoryContext old = MemoryContextSwitchTo(home);
        List *list = list_make1(one);
        MemoryContextSwitchTo(old);
        return list;
    });
}

std::string expression_text(Oid relation, Node *expression) {
    return call([&] {
        return deparse_expression(expression, deparse_context_for(get_rel_name(relation), relation),
                                  false, false);
    });
}

std::string expression_label(Node *expression) {
    if (!IsA(expression, FuncExpr))
        return "expr";
    const char *name = call([&] { return get_func_name(reinterpret_cast<FuncExpr *>(expression)->funcid); });
    return name != nullptr ? name : "expr";
}

namespace {
// A cast that the planner put around a column is not printed, and without it the index is another one.
Node *with_its_cast(Node *expression) {
    return call([&] {
        Node *copy = static_cast<Node *>(copyObjectImpl(expression));
        if (auto *f = reinterpret_cast<FuncExpr *>(copy); IsA(copy, FuncExpr) && f->funcformat == COERCE_IMPLICIT_CAST)
            f->funcformat = COERCE_EXPLICIT_CAST;
        else if (IsA(copy, RelabelType))
            reinterpret_cast<RelabelType *>(copy)->relabelformat = COERCE_EXPLICIT_CAST;
        else if (IsA(copy, CoerceViaIO))
            reinterpret_cast<CoerceViaIO *>(copy)->coerceformat = COERCE_EXPLICIT_CAST;
        else if (IsA(copy, ArrayCoerceExpr))
            reinterpret_cast<ArrayCoerceExpr *>(copy)->coerceformat = COERCE_EXPLICIT_CAST;
        return copy;
    });
}
} // namespace

std::string index_expression(Oid relation, Node *expression) {
    const std::string text = expression_text(relation, with_its_cast(expression));
    // A plain function call may stand without parentheses of its own; everything else needs them.
    return IsA(expression, FuncExpr) &&
                   reinterpret_cast<FuncExpr *>(expression)->funcformat == COERCE_EXPLICIT_CALL
               ? text
               : "(" + text + ")";
}

namespace {
bool collect_constants(Node *node, void *into) {
    if (node == nullptr)
        return false;
    List **out = static_cast<List **>(into);
    if (IsA(node, Const)) {
        *out = lappend(*out, node);
        return false;
    }
#if PG_VERSION_NUM >= 160000
    return expression_tree_walker(node, collect_constants, into);
#else
    return expression_tree_walker(node, (bool (*)())(void *)collect_constants, into);
#endif
}
} // namespace

bool has_passing_constant(Node *expression, const std::vector<std::string> &steady,
                          const std::vector<std::string> &passing) {
    const List *constants = call([&] {
        List *out = NIL;
        collect_constants(expression, &out);
        return out;
    });
    for (int i = 0; i < list_length(constants); ++i) {
        const auto *c = static_cast<const Const *>(list_nth(constants, i));
        if (c->constisnull)
            continue;
        bool is_text = false;
        const char *text = call([&] {
            Oid function;
            bool varlena;
            is_text = TypeCategory(c->consttype) == TYPCATEGORY_STRING;
            getTypeOutputInfo(c->consttype, &function, &varlena);
            return OidOutputFunctionCall(function, c->constvalue);
        });
        const auto is_in = [&](const std::vector<std::string> &some) {
            return std::find(some.begin(), some.end(), text) != some.end();
        };
        if (is_in(passing) || (!is_text && !is_in(steady)))
            return true;
    }
    return false;
}

std::vector<Oid> partitioned_above(Oid relation) {
    const List *above = call([&] { return get_rel_relispartition(relation) ? get_partition_ancestors(relation) : NIL; });
    std::vector<Oid> out;
    for (int i = 0; i < list_length(above); ++i)
        out.push_back(list_nth_oid(above, i));
    return out;
}

bool same_expression(const Node *a, const Node *b) {
    return call([&] { return equal(a, b); });
}

std::string clip_identifier(const std::string &name, size_t bytes) {
    if (name.size() <= bytes)
        return name;
    return name.substr(0, pg_mbcliplen(name.c_str(), static_cast<int>(name.size()),
                                       static_cast<int>(bytes)));
}

bool relation_exists_beside(Oid relation, const std::string &name) {
    return call([&] {
        return OidIsValid(get_relname_relid(name.c_str(), get_rel_namespace(relation)));
    });
}

} // namespace dbopt::pg
