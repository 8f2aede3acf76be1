// EXISTS, NOT EXISTS and IN among the conditions of WHERE: rows of one side by key, checked against the other.
#include "pg/view_internal.hpp"

namespace dbopt::pg::views {

using core::join_node;

namespace {

bool find_sublink(Node *n, void *context) {
    if (n == nullptr)
        return false;
    return IsA(n, SubLink) || walk(n, find_sublink, context);
}

bool outside(Node *n) {
    return call([&] {
        for (int level = 1; level < 8; ++level)
            if (contain_vars_of_level(n, level))
                return true;
        return false;
    });
}

// A condition of the subquery, seen from the query around it: own columns of the subquery become columns
// of a relation that is made up for it.
struct seen_from_outside {
    int relation;
    std::vector<Node *> *columns; // of the subquery, as they are needed
    Query *sub;                   // for IN: Param i is its column i
    bool too_deep;
};

Node *column_of(seen_from_outside *s, Node *n) {
    size_t at = 0;
    while (at < s->columns->size() && !equal((*s->columns)[at], n))
        ++at;
    if (at == s->columns->size())
        s->columns->push_back((Node *)copyObjectImpl(n));
    return (Node *)makeVar(s->relation, (AttrNumber)(at + 1), exprType(n), exprTypmod(n), exprCollation(n), 0);
}

Node *from_outside(Node *n, void *context) {
    auto *s = static_cast<seen_from_outside *>(context);
    if (n == nullptr)
        return nullptr;
    if (IsA(n, Var)) {
        const Var *v = (Var *)n;
        if (s->sub != nullptr && v->varlevelsup == 0)
            return (Node *)copyObjectImpl(n); // the left side of IN stands outside already
        if (v->varlevelsup > 1 || v->varattno <= 0)
            s->too_deep = true;
        if (v->varlevelsup == 0)
            return column_of(s, n);
        Var *up = (Var *)copyObjectImpl(n);
        up->varlevelsup = 0;
        return (Node *)up;
    }
    if (s->sub != nullptr && IsA(n, Param) && ((Param *)n)->paramkind == PARAM_SUBLINK)
        return column_of(s, (Node *)((TargetEntry *)list_nth(s->sub->targetList, ((Param *)n)->paramid - 1))->expr);
    if (IsA(n, SubLink)) {
        s->too_deep = true;
        return n;
    }
    return mutate(n, from_outside, s);
}

// Where among joins the relations in `needs` come together first.
reader::node *lowest(reader::node *at, const std::vector<int> &needs) {
    while ((*at)->is_join()) {
        if (within(needs, (*at)->first->relations))
            at = &(*at)->first;
        else if ((*at)->what == join_node::kind::inner && within(needs, (*at)->second->relations))
            at = &(*at)->second;
        else
            break;
    }
    return at;
}

} // namespace

bool has_sublink(Node *n) {
    return call([&] { return find_sublink(n, nullptr); });
}

// One subquery among the conditions, taken apart.
struct reader::sublink {
    SubLink *link = nullptr;
    bool negated = false, in = false;
    bool simple = false; // no groups, windows or set operations: rows are rows
    int relation = 0;    // made up for it in the query around it
    Query *sub = nullptr;
    std::vector<Node *> columns; // of the subquery that conditions across need
    std::vector<Node *> across;  // conditions on both, seen from the query around it
};

reader::sublink reader::take_sublink(Node *conjunct) {
    sublink s;
    while (IsA(conjunct, BoolExpr) && ((BoolExpr *)conjunct)->boolop == NOT_EXPR) {
        s.negated = !s.negated;
        conjunct = (Node *)linitial(((BoolExpr *)conjunct)->args);
    }
    s.link = (SubLink *)conjunct;
    if (!IsA(conjunct, SubLink) || (s.link->subLinkType != EXISTS_SUBLINK && s.link->subLinkType != ANY_SUBLINK))
        refuse("it has a subquery in an expression that is not EXISTS, NOT EXISTS or IN");
    s.in = s.link->subLinkType == ANY_SUBLINK;
    if (s.in && s.negated)
        refuse("it has NOT IN, where one NULL changes every row; NOT EXISTS can be followed");
    s.sub = (Query *)call([&] { return copyObjectImpl(s.link->subselect); });
    reader inner(all, this);
    inner.q = s.sub;
    inner.check_block();
    s.simple = s.sub->setOperations == nullptr && s.sub->groupClause == NIL && !s.sub->hasAggs &&
               !s.sub->hasWindowFuncs && !s.sub->hasDistinctOn && s.sub->havingQual == nullptr;
    s.relation = virtuals++;
    bases[s.relation] = InvalidOid;
    return s;
}

// Conditions of the subquery that look outside move out; what IN compares is one more of them.
void reader::part_conditions(sublink &s) {
    Query *sub = s.sub;
    if (s.simple) {
        sub->distinctClause = NIL; // one partner or many: no difference
        sub->jointree = (FromExpr *)flatten(sub, (Node *)sub->jointree);
        sub->targetList = (List *)flatten(sub, (Node *)sub->targetList);
        seen_from_outside seen{s.relation, &s.columns, nullptr, false};
        List *local = NIL;
        for (Node *c : conjuncts(sub->jointree->quals)) {
            if (outside(c))
                s.across.push_back(call([&] { return from_outside(c, &seen); }));
            else
                local = call([&] { return lappend(local, c); });
        }
        sub->jointree->quals = local == NIL ? nullptr : call([&] { return (Node *)make_ands_explicit(local); });
        if (seen.too_deep)
            refuse("a subquery in WHERE refers to more than the query around it");
    }
    if (s.in) {
        seen_from_outside seen{s.relation, &s.columns, sub, false};
        for (Node *c : conjuncts(s.link->testexpr))
            s.across.push_back(call([&] { return from_outside(c, &seen); }));
        if (seen.too_deep)
            refuse("IN compares with a subquery on its left side, too");
    }
}

// The rows of the subquery, with the columns that conditions across need.
reader::node reader::partner_rows(sublink &s) {
    Query *sub = s.sub;
    renaming wanted;
    if (s.simple) {
        sub->targetList = NIL;
        for (size_t i = 0; i < s.columns.size(); ++i) {
            sub->targetList = call([&] {
                return lappend(sub->targetList, makeTargetEntry((Expr *)s.columns[i], (AttrNumber)(i + 1),
                                                                pstrdup("c"), false));
            });
            wanted.push_back({(int)i + 1, alias_of({s.relation, (int)i + 1})});
        }
    } else {
        if (!s.in)
            refuse("EXISTS over groups, DISTINCT ON or UNION");
        for (size_t i = 0; i < s.columns.size(); ++i)
            for (int t = 0; t < list_length(sub->targetList); ++t)
                if (equal(((TargetEntry *)list_nth(sub->targetList, t))->expr, s.columns[i])) {
                    wanted.push_back({t + 1, alias_of({s.relation, (int)i + 1})});
                    break;
                }
    }
    node rows = as_relation(sub, this, wanted, alias_of({s.relation, 0}));
    for (size_t i = 0; i < s.columns.size(); ++i)
        add_column({s.relation, (int)i + 1});
    return rows;
}

void reader::add_sublink(node &tree, Node *conjunct) {
    sublink s = take_sublink(conjunct);
    part_conditions(s);
    node second = partner_rows(s);
    auto n = std::make_unique<join_node>();
    std::vector<int> needs;
    for (Node *c : s.across)
        for (int r : relations_of(c))
            if (r != s.relation)
                needs.push_back(r);
    if (needs.empty())
        refuse("a subquery in WHERE is not compared with a column of the query around it");
    node *at = lowest(&tree, needs);
    std::string on;
    for (Node *c : s.across) {
        std::string why;
        on += (on.empty() ? "(" : " AND (") + sql(c) + ")";
        add_equality(*n, c, (*at)->relations, {s.relation}, &why);
    }
    if (n->equal.empty())
        refuse("a subquery in WHERE has no equality with a column of the query around it");
    n->what = join_node::kind::keyed;
    n->relations = (*at)->relations;
    std::string list;
    for (const core::typed &t : (*at)->all_columns()) {
        list += (list.empty() ? "" : ", ") + t.name;
        n->shown.push_back({t.name, t});
    }
    for (const auto &e : n->equal) {
        n->first_keys.push_back(e.first);
        n->second_keys.push_back(e.second);
    }
    n->text = "SELECT " + list + " FROM dbopt_in1 WHERE " + (s.negated ? "NOT " : "") +
              "EXISTS (SELECT FROM dbopt_in2 WHERE " + on + ")";
    n->first = std::move(*at);
    n->second = std::move(second);
    check_inputs(*n);
    *at = std::move(n);
}

} // namespace dbopt::pg::views
