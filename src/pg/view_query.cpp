#include "pg/view_internal.hpp"

extern "C" {
#include "catalog/pg_collation.h"
#include "parser/parse_clause.h"
#include "parser/parse_relation.h"
}

namespace dbopt::pg {

namespace views {

Node *flatten(Query *q, Node *n) {
    return call([&] {
#if PG_VERSION_NUM >= 180000
        n = flatten_join_alias_vars(nullptr, q, n);
        return q->hasGroupRTE ? flatten_group_exprs(nullptr, q, n) : n;
#elif PG_VERSION_NUM >= 160000
        return flatten_join_alias_vars(nullptr, q, n);
#else
        return flatten_join_alias_vars(q, n);
#endif
    });
}

Query *stored_query(Oid view) {
    return call([&] {
        Relation r = relation_open(view, AccessShareLock);
        Query *q = nullptr;
        if (r->rd_rules != nullptr && r->rd_rules->numLocks == 1)
            q = (Query *)copyObjectImpl(linitial(r->rd_rules->rules[0]->actions));
        relation_close(r, NoLock);
        if (q == nullptr)
            elog(ERROR, "relation %u has no view query", view);
        return q;
    });
}

std::string sql_type(Oid type, int32 typmod, Oid collation) {
    const char *name = call([&] { return format_type_extended(type, typmod, FORMAT_TYPE_TYPEMOD_GIVEN |
                                                                               FORMAT_TYPE_FORCE_QUALIFY); });
    std::string out = name;
    if (OidIsValid(collation) && collation != DEFAULT_COLLATION_OID)
        out += " COLLATE " + std::string(call([&] {
                   return generate_collation_name(collation);
               }));
    return out;
}

bool collect_vars(Node *n, void *context) {
    auto *r = static_cast<reader *>(context);
    if (n == nullptr)
        return false;
    if (IsA(n, Var)) {
        const Var *v = (Var *)n;
        r->place.emplace(column_use{(int)v->varno, v->varattno}, 0);
        return false;
    }
    return walk(n, collect_vars, r);
}
void reader::collect(Node *n) {
    call([&] { collect_vars(n, this); });
}

std::string alias_of(const column_use &c) {
    return "v" + std::to_string(c.relation) + "_" + std::to_string(c.attribute);
}

// Columns become columns of one synthetic relation; in the final pass keys and aggregates too.
Node *rename_columns(Node *n, void *context) {
    auto *r = static_cast<reader *>(context);
    if (n == nullptr)
        return nullptr;
    const auto column = [&](int position) {
        return (Node *)makeVar(1, position + 1, exprType(n), exprTypmod(n), exprCollation(n), 0);
    };
    if (r->final_pass) {
        if (const int k = r->key_of(n); k >= 0)
            return column((int)r->place.size() + k);
        for (size_t i = 0; i < r->aggregates.size(); ++i)
            if (equal(n, r->aggregates[i]))
                return column((int)(r->place.size() + r->key_nodes.size() + i));
    }
    if (IsA(n, Var)) {
        const Var *v = (Var *)n;
        auto at = r->place.find({(int)v->varno, v->varattno});
        if (at == r->place.end())
            elog(ERROR, "column %d of relation %d is not known", v->varattno, v->varno);
        return column(at->second);
    }
    return mutate(n, rename_columns, r);
}

std::string reader::sql(Node *n) {
    const char *text = call([&] {
        RangeTblEntry *rte = makeNode(RangeTblEntry);
        rte->rtekind = RTE_CTE;
        rte->ctename = pstrdup("x");
        rte->eref = makeAlias("x", NIL);
        for (const std::string &name : names)
            rte->eref->colnames = lappend(rte->eref->colnames, makeString(pstrdup(name.c_str())));
        for (size_t k = 0; k < key_nodes.size(); ++k)
            rte->eref->colnames = lappend(rte->eref->colnames, makeString(psprintf("k%zu", k + 1)));
        for (size_t a = 0; a < aggregates.size(); ++a)
            rte->eref->colnames = lappend(rte->eref->colnames, makeString(psprintf("a%zu", a + 1)));
        Query *one = makeNode(Query);
        one->commandType = CMD_SELECT;
        one->rtable = list_make1(rte);
        one->jointree = makeFromExpr(NIL, nullptr);
        Node *renamed = rename_columns((Node *)copyObjectImpl(n), this);
        one->targetList = list_make1(makeTargetEntry((Expr *)renamed, 1, pstrdup("dbopt_e"), false));
        return pg_get_querydef(one, false);
    });
    std::string out = text;
    // A CASE starts on a line of its own.
    const size_t from = out.find_first_not_of(" \n", out.find("SELECT") + 6), to = out.rfind(" AS dbopt_e");
    return out.substr(from, to - from);
}

// Values are grouped, compared and matched with the operators of pg_catalog.
void reader::check_type(Oid type, Oid collation, const std::string &what) {
    const Oid base = call([&] { return getBaseType(type); });
    const bool known = call([&] {
        Oid element = get_element_type(base);
        const Oid t = OidIsValid(element) ? element : base;
        return t < FirstNormalObjectId || type_is_enum(t);
    });
    if (!known)
        refuse(what + " has the type " + sql_type(type, -1, InvalidOid) + ", whose equality is not built in");
    const bool sortable = call([&] {
        TypeCacheEntry *t = lookup_type_cache(base, TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR);
        return OidIsValid(t->eq_opr) && OidIsValid(t->lt_opr);
    });
    if (!sortable)
        refuse(what + " has the type " + sql_type(type, -1, InvalidOid) + ", which has no order");
    if (OidIsValid(collation) && !call([&] { return get_collation_isdeterministic(collation); }))
        refuse(what + " has a nondeterministic collation");
}

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

std::unique_ptr<core::join_node> reader::leaf(int relation) {
    RangeTblEntry *rte = rt_fetch(relation, q->rtable);
    const std::string name = rte->eref->aliasname;
    if (rte->rtekind != RTE_RELATION)
        refuse(rte->rtekind == RTE_SUBQUERY ? "it has a subquery in FROM (" + name + ")"
               : rte->rtekind == RTE_CTE    ? "it uses WITH (" + name + ")"
                                            : "it reads something that is not a table (" + name + ")");
    const std::string table = qualified_name(rte->relid);
    if (rte->relkind != RELKIND_RELATION)
        refuse("it reads " + table + ", a " +
               (rte->relkind == RELKIND_VIEW                ? "view"
                : rte->relkind == RELKIND_MATVIEW           ? "materialized view"
                : rte->relkind == RELKIND_PARTITIONED_TABLE ? "partitioned table"
                                                            : "foreign table"));
    if (rte->tablesample != nullptr)
        refuse("it uses TABLESAMPLE");
    if (call([&] { return has_subclass(rte->relid) || has_superclass(rte->relid); }))
        refuse(table + " has inheritance children or is a partition");
    if (call([&] { return rte->relid < FirstNormalObjectId; }))
        refuse("it reads the system catalog " + table);
    auto n = std::make_unique<core::join_node>();
    n->relations = {relation};
    n->base = rte->relid;
    n->table = "ONLY " + table;
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
        n->columns.push_back({"true", {"v" + std::to_string(relation) + "_0", "boolean"}});
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
    if (n.what != kind::leaf && within(needs, n.first->relations) && !needs.empty())
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

void reader::add_conditions(core::join_node &n, Node *quals) {
    for (Node *c : conjuncts(quals)) {
        n.conditions.push_back(sql(c));
        if (n.what == core::join_node::kind::inner)
            continue;
        const std::vector<int> needs = relations_of(c);
        if (within(needs, n.first->relations)) {
            n.first_only.push_back(sql(c));
        } else if (within(needs, n.second->relations)) {
            n.second_only.push_back(sql(c));
        } else {
            if (!IsA(c, OpExpr) || list_length(((OpExpr *)c)->args) != 2)
                refuse("an outer join has a condition across both sides that is not an equality");
            OpExpr *op = (OpExpr *)c;
            Node *a = (Node *)linitial(op->args), *b = (Node *)lsecond(op->args);
            const bool plain = call([&] {
                return op->opno < FirstNormalObjectId && op_mergejoinable(op->opno, exprType(a)) &&
                       strcmp(get_opname(op->opno), "=") == 0;
            });
            if (!plain)
                refuse("an outer join has a condition across both sides that is not a plain equality");
            if (within(relations_of(a), n.second->relations) && within(relations_of(b), n.first->relations))
                std::swap(a, b);
            if (!within(relations_of(a), n.first->relations) ||
                !within(relations_of(b), n.second->relations))
                refuse("an outer join compares expressions that mix both sides");
            check_type(exprType(b), exprCollation(b), "a join column");
            check_type(exprType(a), exprCollation(a), "a join column");
            n.equal.push_back({sql(a), sql(b)});
        }
    }
    if (n.what == core::join_node::kind::left && n.equal.empty())
        refuse("an outer join has no equality between its sides");
}

std::unique_ptr<core::join_node> reader::tree(Node *n) {
    if (IsA(n, RangeTblRef))
        return leaf(((RangeTblRef *)n)->rtindex);
    auto out = std::make_unique<core::join_node>();
    if (IsA(n, JoinExpr)) {
        JoinExpr *j = (JoinExpr *)n;
        Node *a = j->larg, *b = j->rarg;
        if (j->jointype == JOIN_FULL)
            refuse("it has a FULL JOIN");
        if (j->jointype == JOIN_RIGHT)
            std::swap(a, b);
        out->what = j->jointype == JOIN_INNER ? core::join_node::kind::inner : core::join_node::kind::left;
        out->first = tree(a);
        out->second = tree(b);
        out->relations = out->first->relations;
        out->relations.insert(out->relations.end(), out->second->relations.begin(),
                              out->second->relations.end());
        add_conditions(*out, flatten(q, j->quals));
        return out;
    }
    FromExpr *f = (FromExpr *)n;
    if (f->fromlist == NIL)
        refuse("it reads no table");
    auto all = tree((Node *)linitial(f->fromlist));
    for (int i = 1; i < list_length(f->fromlist); ++i) {
        auto join = std::make_unique<core::join_node>();
        join->what = core::join_node::kind::inner;
        join->first = std::move(all);
        join->second = tree((Node *)list_nth(f->fromlist, i));
        join->relations = join->first->relations;
        join->relations.insert(join->relations.end(), join->second->relations.begin(),
                               join->second->relations.end());
        all = std::move(join);
    }
    for (Node *c : conjuncts(flatten(q, f->quals)))
        push(*all, c, &form.filters);
    return all;
}

int reader::key_of(Node *n) const {
    for (size_t k = 0; k < key_nodes.size(); ++k)
        if (equal(n, key_nodes[k]))
            return (int)k;
    return -1;
}

bool find_aggregates(Node *n, void *context) {
    auto *r = static_cast<reader *>(context);
    if (n == nullptr)
        return false;
    if (IsA(n, Aggref)) {
        for (Node *known : r->aggregates)
            if (equal(known, n))
                return false;
        r->aggregates.push_back(n);
        return false;
    }
    return walk(n, find_aggregates, r);
}

// Columns outside of aggregates that are no keys: they depend on a primary key among the keys.
bool find_dependent(Node *n, void *context) {
    auto *r = static_cast<reader *>(context);
    if (n == nullptr || IsA(n, Aggref) || r->key_of(n) >= 0)
        return false;
    if (IsA(n, Var)) {
        r->key_nodes.push_back(n);
        return false;
    }
    return walk(n, find_dependent, r);
}

void reader::read_output() {
    std::vector<Node *> output;
    for (int i = 0; i < list_length(q->targetList); ++i) {
        TargetEntry *t = (TargetEntry *)list_nth(q->targetList, i);
        if (t->resjunk)
            continue;
        output.push_back((Node *)t->expr);
        form.target.push_back({quote_identifier(t->resname),
                               sql_type(exprType((Node *)t->expr), exprTypmod((Node *)t->expr),
                                        exprCollation((Node *)t->expr))});
    }
    const bool grouped = q->groupClause != NIL || q->hasAggs;
    if (grouped && q->distinctClause != NIL)
        refuse("it has DISTINCT over groups");
    List *clause = grouped ? q->groupClause : q->distinctClause;
    const bool bag = !grouped && q->distinctClause == NIL;
    for (int i = 0; i < list_length(clause); ++i) {
        Node *k = get_sortgroupclause_expr((SortGroupClause *)list_nth(clause, i), q->targetList);
        if (key_of(k) < 0)
            key_nodes.push_back(k);
    }
    if (bag)
        key_nodes = output;
    form.what = bag ? core::view_form::kind::bag : core::view_form::kind::counted;
    form.identifying = key_nodes.size();
    call([&] {
        for (Node *o : output)
            find_aggregates(o, this);
        find_aggregates(q->havingQual, this);
    });
    if (grouped)
        call([&] {
            for (Node *o : output)
                find_dependent(o, this);
            find_dependent(q->havingQual, this);
        });
    for (size_t k = 0; k < key_nodes.size(); ++k) {
        Node *n = key_nodes[k];
        check_type(exprType(n), exprCollation(n), bag ? "column " + form.target[k].name : "a key");
        form.keys.push_back({sql(n), {"k" + std::to_string(k + 1),
                                      sql_type(exprType(n), -1, exprCollation(n))}});
        int shown = -1;
        for (size_t o = 0; o < output.size() && shown < 0; ++o)
            if (equal(output[o], n))
                shown = (int)o;
        form.key_output.push_back(bag ? (int)k : shown);
        if (!bag && k < form.identifying && shown < 0)
            refuse("the key " + sql(n) + " is not a column of the matview");
    }
    form.results.resize(aggregates.size());
    for (size_t i = 0; i < aggregates.size(); ++i)
        read_aggregate((Aggref *)aggregates[i], (int)i);
    if (form.what == core::view_form::kind::recomputed && key_nodes.empty())
        refuse("it aggregates everything into one row, with an aggregate that needs all rows again");
    final_pass = form.what != core::view_form::kind::recomputed;
    for (Node *o : output)
        form.output.push_back(sql(o));
    if (q->havingQual != nullptr)
        form.having = sql(q->havingQual);
}

void reader::read(Oid matview) {
    q = stored_query(matview);
    if (q->setOperations != nullptr)
        refuse("it combines queries (UNION, INTERSECT, EXCEPT)");
    if (q->cteList != NIL)
        refuse("it uses WITH");
    if (q->hasSubLinks)
        refuse("it has a subquery in an expression (EXISTS, IN, scalar)");
    if (q->hasWindowFuncs)
        refuse("it has window functions");
    if (q->hasTargetSRFs)
        refuse("it has set-returning functions");
    if (q->groupingSets != NIL)
        refuse("it has grouping sets");
    if (q->limitCount != nullptr || q->limitOffset != nullptr)
        refuse("it has LIMIT or OFFSET");
    if (q->hasDistinctOn)
        refuse("it has DISTINCT ON");
    if (auto f = changing_function(matview))
        refuse("it calls " + *f + ", whose result changes by itself");
    q->targetList = (List *)flatten(q, (Node *)q->targetList);
    q->havingQual = flatten(q, q->havingQual);
    collect((Node *)q->targetList);
    collect(q->havingQual);
    collect(flatten(q, (Node *)q->jointree));
    // Vars of join quals name base columns now; those that named joins are gone.
    int position = 0;
    for (auto &p : place) {
        p.second = position++;
        names.push_back(alias_of(p.first));
    }
    form.root = tree((Node *)q->jointree);
    read_output();
    for (const auto &p : place)
        if (!bases.contains(p.first.relation))
            refuse("it uses a merged column of a join that cannot be followed");
}

} // namespace views

using namespace views;

read_view read_matview(Oid matview) {
    try {
        reader r;
        r.read(matview);
        return {std::move(r.form), ""};
    } catch (const refused &e) {
        return {std::nullopt, e.why};
    }
}

} // namespace dbopt::pg
