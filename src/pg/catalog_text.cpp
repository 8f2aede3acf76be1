#include "pg/catalog_text.hpp"

extern "C" {
#include "commands/defrem.h"
#include "mb/pg_wchar.h"
#include "nodes/nodeFuncs.h"
#include "utils/ruleutils.h"
}

namespace dbopt::pg {

std::string column_name(Oid relation, AttrNumber column) {
    return call([&] { return get_attname(relation, column, false); });
}

bool has_btree_class(Oid relation, AttrNumber column) {
    return call([&] {
        return OidIsValid(GetDefaultOpClass(get_atttype(relation, column), BTREE_AM_OID));
    });
}

std::string expression_text(Oid relation, Node *expression) {
    return call([&] {
        return deparse_expression(expression, deparse_context_for(get_rel_name(relation), relation),
                                  false, false);
    });
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
