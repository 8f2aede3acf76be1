// Queries as relations of other queries: subqueries in FROM, WITH, views, arms of UNION and kin; and blocks
// whose rows follow from the input rows with the same key (groups, windows, DISTINCT).
#include "pg/view_internal.hpp"

extern "C" {
#include "parser/parse_clause.h"
#include "utils/fmgrprotos.h"
}

namespace dbopt::pg::views {

using core::join_node;

namespace {

reader::node make_node(join_node::kind what) {
    auto n = std::make_unique<join_node>();
    n->what = what;
    return n;
}

std::string column(size_t i) { return "o" + std::to_string(i); }

// `wanted` columns of a node whose columns are o1 …, under other names.
reader::node renamed(reader::node below, const reader::renaming &wanted, const std::string &empty) {
    reader::node out = make_node(join_node::kind::project);
    for (const auto &w : wanted)
        out->shown.push_back({column(w.first), {w.second, below->shown.at(w.first - 1).second.type}});
    if (out->shown.empty())
        out->shown.push_back({"true", {empty, "boolean"}});
    out->first = std::move(below);
    return out;
}

bool refers_outside(Query *q) {
    return call([&] {
        for (int level = 1; level < 8; ++level)
            if (contain_vars_of_level((Node *)q, level))
                return true;
        return false;
    });
}

struct kept {
    std::vector<Node *> nodes;
};
bool find_calls(Node *n, void *context) {
    if (n == nullptr)
        return false;
    if (IsA(n, Aggref) || IsA(n, WindowFunc))
        static_cast<kept *>(context)->nodes.push_back(n);
    return walk(n, find_calls, context);
}

} // namespace

void reader::check_functions(Node *n) {
    kept found;
    call([&] { find_calls(n, &found); });
    for (Node *f : found.nodes) {
        const bool window = IsA(f, WindowFunc);
        const Oid function = window ? ((WindowFunc *)f)->winfnoid : ((Aggref *)f)->aggfnoid;
        if (function >= FirstNormalObjectId)
            refuse("the aggregate " + std::string(call([&] { return get_func_name(function); })) +
                   "() is not known to depend on its rows alone");
        all->order_shows = all->order_shows ||
                           (window ? order_shows_in((WindowFunc *)f, q) : order_shows_in((Aggref *)f));
    }
}

// Rows of a keyed node's inputs are compared when their old content is worked out.
void reader::check_inputs(const core::join_node &n) {
    for (const join_node *side : {n.first.get(), n.second.get()}) {
        if (side == nullptr)
            continue;
        for (const core::typed &t : side->all_columns()) {
            const size_t collate = t.type.find(" COLLATE ");
            const std::string name = t.type.substr(0, collate);
            const std::string collation = collate == std::string::npos ? "" : t.type.substr(collate + 9);
            Oid type = InvalidOid, order = InvalidOid;
            call([&] {
                type = DatumGetObjectId(DirectFunctionCall1(regtypein, CStringGetDatum(name.c_str())));
                if (!collation.empty())
                    order = DatumGetObjectId(DirectFunctionCall1(regcollationin, CStringGetDatum(collation.c_str())));
            });
            check_type(type, order, "a column below a subquery, window or set operation");
        }
    }
}

reader::node reader::as_relation(Query *sub, reader *scope, const renaming &wanted, const std::string &empty) {
    reader inner(all, scope);
    inner.q = sub;
    if (refers_outside(sub))
        refuse("a subquery refers to the query around it");
    inner.check_block();
    return inner.whole_block(wanted, empty);
}

reader::node reader::whole_block(const renaming &wanted, const std::string &empty) {
    if (q->setOperations != nullptr)
        return renamed(set_operation(q->setOperations), wanted, empty);
    const bool grouped = q->groupClause != NIL || q->hasAggs;
    if (grouped || q->hasWindowFuncs || q->distinctClause != NIL)
        return renamed(grouped_block(), wanted, empty);
    prepare();
    node out = make_node(join_node::kind::project);
    out->first = tree((Node *)q->jointree);
    out->filters = std::exchange(form.filters, {});
    for (const auto &w : wanted) {
        TargetEntry *t = (TargetEntry *)list_nth(q->targetList, w.first - 1);
        Node *e = (Node *)t->expr;
        const std::string type = sql_type(exprType(e), exprTypmod(e), exprCollation(e));
        out->shown.push_back({sql(e), {w.second, type}});
    }
    if (out->shown.empty())
        out->shown.push_back({"true", {empty, "boolean"}});
    return out;
}

// Keys by which the block falls apart: its groups, as far as every window and DISTINCT keep them apart.
std::vector<Node *> reader::block_keys() {
    std::vector<Node *> keys;
    bool any = false;
    const auto narrow = [&](List *clause) {
        std::vector<Node *> these, both;
        for (int i = 0; i < list_length(clause); ++i)
            these.push_back(get_sortgroupclause_expr((SortGroupClause *)list_nth(clause, i), q->targetList));
        for (Node *n : these)
            if (!any || std::any_of(keys.begin(), keys.end(), [&](Node *k) { return equal(k, n); }))
                both.push_back(n);
        keys = both;
        any = true;
    };
    if (q->groupClause != NIL || q->hasAggs)
        narrow(q->groupClause);
    for (int i = 0; q->hasWindowFuncs && i < list_length(q->windowClause); ++i)
        narrow(((WindowClause *)list_nth(q->windowClause, i))->partitionClause);
    if (q->distinctClause != NIL)
        narrow(q->distinctClause);
    if (keys.empty())
        refuse(q->hasWindowFuncs ? "its window functions have no PARTITION BY in common"
                                 : "a subquery aggregates everything into one row");
    return keys;
}

// GROUP BY of a primary key shows other columns, too; over the block's input there is no such key.
void reader::check_dependent() {
    if (q->groupClause == NIL)
        return;
    for (int i = 0; i < list_length(q->groupClause); ++i)
        key_nodes.push_back(get_sortgroupclause_expr((SortGroupClause *)list_nth(q->groupClause, i), q->targetList));
    const size_t keys = key_nodes.size();
    call([&] {
        for (int i = 0; i < list_length(q->targetList); ++i)
            find_dependent((Node *)((TargetEntry *)list_nth(q->targetList, i))->expr, this);
        find_dependent(q->havingQual, this);
    });
    const bool any = key_nodes.size() > keys;
    key_nodes.clear();
    if (any)
        refuse("a subquery groups by a primary key and shows other columns, which are not in its GROUP BY");
}

// The block as SQL over its joined input, dbopt_in1.
std::string reader::block_text() {
    const char *text = call([&] {
        RangeTblEntry *rte = makeNode(RangeTblEntry);
        rte->rtekind = RTE_CTE;
        rte->ctename = pstrdup("dbopt_in1");
        rte->eref = makeAlias("dbopt_in1", NIL);
        rte->inFromCl = true;
        for (const std::string &name : names)
            rte->eref->colnames = lappend(rte->eref->colnames, makeString(pstrdup(name.c_str())));
        Query *one = (Query *)copyObjectImpl(q);
        one->rtable = list_make1(rte);
        RangeTblRef *only = makeNode(RangeTblRef);
        only->rtindex = 1;
        one->jointree = makeFromExpr(list_make1(only), nullptr);
        one->cteList = NIL;
        one->hasSubLinks = false;
        if (!one->hasDistinctOn)
            one->sortClause = NIL;
#if PG_VERSION_NUM >= 180000
        one->hasGroupRTE = false;
#endif
        one->targetList = (List *)mutate((Node *)one->targetList, rename_columns, this);
        one->havingQual = one->havingQual == nullptr ? nullptr : rename_columns(one->havingQual, this);
        int shown = 0;
        for (int i = 0; i < list_length(one->targetList); ++i) {
            TargetEntry *t = (TargetEntry *)list_nth(one->targetList, i);
            if (!t->resjunk)
                t->resname = psprintf("o%d", ++shown);
        }
        return pg_get_querydef(one, false);
    });
    return text;
}

reader::node reader::grouped_block() {
    prepare();
    node out = make_node(join_node::kind::keyed);
    node input = make_node(join_node::kind::project);
    input->first = tree((Node *)q->jointree);
    input->filters = std::exchange(form.filters, {});
    check_functions((Node *)q->targetList);
    check_functions(q->havingQual);
    check_dependent();
    for (Node *k : block_keys()) {
        check_type(exprType(k), exprCollation(k), "a key");
        out->first_keys.push_back(sql(k));
    }
    for (const auto &p : place) {
        const auto shown = [&](const core::typed &t) { return t.name == names[p.second]; };
        const std::vector<core::typed> columns = input->first->all_columns();
        const auto at = std::find_if(columns.begin(), columns.end(), shown);
        if (at == columns.end())
            continue; // a column that only EXISTS compares
        input->shown.push_back({at->name, *at});
    }
    if (input->shown.empty())
        input->shown.push_back({"true", {alias_of({0, 0}), "boolean"}});
    for (int i = 0; i < list_length(q->targetList); ++i) {
        TargetEntry *t = (TargetEntry *)list_nth(q->targetList, i);
        if (!t->resjunk)
            out->shown.push_back({"", {column(out->shown.size() + 1),
                                       sql_type(exprType((Node *)t->expr), exprTypmod((Node *)t->expr),
                                                exprCollation((Node *)t->expr))}});
    }
    out->text = block_text();
    out->first = std::move(input);
    check_inputs(*out);
    return out;
}

// Arms become o1 … of the types of the whole operation.
reader::node reader::set_operation(Node *n) {
    SetOperationStmt *s = (SetOperationStmt *)n;
    node out = make_node(s->op == SETOP_UNION && s->all ? join_node::kind::append : join_node::kind::keyed);
    std::vector<std::string> types;
    std::string list;
    for (int i = 0; i < list_length(s->colTypes); ++i) {
        const Oid type = list_nth_oid(s->colTypes, i), collation = list_nth_oid(s->colCollations, i);
        const std::string name = column(i + 1);
        types.push_back(sql_type(type, list_nth_int(s->colTypmods, i), collation));
        out->shown.push_back({name, {name, types.back()}});
        list += (i > 0 ? ", " : "") + name;
        if (out->what == join_node::kind::append)
            continue;
        check_type(type, collation, "a column of a UNION, INTERSECT or EXCEPT");
        out->first_keys.push_back(name);
        out->second_keys.push_back(name);
    }
    if (types.empty())
        refuse("a UNION has no column");
    const auto arm = [&](Node *side) {
        if (IsA(side, SetOperationStmt))
            return set_operation(side);
        RangeTblEntry *rte = rt_fetch(((RangeTblRef *)side)->rtindex, q->rtable);
        renaming every;
        for (size_t i = 1; i <= types.size(); ++i)
            every.push_back({(int)i, column(i)});
        return as_relation((Query *)call([&] { return copyObjectImpl(rte->subquery); }), this, every, "o0");
    };
    const auto cast = [&](node below) {
        node p = make_node(join_node::kind::project);
        for (size_t i = 0; i < types.size(); ++i)
            p->shown.push_back({"(" + column(i + 1) + ")::" + types[i], {column(i + 1), types[i]}});
        p->first = std::move(below);
        return p;
    };
    out->first = cast(arm(s->larg));
    out->second = cast(arm(s->rarg));
    const char *word = s->op == SETOP_UNION ? " UNION " : s->op == SETOP_INTERSECT ? " INTERSECT " : " EXCEPT ";
    out->text = "SELECT " + list + " FROM dbopt_in1" + word + (s->all ? "ALL " : "") + "SELECT " + list +
                " FROM dbopt_in2";
    return out;
}

} // namespace dbopt::pg::views
