// The join tree of one query block: tables, subqueries, joins, and where conditions go.
#include "pg/view_internal.hpp"

extern "C" {
#include "catalog/pg_inherits.h"
#include "parser/parse_relation.h"
}

namespace dbopt::pg::views {

// Not pull_varnos(): from 16 on that adds the outer joins a column may be nulled by.
bool collect_relations(Node *n, void *context) {
    if (n == nullptr)
        return false;
    if (!IsA(n, Var))
        return walk(n, collect_relations, context);
    auto *set = static_cast<Bitmapset **>(context);
    *set = bms_add_member(*set, (int)((Var *)n)->varno);
    return false;
}

std::vector<int> reader::relations_of(Node *n) {
    Bitmapset *set = nullptr;
    call([&] { collect_relations(n, &set); });
    std::vector<int> out;
    for (int m = -1; (m = bms_next_member(set, m)) >= 0;)
        out.push_back(m);
    return out;
}

// The query behind a name of WITH, and the block it stands in.
static std::pair<Query *, reader *> with_query(reader *from, RangeTblEntry *rte) {
    reader *owner = from;
    for (Index up = rte->ctelevelsup; up > 0 && owner != nullptr; --up)
        owner = owner->outer;
    if (owner != nullptr)
        for (int i = 0; i < list_length(owner->q->cteList); ++i) {
            auto *c = (CommonTableExpr *)list_nth(owner->q->cteList, i);
            if (strcmp(c->ctename, rte->ctename) == 0 && !c->cterecursive && IsA(c->ctequery, Query))
                return {(Query *)c->ctequery, owner};
        }
    refuse(std::string("it uses WITH in a way that cannot be followed (") + rte->ctename + ")");
}

reader::node reader::leaf(int relation) {
    RangeTblEntry *rte = rt_fetch(relation, q->rtable);
    const std::string name = rte->eref->aliasname;
    if (rte->rtekind == RTE_RELATION && rte->relkind != RELKIND_VIEW)
        return table(rte, relation);
    if (rte->lateral)
        refuse("it has a LATERAL subquery (" + name + ")");
    renaming wanted;
    for (const auto &p : place) {
        if (p.first.relation != relation)
            continue;
        if (p.first.attribute <= 0)
            refuse("it uses whole rows of " + name);
        wanted.push_back({p.first.attribute, alias_of(p.first)});
    }
    Query *sub = rte->subquery;
    reader *scope = this;
    const bool view = rte->rtekind == RTE_RELATION;
    if (view) {
        // Its tables are read with the rights of its owner; here with those of the matview's.
        if (auto f = changing_function(rte->relid))
            refuse("it calls " + *f + " (in " + qualified_name(rte->relid) + "), whose result changes by itself");
        sub = stored_query(rte->relid);
        scope = nullptr;
        all->expanding.push_back(rte->relid);
    } else if (rte->rtekind == RTE_CTE) {
        std::tie(sub, scope) = with_query(this, rte);
    } else if (rte->rtekind != RTE_SUBQUERY) {
        refuse("it reads something that is not a table (" + name + ")");
    }
    if (all->blocks > 100)
        refuse("it has too many subqueries");
    node n = as_relation((Query *)call([&] { return copyObjectImpl(sub); }), scope, wanted,
                         alias_of({relation, 0}));
    n->relations = {relation};
    bases[relation] = InvalidOid;
    return n;
}

reader::node reader::table(RangeTblEntry *rte, int relation) {
    const std::string table = qualified_name(rte->relid);
    const bool partitioned = rte->relkind == RELKIND_PARTITIONED_TABLE;
    if (rte->relkind != RELKIND_RELATION && rte->relkind != RELKIND_MATVIEW && !(partitioned && rte->inh))
        refuse("it reads " + table + ", " + (partitioned ? "without its partitions" : "a foreign table"));
    if (rte->tablesample != nullptr)
        refuse("it uses TABLESAMPLE");
    if (call([&] { return (!partitioned && has_subclass(rte->relid)) || has_superclass(rte->relid); }))
        refuse(table + " has inheritance children or is a partition");
    if (call([&] { return rte->relid < FirstNormalObjectId; }))
        refuse("it reads the system catalog " + table);
    auto n = std::make_unique<core::join_node>();
    n->relations = {relation};
    n->base = rte->relid;
    n->table = (partitioned ? "" : "ONLY ") + table;
    bases[relation] = rte->relid;
    for (const auto &p : place) {
        if (p.first.relation != relation)
            continue;
        const int a = p.first.attribute;
        if (a <= 0)
            refuse(a == 0 ? "it uses whole rows of " + table : "it uses system columns of " + table);
        Oid type, collation;
        int32 typmod;
        call([&] { get_atttypetypmodcoll(rte->relid, (AttrNumber)a, &type, &typmod, &collation); });
        const char *column = call([&] { return get_attname(rte->relid, (AttrNumber)a, false); });
        n->columns.push_back(
            {quote_identifier(column), {alias_of(p.first), sql_type(type, typmod, collation)}});
        n->attributes.push_back(a);
    }
    if (n->columns.empty()) {
        n->columns.push_back({"true", {alias_of({relation, 0}), "boolean"}});
        n->attributes.push_back(0);
    }
    return n;
}

bool within(const std::vector<int> &some, const std::vector<int> &all) {
    return std::all_of(some.begin(), some.end(), [&](int s) {
        return std::find(all.begin(), all.end(), s) != all.end();
    });
}

// A WHERE or inner ON conjunct goes as deep as outer joins allow.
void reader::push(core::join_node &n, Node *conjunct, std::vector<std::string> *rest) {
    const std::vector<int> needs = relations_of(conjunct);
    using kind = core::join_node::kind;
    if (n.is_join() && within(needs, n.first->relations) && !needs.empty())
        return push(*n.first, conjunct, rest);
    if (n.what == kind::inner && within(needs, n.second->relations) && !needs.empty())
        return push(*n.second, conjunct, rest);
    if (n.what == kind::left) {
        // Above an outer join it stays a filter; below another join that filter is that join's own.
        rest->push_back(sql(conjunct));
        return;
    }
    n.conditions.push_back(sql(conjunct));
}

std::vector<Node *> conjuncts(Node *quals) {
    std::vector<Node *> out;
    if (quals == nullptr)
        return out;
    List *l = call([&] { return make_ands_implicit((Expr *)quals); });
    // make_ands_implicit looks one level deep only.
    for (int i = 0; i < list_length(l); ++i) {
        Node *n = (Node *)list_nth(l, i);
        if (is_andclause(n)) {
            for (Node *inner : conjuncts(n))
                out.push_back(inner);
        } else {
            out.push_back(n);
        }
    }
    return out;
}

// `a = b` of built-in equality, one side each: a pair of n.equal. False (and why) for anything else.
bool reader::add_equality(core::join_node &n, Node *c, const std::vector<int> &left,
                          const std::vector<int> &right, std::string *why) {
    *why = "a condition across both sides that is not a plain equality";
    if (!IsA(c, OpExpr) || list_length(((OpExpr *)c)->args) != 2)
        return false;
    OpExpr *op = (OpExpr *)c;
    Node *a = (Node *)linitial(op->args), *b = (Node *)lsecond(op->args);
    const bool plain = call([&] {
        return op->opno < FirstNormalObjectId && op_mergejoinable(op->opno, exprType(a)) &&
               strcmp(get_opname(op->opno), "=") == 0;
    });
    if (!plain)
        return false;
    if (within(relations_of(a), right) && within(relations_of(b), left))
        std::swap(a, b);
    *why = "an equality of expressions that mix both sides";
    if (!within(relations_of(a), left) || !within(relations_of(b), right) || relations_of(a).empty() ||
        relations_of(b).empty())
        return false;
    check_type(exprType(b), exprCollation(b), "a join column");
    check_type(exprType(a), exprCollation(a), "a join column");
    n.equal.push_back({sql(a), sql(b)});
    return true;
}

void reader::add_conditions(core::join_node &n, Node *quals) {
    if (has_sublink(quals))
        refuse("a join condition has a subquery");
    for (Node *c : conjuncts(quals)) {
        n.conditions.push_back(sql(c));
        if (n.what == core::join_node::kind::inner)
            continue;
        const std::vector<int> needs = relations_of(c);
        std::string why;
        if (within(needs, n.first->relations))
            n.first_only.push_back(sql(c));
        else if (within(needs, n.second->relations))
            n.second_only.push_back(sql(c));
        else if (!add_equality(n, c, n.first->relations, n.second->relations, &why))
            refuse("an outer join has " + why);
    }
    if (n.what == core::join_node::kind::left && n.equal.empty())
        refuse("an outer join has no equality between its sides");
}

// Rows meet and stay alone key by key.
reader::node reader::full_join(node first, node second, Node *quals) {
    auto n = std::make_unique<core::join_node>();
    n->what = core::join_node::kind::left; // for the conditions
    n->relations = first->relations;
    n->relations.insert(n->relations.end(), second->relations.begin(), second->relations.end());
    n->first = std::move(first);
    n->second = std::move(second);
    add_conditions(*n, quals);
    std::string list, on;
    for (const core::typed &t : n->all_columns()) {
        list += (list.empty() ? "" : ", ") + t.name;
        n->shown.push_back({t.name, t});
    }
    for (const std::string &c : n->conditions)
        on += (on.empty() ? "(" : " AND (") + c + ")";
    for (const auto &e : n->equal) {
        n->first_keys.push_back(e.first);
        n->second_keys.push_back(e.second);
    }
    n->text = "SELECT " + list + " FROM dbopt_in1 FULL JOIN dbopt_in2 ON " + on;
    n->what = core::join_node::kind::keyed;
    n->conditions.clear();
    check_inputs(*n);
    return n;
}

reader::node reader::tree(Node *n) {
    if (IsA(n, RangeTblRef))
        return leaf(((RangeTblRef *)n)->rtindex);
    auto out = std::make_unique<core::join_node>();
    if (IsA(n, JoinExpr)) {
        JoinExpr *j = (JoinExpr *)n;
        Node *a = j->larg, *b = j->rarg;
        if (j->jointype == JOIN_FULL) {
            node left = tree(a), right = tree(b);
            return full_join(std::move(left), std::move(right), j->quals);
        }
        if (j->jointype == JOIN_RIGHT)
            std::swap(a, b);
        out->what = j->jointype == JOIN_INNER ? core::join_node::kind::inner : core::join_node::kind::left;
        out->first = tree(a);
        out->second = tree(b);
        out->relations = out->first->relations;
        out->relations.insert(out->relations.end(), out->second->relations.begin(),
                              out->second->relations.end());
        add_conditions(*out, j->quals);
        return out;
    }
    FromExpr *f = (FromExpr *)n;
    if (f->fromlist == NIL)
        refuse("it reads no table");
    node joined = tree((Node *)linitial(f->fromlist));
    for (int i = 1; i < list_length(f->fromlist); ++i) {
        auto join = std::make_unique<core::join_node>();
        join->what = core::join_node::kind::inner;
        join->first = std::move(joined);
        join->second = tree((Node *)list_nth(f->fromlist, i));
        join->relations = join->first->relations;
        join->relations.insert(join->relations.end(), join->second->relations.begin(),
                               join->second->relations.end());
        joined = std::move(join);
    }
    for (Node *c : conjuncts(f->quals)) {
        if (has_sublink(c))
            add_sublink(joined, c);
        else
            push(*joined, c, &form.filters);
    }
    return joined;
}

} // namespace dbopt::pg::views
