// Aggregates of a view's query: how each follows from sums over changes, or that it does not.
#include "pg/count_columns.hpp"
#include "pg/view_internal.hpp"

extern "C" {
#include "catalog/pg_aggregate.h"
#include "utils/fmgroids.h"
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
    if (IsA(n, FuncExpr)) {
        const Oid f = ((FuncExpr *)n)->funcid;
        if (f == F_NUMERIC_INT2 || f == F_NUMERIC_INT4 || f == F_NUMERIC_INT8)
            return 0;
    }
    return -1;
}

// Digits of the longest value, if that is known; else more than 64 bits hold.
int known_digits(Node *n) {
    const int32 typmod = exprTypmod(n);
    if (typmod >= (int32)VARHDRSZ)
        return ((typmod - VARHDRSZ) >> 16) & 0xffff;
    if (IsA(n, Const) && ((Const *)n)->constisnull)
        return 0;
    if (IsA(n, CaseExpr)) {
        CaseExpr *c = (CaseExpr *)n;
        int digits = c->defresult == nullptr ? 0 : known_digits((Node *)c->defresult);
        for (int i = 0; i < list_length(c->args); ++i)
            digits = std::max(digits, known_digits((Node *)((CaseWhen *)list_nth(c->args, i))->result));
        return digits;
    }
    return fixed_scale(n) == 0 ? 18 : 1000; // an integer turned numeric
}

bool is_float(Oid type) { return type == FLOAT4OID || type == FLOAT8OID; }

bool one_of(std::initializer_list<std::string_view> names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

bool collects(const std::string &name) {
    return one_of({"array_agg", "string_agg", "json_agg", "jsonb_agg", "json_object_agg", "jsonb_object_agg", "xmlagg",
                   "json_agg_strict", "jsonb_agg_strict"}, name);
}

bool adds_floats(const std::string &name, const std::vector<Oid> &types) {
    return std::any_of(types.begin(), types.end(), is_float) && !one_of({"min", "max", "count"}, name);
}

} // namespace

bool order_shows_in(Aggref *a) {
    const std::string name = call([&] { return get_func_name(a->aggfnoid); });
    std::vector<Oid> types;
    bool ordered = a->aggkind != AGGKIND_NORMAL || a->aggorder != NIL;
    for (int i = 0; i < list_length(a->args); ++i) {
        TargetEntry *t = (TargetEntry *)list_nth(a->args, i);
        types.push_back(exprType((Node *)t->expr));
        // Equal in the order is equal in the result only if every argument is in the order.
        if (a->aggkind == AGGKIND_NORMAL && !t->resjunk && t->ressortgroupref == 0 && !IsA(t->expr, Const))
            ordered = false;
    }
    return a->aggkind == AGGKIND_NORMAL && !(ordered || a->aggdistinct != NIL) &&
           (collects(name) || adds_floats(name, types));
}

bool order_shows_in(WindowFunc *w, Query *q) {
    const std::string name = call([&] { return get_func_name(w->winfnoid); });
    if (one_of({"rank", "dense_rank", "percent_rank", "cume_dist"}, name))
        return false;
    std::vector<Oid> types;
    for (int i = 0; i < list_length(w->args); ++i)
        types.push_back(exprType((Node *)list_nth(w->args, i)));
    if (!w->winagg || collects(name) || adds_floats(name, types))
        return true;
    for (int i = 0; i < list_length(q->windowClause); ++i) {
        auto *c = (WindowClause *)list_nth(q->windowClause, i);
        if (c->winref == w->winref && (c->frameOptions & FRAMEOPTION_ROWS) && c->orderClause != NIL)
            return true;
    }
    return false;
}

int reader::add_argument(const std::string &text, Node *expr, Oid type) {
    for (size_t i = 0; i < form.arguments.size(); ++i)
        if (form.arguments[i].sql == text)
            return (int)i;
    form.arguments.push_back({text, sql_type(type, -1, expr == nullptr ? InvalidOid : exprCollation(expr))});
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
    if (!builtin)
        refuse("the aggregate " + name + "() is not known to depend on its rows alone");
    if (a->aggkind != AGGKIND_NORMAL || a->aggorder != NIL || list_length(a->args) > 1) {
        form.what = core::view_form::kind::recomputed;
        all->order_shows = all->order_shows || order_shows_in(a);
        return;
    }
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
        packable = packable && call([&] { return can_be_key(type); });
        out = slot_name(add_slot(kind::distinct, add_argument(x, arg, type)));
        return;
    }
    if ((name == "sum" || name == "avg") && (whole || type == NUMERICOID)) {
        if (a->aggdistinct != NIL || (type == NUMERICOID && fixed_scale(arg) < 0)) {
            form.what = core::view_form::kind::recomputed;
            return;
        }
        const int argument = add_argument(x, arg, type);
        if (type == NUMERICOID) {
            form.arguments[argument].numeric = true;
            form.arguments[argument].scale = fixed_scale(arg);
            packable = packable && known_digits(arg) <= 18 && form.arguments[argument].scale <= 18;
        }
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
        packable = false; // the next value in order is needed
        out = name + ":" + std::to_string(argument); // resolved where the multiset is known
        return;
    }
    form.what = core::view_form::kind::recomputed;
    all->order_shows = all->order_shows || order_shows_in(a);
}

} // namespace dbopt::pg::views
