// What each base relation of a query is asked for, read where the planner has just finished working
// it out: after pull-up, constant folding, outer-join reduction and equivalence classes. Plain C
// style: this runs inside the planner, where an error jumps.
#include "pg/collation.hpp"
#include "pg/whatif_internal.hpp"

extern "C" {
#include "catalog/pg_collation.h"
#include "catalog/pg_opclass.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
}

namespace dbopt::pg::whatif {

namespace {

struct collector {
    PlannerInfo *root;
    RelOptInfo *rel;
    raw_relation *out;
    MemoryContext keep;
};

Node *strip(Node *node) {
    while (node != nullptr && IsA(node, RelabelType))
        node = reinterpret_cast<Node *>(reinterpret_cast<RelabelType *>(node)->arg);
    return node;
}

// A copy over varno 1 that survives the plan.
Node *kept(const collector &c, Node *node) {
    MemoryContext old = MemoryContextSwitchTo(c.keep);
    Node *copy = static_cast<Node *>(copyObjectImpl(node));
    if (c.rel->relid != 1)
        ChangeVarNodes(copy, c.rel->relid, 1, 0);
    MemoryContextSwitchTo(old);
    return copy;
}

bool only_this_relation(const collector &c, Node *node) {
    int member;
    const Relids ids = pull_varnos(c.root, node);
    return bms_get_singleton_member(ids, &member) && member == static_cast<int>(c.rel->relid);
}

// The operand as an index column: a plain column, or an immutable expression over this relation.
bool as_column(const collector &c, Node *node, raw_use *use) {
    node = strip(node);
    if (node == nullptr)
        return false;
    if (IsA(node, Var)) {
        const Var *var = reinterpret_cast<Var *>(node);
        if (var->varno != static_cast<int>(c.rel->relid) || var->varlevelsup != 0 || var->varattno <= 0)
            return false;
        use->column = var->varattno;
        use->expression = nullptr;
        return true;
    }
    if (!only_this_relation(c, node) || contain_mutable_functions(node) ||
        contain_subplans(node) || contain_agg_clause(node) || contain_volatile_functions(node))
        return false;
    if (pull_var_clause(node, PVC_INCLUDE_PLACEHOLDERS) != NIL) {
        ListCell *cell;
        foreach (cell, pull_var_clause(node, PVC_INCLUDE_PLACEHOLDERS))
            if (!IsA(lfirst(cell), Var) || reinterpret_cast<Var *>(lfirst(cell))->varattno <= 0)
                return false;
    }
    use->column = 0;
    use->expression = kept(c, node);
    return true;
}

bool free_of_this_relation(const collector &c, Node *node) {
    return !bms_is_member(static_cast<int>(c.rel->relid), pull_varnos(c.root, node)) &&
           !contain_volatile_functions(node);
}

void add(const collector &c, raw_use use) {
    raw_use *copy = static_cast<raw_use *>(palloc(sizeof(raw_use)));
    *copy = use;
    c.out->uses = lappend(c.out->uses, copy);
}

// The b-tree strategy of the operator in the type's default class, or 0.
int btree_strategy(Oid op, Oid type) {
    const Oid opclass = GetDefaultOpClass(type, BTREE_AM_OID);
    return OidIsValid(opclass) ? get_op_opfamily_strategy(op, get_opclass_family(opclass)) : 0;
}

Oid opclass_by_name(const char *name, Oid method) {
    return GetSysCacheOid3(CLAAMNAMENSP, Anum_pg_opclass_oid, ObjectIdGetDatum(method),
                           CStringGetDatum(name), ObjectIdGetDatum(PG_CATALOG_NAMESPACE));
}

Oid trigram_class() {
    CatCList *classes = SearchSysCacheList1(CLAAMNAMENSP, ObjectIdGetDatum(GIN_AM_OID));
    Oid found = InvalidOid;
    for (int i = 0; i < classes->n_members; ++i) {
        const auto *c = reinterpret_cast<Form_pg_opclass>(GETSTRUCT(&classes->members[i]->tuple));
        if (strcmp(NameStr(c->opcname), "gin_trgm_ops") == 0)
            found = c->oid;
    }
    ReleaseSysCacheList(classes);
    return found;
}

// LIKE and ~ with a fixed prefix become a range; which class serves depends on the collation.
bool pattern_use(const collector &c, Oid op, Node *pattern, Oid collation, raw_use *use) {
    const char *name = get_opname(op);
    if (name != nullptr && (strcmp(name, "~~*") == 0 || strcmp(name, "~*") == 0)) {
        use->kind = use_kind::gin;
        use->opclass = trigram_class();
        return OidIsValid(use->opclass);
    }
    if (name == nullptr || (strcmp(name, "~~") != 0 && strcmp(name, "~") != 0))
        return false;
    if (!IsA(pattern, Const) || reinterpret_cast<Const *>(pattern)->constisnull ||
        reinterpret_cast<Const *>(pattern)->consttype != TEXTOID)
        return false;
    (void)c;
    const char *fixed = text_to_cstring(DatumGetTextPP(reinterpret_cast<Const *>(pattern)->constvalue));
    const bool like = name[1] == '~';
    if (like ? (fixed[0] == '%' || fixed[0] == '_') : (fixed[0] != '^' || !isalnum(fixed[1]))) {
        use->kind = use_kind::gin; // letters anywhere: trigrams, if that extension is there
        use->opclass = trigram_class();
        return OidIsValid(use->opclass);
    }
    use->kind = use_kind::prefix;
    if (!sorts_as_c(collation))
        use->opclass = opclass_by_name("text_pattern_ops", BTREE_AM_OID);
    return true;
}

// Operators that only an inverted index serves: arrays, jsonb, full text.
bool gin_use(Oid op, Oid type, raw_use *use) {
    const Oid opclass = GetDefaultOpClass(type, GIN_AM_OID);
    if (!OidIsValid(opclass) || get_op_opfamily_strategy(op, get_opclass_family(opclass)) == 0)
        return false;
    use->kind = use_kind::gin;
    use->opclass = opclass;
    return true;
}

void binary(const collector &c, Oid op, Node *left, Node *right, Oid collation, raw_use use) {
    if (!as_column(c, left, &use))
        return;
    const bool constant = bms_is_empty(pull_varnos(c.root, right));
    if (!free_of_this_relation(c, right))
        return;
    Node *bare = strip(left);
    const Oid type = exprType(bare);
    const int strategy = btree_strategy(op, type);
    if (strategy == BTEqualStrategyNumber)
        use.kind = constant ? use_kind::equal : use_kind::join;
    else if (strategy != 0)
        use.kind = constant ? use_kind::range : use_kind::join_range;
    else if (!pattern_use(c, op, strip(right), collation, &use) && !gin_use(op, type, &use))
        return;
    if (!constant)
        use.group = bms_next_member(pull_varnos(c.root, right), -1);
    add(c, use);
}

void clause(const collector &c, Node *node, double selectivity, bool alternative) {
    check_stack_depth();
    node = strip(node);
    if (node == nullptr)
        return;
    raw_use use{};
    use.selectivity = selectivity;
    use.alternative = alternative;
    if (IsA(node, RestrictInfo)) {
        const RestrictInfo *r = reinterpret_cast<RestrictInfo *>(node);
        clause(c, reinterpret_cast<Node *>(r->orclause != nullptr ? r->orclause : r->clause),
               selectivity, alternative);
    } else if (IsA(node, BoolExpr)) {
        const BoolExpr *b = reinterpret_cast<BoolExpr *>(node);
        ListCell *cell;
        if (b->boolop == NOT_EXPR) {
            use.kind = use_kind::equal;
            if (as_column(c, static_cast<Node *>(linitial(b->args)), &use) && use.column != 0)
                add(c, use);
            return;
        }
        foreach (cell, b->args)
            clause(c, static_cast<Node *>(lfirst(cell)), selectivity,
                   alternative || b->boolop == OR_EXPR);
    } else if (IsA(node, OpExpr)) {
        const OpExpr *o = reinterpret_cast<OpExpr *>(node);
        if (list_length(o->args) != 2)
            return;
        Node *left = static_cast<Node *>(linitial(o->args));
        Node *right = static_cast<Node *>(lsecond(o->args));
        binary(c, o->opno, left, right, o->inputcollid, use);
        const Oid commuted = get_commutator(o->opno);
        if (OidIsValid(commuted))
            binary(c, commuted, right, left, o->inputcollid, use);
    } else if (IsA(node, ScalarArrayOpExpr)) {
        const ScalarArrayOpExpr *s = reinterpret_cast<ScalarArrayOpExpr *>(node);
        Node *left = static_cast<Node *>(linitial(s->args));
        if (!s->useOr || !as_column(c, left, &use) ||
            !free_of_this_relation(c, static_cast<Node *>(lsecond(s->args))))
            return;
        if (btree_strategy(s->opno, exprType(strip(left))) != BTEqualStrategyNumber)
            return;
        use.kind = use_kind::in_list;
        add(c, use);
    } else if (IsA(node, NullTest)) {
        const NullTest *n = reinterpret_cast<NullTest *>(node);
        if (n->argisrow || !as_column(c, reinterpret_cast<Node *>(n->arg), &use))
            return;
        use.kind = n->nulltesttype == IS_NULL ? use_kind::is_null : use_kind::range;
        add(c, use);
    } else if (IsA(node, RowCompareExpr)) {
        const RowCompareExpr *r = reinterpret_cast<RowCompareExpr *>(node);
        use.kind = use_kind::range;
        if (as_column(c, static_cast<Node *>(linitial(r->largs)), &use))
            add(c, use);
    } else if (IsA(node, Var) && exprType(node) == BOOLOID) {
        use.kind = use_kind::equal;
        if (as_column(c, node, &use))
            add(c, use);
    }
}

// Columns that an equivalence class ties to another relation.
void joins(const collector &c) {
    ListCell *cell;
    foreach (cell, c.root->eq_classes) {
        const EquivalenceClass *ec = static_cast<EquivalenceClass *>(lfirst(cell));
        if (ec->ec_has_const || ec->ec_has_volatile || list_length(ec->ec_members) < 2 ||
            !bms_is_member(static_cast<int>(c.rel->relid), ec->ec_relids))
            continue;
        ListCell *mine;
        foreach (mine, ec->ec_members) {
            const EquivalenceMember *m = static_cast<EquivalenceMember *>(lfirst(mine));
            if (m->em_is_child || !bms_equal(m->em_relids, c.rel->relids))
                continue;
            ListCell *other;
            foreach (other, ec->ec_members) {
                const EquivalenceMember *p = static_cast<EquivalenceMember *>(lfirst(other));
                raw_use use{};
                use.kind = use_kind::join;
                use.selectivity = 1;
                if (p->em_is_child || bms_overlap(p->em_relids, c.rel->relids) ||
                    bms_is_empty(p->em_relids))
                    continue;
                use.group = bms_next_member(p->em_relids, -1);
                if (as_column(c, reinterpret_cast<Node *>(m->em_expr), &use))
                    add(c, use);
            }
        }
    }
}

// The leading sort keys that columns of this relation alone can provide.
void order(const collector &c, List *pathkeys, int group) {
    ListCell *cell;
    foreach (cell, pathkeys) {
        const PathKey *key = static_cast<PathKey *>(lfirst(cell));
        bool found = false;
        ListCell *member;
        foreach (member, key->pk_eclass->ec_members) {
            const EquivalenceMember *m = static_cast<EquivalenceMember *>(lfirst(member));
            raw_use use{};
            use.kind = use_kind::order;
            use.group = group;
            use.selectivity = 1;
            // BTGreaterStrategyNumber; spelt through the ordering operator's meaning on 18.
            use.descending =
#if PG_VERSION_NUM >= 180000
                key->pk_cmptype == COMPARE_GT;
#else
                key->pk_strategy == BTGreaterStrategyNumber;
#endif
            use.nulls_first = key->pk_nulls_first;
            if (!m->em_is_child && bms_equal(m->em_relids, c.rel->relids) &&
                as_column(c, reinterpret_cast<Node *>(m->em_expr), &use)) {
                add(c, use);
                found = true;
                break;
            }
        }
        if (!found)
            return;
    }
}

bool worth_collecting(const RelOptInfo *rel, const RangeTblEntry *rte) {
    if (rte->rtekind != RTE_RELATION || rel->reloptkind != RELOPT_BASEREL)
        return false;
    return rte->relkind == RELKIND_RELATION || rte->relkind == RELKIND_MATVIEW ||
           rte->relkind == RELKIND_PARTITIONED_TABLE;
}

} // namespace

void collect_relation(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte, armed_state *into) {
    if (!worth_collecting(rel, rte))
        return;
    raw_relation *out = static_cast<raw_relation *>(palloc0(sizeof(raw_relation)));
    const collector c{root, rel, out, into->keep};
    out->relation = rte->relid;
    out->tuples = rel->tuples;
    out->rows = rel->rows;
    out->pages = rel->pages;
    out->limited = root->parse->limitCount != nullptr;
    pull_varattnos(reinterpret_cast<Node *>(rel->reltarget->exprs), rel->relid, &out->needed);
    ListCell *cell;
    foreach (cell, rel->baserestrictinfo) {
        RestrictInfo *r = static_cast<RestrictInfo *>(lfirst(cell));
        pull_varattnos(reinterpret_cast<Node *>(r->clause), rel->relid, &out->needed);
        const double s = clauselist_selectivity(root, list_make1(r), 0, JOIN_INNER, nullptr);
        clause(c, reinterpret_cast<Node *>(r), s, false);
        if (!contain_mutable_functions(reinterpret_cast<Node *>(r->clause)) &&
            only_this_relation(c, reinterpret_cast<Node *>(r->clause))) {
            raw_condition *condition = static_cast<raw_condition *>(palloc(sizeof(raw_condition)));
            condition->expression = kept(c, reinterpret_cast<Node *>(r->clause));
            condition->selectivity = s;
            out->conditions = lappend(out->conditions, condition);
        }
    }
    foreach (cell, rel->joininfo)
        clause(c, static_cast<Node *>(lfirst(cell)), 1, false);
    joins(c);
    order(c, root->query_pathkeys, 1);
    if (root->group_pathkeys != root->query_pathkeys)
        order(c, root->group_pathkeys, 2);
    if (root->window_pathkeys != root->query_pathkeys)
        order(c, root->window_pathkeys, 3);
    if (root->distinct_pathkeys != root->query_pathkeys)
        order(c, root->distinct_pathkeys, 4);
    if (root->sort_pathkeys != root->query_pathkeys)
        order(c, root->sort_pathkeys, 5);
    MemoryContext old = CurrentMemoryContext;
    into->collected = lappend(into->collected, out);
    MemoryContextSwitchTo(old);
}

} // namespace dbopt::pg::whatif
