// Aggregates of a view's query: how each follows from sums over changes, or that it does not.
#include "pg/view_internal.hpp"

extern "C" {
#include "catalog/pg_aggregate.h"
}

namespace dbopt::pg::views {

namespace {

// Digits behind the point if every value has the same number of them, else -1. The scale of a sum is
// that of its widest value; once that value has left, a sum kept by addition would still show it.
int fixed_scale(Node *n) {
    const int32 typmod = exprTypmod(n);
    if (typmod >= (int32)VARHDRSZ)
        return (typmod - VARHDRSZ) & 0x7ff;
    if (IsA(n, CaseExpr)) {
        CaseExpr *c = (CaseExpr *)n;
        int scale = -2;
        std::vector<Node *> results{(Node *)c->defresult};
        for (int i = 0; i < list_length(c->args); ++i)
            results.push_back((Node *)((CaseWhen *)list_nth(c->args, i))->result);
        for (Node *r : results) {
            if (r == nullptr || (IsA(r, Const) && ((Const *)r)->constisnull))
                continue;
            const int s = fixed_scale(r);
            if (s < 0 || (scale >= 0 && s != scale))
                return -1;
            scale = s;
        }
        return scale;
    }
    // An integer turned numeric has no digits behind the point.
    if (IsA(n, FuncExpr) && list_length(((FuncExpr *)n)->args) == 1) {
        const Oid from = exprType((Node *)linitial(((FuncExpr *)n)->args));
        if (from == INT2OID || from == INT4OID || from == INT8OID)
            return 0;
    }
    return -1;
}

} // namespace

int reader::add_argument(const std::string &text, Node *expr, Oid type) {
    for (size_t i = 0; i < form.arguments.size(); ++i)
        if (form.arguments[i].sql == text)
            return (int)i;
    form.arguments.push_back({text, sql_type(type, -1, expr == nullptr ? InvalidOid : exprCollation(expr)),
                              type == NUMERICOID});
    return (int)form.arguments.size() - 1;
}

int reader::add_slot(core::slot::kind what, int argument) {
    for (size_t i = 0; i < form.slots.size(); ++i)
        if (form.slots[i].what == what && form.slots[i].argument == argument)
            return (int)i;
    form.slots.push_back({what, argument});
    return (int)form.slots.size() - 1;
}

void reader::read_aggregate(Aggref *a, int number) {
    const std::string name = call([&] { return get_func_name(a->aggfnoid); });
    using kind = core::slot::kind;
    const bool builtin = a->aggfnoid < FirstNormalObjectId;
    Node *arg = a->args == NIL ? nullptr : flatten(q, (Node *)((TargetEntry *)linitial(a->args))->expr);
    const Oid type = arg == nullptr ? InvalidOid : exprType(arg);
    const bool whole = type == INT2OID || type == INT4OID || type == INT8OID;
    if (!builtin || a->aggkind != AGGKIND_NORMAL || a->aggorder != NIL || list_length(a->args) > 1)
        refuse("the aggregate " + name + "() cannot be kept exact from changes alone");
    std::string x = arg == nullptr ? "1" : sql(arg);
    if (a->aggfilter != nullptr)
        x = "CASE WHEN " + sql(flatten(q, (Node *)a->aggfilter)) + " THEN " + x + " END";
    std::string &out = form.results[number];
    const auto result_type = [&] { return sql_type(a->aggtype, -1, InvalidOid); };
    if (name == "count" && a->aggdistinct == NIL) {
        if (arg == nullptr && a->aggfilter == nullptr) {
            out = "n";
            return;
        }
        out = slot_name(add_slot(kind::count, add_argument(x, arg, arg == nullptr ? INT4OID : type)));
        return;
    }
    if (name == "count") {
        check_type(type, exprCollation(arg), "the argument of COUNT(DISTINCT)");
        out = slot_name(add_slot(kind::distinct, add_argument(x, arg, type)));
        return;
    }
    if ((name == "sum" || name == "avg") && (whole || type == NUMERICOID)) {
        if (a->aggdistinct != NIL || (type == NUMERICOID && fixed_scale(arg) < 0)) {
            form.what = core::view_form::kind::recomputed;
            return;
        }
        const int argument = add_argument(x, arg, type);
        const std::string n = slot_name(add_slot(kind::count, argument)),
                          s = slot_name(add_slot(kind::sum, argument));
        out = "CASE WHEN " + n + " > 0 THEN (" + s + (name == "avg" ? " / " + n : "") + ")::" +
              result_type() + " END";
        return;
    }
    if (name == "bool_and" || name == "bool_or" || name == "every") {
        const int argument = add_argument(x, arg, type);
        const std::string n = slot_name(add_slot(kind::count, argument)),
                          t = slot_name(add_slot(kind::truths, argument));
        out = "CASE WHEN " + n + " > 0 THEN " + t + (name == "bool_or" ? " > 0" : " = " + n) + " END";
        return;
    }
    if ((name == "min" || name == "max") && type != NUMERICOID) {
        check_type(type, exprCollation(arg), "the argument of " + name + "()");
        const int argument = add_argument(x, arg, type);
        add_slot(kind::distinct, argument);
        out = name + ":" + std::to_string(argument); // resolved where the multiset is known
        return;
    }
    const auto listed = [&](const auto &those) {
        return std::find(std::begin(those), std::end(those), name) != std::end(those);
    };
    static constexpr std::string_view exact[] = {"stddev",   "stddev_samp", "stddev_pop", "variance",
                                                "var_samp", "var_pop",     "min",        "max"};
    static constexpr std::string_view bits[] = {"bit_and", "bit_or", "bit_xor"};
    if ((listed(exact) && (whole || type == NUMERICOID)) || listed(bits)) {
        form.what = core::view_form::kind::recomputed;
        return;
    }
    refuse("the aggregate " + name + "(" + (arg == nullptr ? "*" : sql_type(type, -1, InvalidOid)) +
           ") depends on the order of the rows or is not known to be exact");
}

} // namespace dbopt::pg::views
