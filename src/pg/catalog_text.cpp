#include "pg/catalog_text.hpp"

extern "C" {
#include "catalog/pg_opclass.h"
#include "commands/defrem.h"
#include "mb/pg_wchar.h"
#include "nodes/nodeFuncs.h"
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

std::string index_expression(Oid relation, Node *expression) {
    const std::string text = expression_text(relation, expression);
    // A plain function call may stand without parentheses of its own; everything else needs them.
    return IsA(expression, FuncExpr) &&
                   reinterpret_cast<FuncExpr *>(expression)->funcformat == COERCE_EXPLICIT_CALL
               ? text
               : "(" + text + ")";
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
