#include "pg/count_columns.hpp"
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

struct collection {
    reader *r;
    Index depth;
};
bool collect_vars(Node *n, void *context) {
    auto *c = static_cast<collection *>(context);
    if (n == nullptr || IsA(n, RangeTblEntry)) // what is in it comes by itself
        return false;
    if (IsA(n, Var)) {
        const Var *v = (Var *)n;
        if (v->varlevelsup == c->depth)
            c->r->place.emplace(column_use{(int)v->varno, v->varattno}, 0);
        return false;
    }
    if (IsA(n, Query)) {
        ++c->depth;
        walk_query((Query *)n, collect_vars, c);
        --c->depth;
        return false;
    }
    return walk(n, collect_vars, c);
}
void reader::collect(Node *n) {
    call([&] {
        collection c{this, 0};
        collect_vars(n, &c);
    });
}

int reader::add_column(const column_use &c) {
    auto [at, fresh] = place.emplace(c, static_cast<int>(names.size()));
    if (fresh)
        names.push_back(alias_of(c));
    return at->second;
}

std::string reader::alias_of(const column_use &c) const {
    return (block == 0 ? "v" : "b" + std::to_string(block) + "v") + std::to_string(c.relation) + "_" +
           std::to_string(c.attribute);
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

// The matview's own names: ALTER … RENAME COLUMN and CREATE … (names) leave the query's as they are.
static std::string shown_name(Oid matview, int column) {
    return quote_identifier(call([&] { return get_attname(matview, (AttrNumber)column, false); }));
}

// Any query that changes of its rows can be told of: the matview is a bag of rows.
void reader::read_bag(Oid matview) {
    renaming wanted;
    std::vector<Node *> output;
    for (int i = 0; i < list_length(q->targetList); ++i) {
        TargetEntry *t = (TargetEntry *)list_nth(q->targetList, i);
        if (t->resjunk)
            continue;
        output.push_back((Node *)t->expr);
        wanted.push_back({(int)output.size(), "v0_" + std::to_string(output.size())});
    }
    form.root = whole_block(wanted, "v0_0");
    form.what = core::view_form::kind::bag;
    for (size_t o = 0; o < output.size(); ++o) {
        const core::typed &shown = form.root->shown[o].second;
        form.target.push_back({shown_name(matview, (int)o + 1), shown.type});
        check_type(exprType(output[o]), exprCollation(output[o]), "column " + form.target[o].name);
        form.keys.push_back({wanted[o].second, {"k" + std::to_string(o + 1), shown.type}});
        form.key_output.push_back((int)o);
        form.output.push_back(wanted[o].second);
    }
    form.identifying = form.keys.size();
}

void reader::read_output(Oid matview) {
    std::vector<Node *> output;
    for (int i = 0; i < list_length(q->targetList); ++i) {
        TargetEntry *t = (TargetEntry *)list_nth(q->targetList, i);
        if (t->resjunk)
            continue;
        output.push_back((Node *)t->expr);
        form.target.push_back({shown_name(matview, (int)output.size()),
                               sql_type(exprType((Node *)t->expr), exprTypmod((Node *)t->expr),
                                        exprCollation((Node *)t->expr))});
    }
    const bool grouped = q->groupClause != NIL || q->hasAggs;
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
    for (Node *k : key_nodes)
        packable = packable && call([&] { return can_be_key(exprType(k)); });
    // Buckets of few wide entries differ too much in length to fit their pages.
    size_t entry = 24;
    for (const core::slot &s : form.slots)
        entry += s.what == core::slot::kind::sum ? 16 : 8;
    form.packed = packable && entry <= 400 && form.what == core::view_form::kind::counted;
    if (form.what == core::view_form::kind::recomputed && key_nodes.empty())
        refuse("it aggregates everything into one row, with an aggregate that needs all rows again");
    final_pass = form.what != core::view_form::kind::recomputed;
    for (Node *o : output)
        form.output.push_back(sql(o));
    if (q->havingQual != nullptr)
        form.having = sql(q->havingQual);
    if (form.packed)
        take_out_late_join();
}

void reader::read(Oid matview) {
    q = stored_query(matview);
    if (auto f = changing_function(matview))
        refuse("it calls " + *f + ", whose result changes by itself");
    check_block();
    const bool grouped = q->groupClause != NIL || q->hasAggs;
    if (q->setOperations != nullptr || q->hasWindowFuncs || q->hasDistinctOn ||
        (grouped && q->distinctClause != NIL))
        return read_bag(matview);
    bool column = false;
    for (int i = 0; i < list_length(q->targetList); ++i)
        column = column || !((TargetEntry *)list_nth(q->targetList, i))->resjunk;
    if (!column)
        refuse("it has no column");
    prepare();
    form.root = tree((Node *)q->jointree);
    read_output(matview);
    for (const auto &p : place)
        if (!bases.contains(p.first.relation))
            refuse("it uses a merged column of a join that cannot be followed");
}

static bool find_grouping(Node *n, void *context) {
    return n != nullptr && (IsA(n, GroupingFunc) || walk(n, find_grouping, context));
}

// What no block may have, wherever it stands.
void reader::check_block() const {
    if (q->hasRecursive)
        refuse("it uses WITH RECURSIVE");
    if (q->hasTargetSRFs)
        refuse("it has set-returning functions");
    if (q->groupingSets != NIL)
        refuse("it has grouping sets");
    if (call([&] { return find_grouping((Node *)q->targetList, nullptr) || find_grouping(q->havingQual, nullptr); }))
        refuse("it calls GROUPING()");
    if (q->limitCount != nullptr || q->limitOffset != nullptr)
        refuse("it has LIMIT or OFFSET");
    if (q->rowMarks != NIL)
        refuse("it locks rows (FOR UPDATE)");
}

// Which columns the block needs, and where they stand.
void reader::prepare() {
    q->targetList = (List *)flatten(q, (Node *)q->targetList);
    q->havingQual = flatten(q, q->havingQual);
    q->jointree = (FromExpr *)flatten(q, (Node *)q->jointree);
    if (has_sublink((Node *)q->targetList) || has_sublink(q->havingQual))
        refuse("it has a subquery among its columns or in HAVING");
    collect((Node *)q->targetList);
    collect(q->havingQual);
    collect((Node *)q->jointree);
    for (const auto &p : place)
        names.push_back(alias_of(p.first));
    int position = 0;
    for (auto &p : place)
        p.second = position++;
}

} // namespace views

using namespace views;

read_view read_matview(Oid matview) {
    try {
        whole_view whole;
        reader r(&whole, nullptr);
        r.read(matview);
        r.form.order_shows = whole.order_shows;
        return {std::move(r.form), ""};
    } catch (const refused &e) {
        return {std::nullopt, e.why};
    }
}

} // namespace dbopt::pg
