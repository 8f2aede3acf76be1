#include "pg/whatif_internal.hpp"
#include "pg/compat.hpp"
#include "pg/transaction.hpp"

extern "C" {
#include "optimizer/geqo.h"
}

namespace dbopt::pg::whatif {

namespace {

// Arms for a scope. Trivial to leave by exception: the destructor only resets a pointer.
struct arming {
    explicit arming(armed_state *state) { armed = state; }
    ~arming() { armed = nullptr; }
    arming(const arming &) = delete;
    arming &operator=(const arming &) = delete;
};

// While access paths are priced nobody looks at the joins: the genetic search gives up after a few.
struct hasty_joins {
    explicit hasty_joins(bool wanted)
        : genetic(enable_geqo), threshold(geqo_threshold), pool(Geqo_pool_size), generations(Geqo_generations) {
        if (!wanted)
            return;
        enable_geqo = true;
        geqo_threshold = 2;
        Geqo_pool_size = 2;
        Geqo_generations = 1;
    }
    ~hasty_joins() {
        enable_geqo = genetic;
        geqo_threshold = threshold;
        Geqo_pool_size = pool;
        Geqo_generations = generations;
    }
    hasty_joins(const hasty_joins &) = delete;
    hasty_joins &operator=(const hasty_joins &) = delete;
    bool genetic;
    int threshold, pool, generations;
};

} // namespace

engine::engine() {
    context_ = call([] {
        return AllocSetContextCreate(CurrentMemoryContext, "dbopt what-if", ALLOCSET_DEFAULT_SIZES);
    });
    planning_ = call([&] {
        return AllocSetContextCreate(context_, "dbopt what-if plan", ALLOCSET_DEFAULT_SIZES);
    });
}

engine::~engine() { MemoryContextDelete(context_); }

namespace {

// The query inside a statement that carries one; *types: the declared parameters of a PREPARE.
Node *inner_query(Node *statement, List **types) {
    switch (nodeTag(statement)) {
    case T_PrepareStmt:
        *types = reinterpret_cast<PrepareStmt *>(statement)->argtypes;
        return reinterpret_cast<PrepareStmt *>(statement)->query;
    case T_DeclareCursorStmt: return reinterpret_cast<DeclareCursorStmt *>(statement)->query;
    case T_ExplainStmt: return reinterpret_cast<ExplainStmt *>(statement)->query;
    case T_CreateTableAsStmt: return reinterpret_cast<CreateTableAsStmt *>(statement)->query;
    case T_CopyStmt: return reinterpret_cast<CopyStmt *>(statement)->query;
    default: return statement;
    }
}

// A position in the text that was handed over is none in the statement that hands it over.
void say_where(void *sql) {
    const int at = geterrposition();
    if (at <= 0)
        return;
    errposition(0);
    internalerrposition(at);
    internalerrquery(static_cast<const char *>(sql));
}

Query *analyse_here(const char *sql, Oid *types, int count) {
    List *raw = pg_parse_query(sql);
    if (list_length(raw) != 1)
        ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
                        raw == NIL ? errmsg("the text holds no statement")
                                   : errmsg("the text holds %d statements, only one is allowed",
                                            list_length(raw)),
                        errhint("Give each statement as an array element of its own.")));
    RawStmt *statement = linitial_node(RawStmt, raw);
    List *declared = NIL;
    statement->stmt = statement->stmt != nullptr ? inner_query(statement->stmt, &declared) : nullptr;
    if (statement->stmt == nullptr)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("this statement has no plan that indexes could change")));
    if (declared != NIL && count == 0) {
        types = static_cast<Oid *>(palloc(sizeof(Oid) * list_length(declared)));
        ListCell *cell;
        foreach (cell, declared)
            types[count++] = typenameTypeId(nullptr, static_cast<TypeName *>(lfirst(cell)));
    }
    List *rewritten = pg_analyze_and_rewrite_varparams(statement, sql, &types, &count, nullptr);
    Query *query = list_length(rewritten) == 1 ? linitial_node(Query, rewritten) : nullptr;
    if (query == nullptr || query->commandType == CMD_UTILITY || query->commandType == CMD_NOTHING)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("this statement has no plan that indexes could change"),
                        errhint("SELECT, INSERT, UPDATE, DELETE and MERGE can be advised on.")));
    return query;
}

Query *analyse(const char *sql, Oid *types, int count) {
    ErrorContextCallback where{.previous = error_context_stack, .callback = say_where, .arg = const_cast<char *>(sql)};
    error_context_stack = &where;
    Query *query = analyse_here(sql, types, count);
    error_context_stack = where.previous;
    return query;
}

void bind(ParamExternData *to, Oid type, const char *text) {
    to->ptype = type;
    to->pflags = PARAM_FLAG_CONST;
    to->isnull = text == nullptr;
    if (text == nullptr)
        return;
    Oid function, element;
    getTypeInputInfo(type, &function, &element);
    to->value = OidInputFunctionCall(function, const_cast<char *>(text), element, -1);
}

} // namespace

int engine::add_query(const std::string &text, const std::vector<bound> &parameters) {
    const char *sql = text.c_str();
    const int count = static_cast<int>(parameters.size());
    std::vector<Oid> types;
    for (const bound &b : parameters)
        types.push_back(b.type);
    ParamListInfo list = nullptr;
    Query *tree = call([&]() -> Query * {
        MemoryContext old = MemoryContextSwitchTo(context_);
        Oid *known = nullptr;
        if (count > 0) {
            known = static_cast<Oid *>(palloc(sizeof(Oid) * count));
            memcpy(known, types.data(), sizeof(Oid) * count);
        }
        Query *query = analyse(sql, known, count);
        if (count > 0) {
            list = makeParamList(count);
            for (int i = 0; i < count; ++i)
                bind(&list->params[i], types[i],
                     parameters[i].text ? parameters[i].text->c_str() : nullptr);
        }
        MemoryContextSwitchTo(old);
        return query;
    });
    queries_.push_back({tree, text, static_cast<int64_t>(tree->queryId), list, nullptr});
    return query_count() - 1;
}

PlannedStmt *engine::run(int query, std::span<const int> indexes, purpose why) {
    MemoryContextReset(planning_);
    collected_ = NIL;
    top_ = nullptr;
    std::vector<injected> show;
    for (const int i : indexes)
        for (const leaf &l : indexes_[i])
            show.push_back(l.in);
    priced_paths paths{};
    armed_state state{.indexes = show.data(),
                      .count = static_cast<int>(show.size()),
                      .collect = why == purpose::inspect,
                      .hidden = hidden_,
                      .depth = 0,
                      .collected = NIL,
                      .keep = context_,
                      .price = why == purpose::price,
                      .asides = NIL,
                      .priced = &paths,
                      .top = nullptr};
    const parsed &q = queries_[query];
    ++plans_;
    const arming on(&state);
    const hasty_joins hasty(why == purpose::price);
    return call([&] {
        CHECK_FOR_INTERRUPTS();
        MemoryContext old = MemoryContextSwitchTo(planning_);
        Query *copy = static_cast<Query *>(copyObjectImpl(q.tree));
        PlannedStmt *plan = planner(copy, q.text.c_str(), CURSOR_OPT_PARALLEL_OK, q.parameters);
        collected_ = state.collected;
        top_ = state.top;
        priced_ = static_cast<priced_paths *>(palloc(sizeof(priced_paths)));
        *priced_ = paths;
        MemoryContextSwitchTo(old);
        return plan;
    });
}

engine::change engine::change_of(int query) const {
    const Query *q = queries_[query].tree;
    change out;
    if (q->resultRelation <= 0 || (q->commandType != CMD_INSERT && q->commandType != CMD_UPDATE))
        return out;
    out.relation = rt_fetch(q->resultRelation, q->rtable)->relid;
    out.inserts = q->commandType == CMD_INSERT;
    for (int i = 0; !out.inserts && i < list_length(q->targetList); ++i) {
        const auto *target = static_cast<TargetEntry *>(list_nth(q->targetList, i));
        if (!target->resjunk)
            out.columns.push_back(target->resno);
    }
    return out;
}

std::pair<double, std::vector<relation_use>> engine::inspect(int query) {
    PlannedStmt *plan = run(query, {}, purpose::inspect);
    call([&] { compat::check_permissions(plan); });
    std::vector<relation_use> out;
    for (int i = 0; i < list_length(collected_); ++i) {
        const auto *raw = static_cast<raw_relation *>(list_nth(collected_, i));
        relation_use r{.relation = raw->relation,
                       .tuples = raw->tuples,
                       .rows = raw->rows,
                       .pages = raw->pages,
                       .whole_row = raw->whole_row,
                       .limited = raw->limited,
                       .needed = {},
                       .uses = {},
                       .conditions = {}};
        for (int a = -1; (a = bms_next_member(raw->needed, a)) >= 0;) {
            const int column = a + FirstLowInvalidHeapAttributeNumber;
            if (column > 0)
                r.needed.push_back(static_cast<AttrNumber>(column));
            else
                r.whole_row = true;
        }
        for (int u = 0; u < list_length(raw->uses); ++u) {
            const auto *x = static_cast<raw_use *>(list_nth(raw->uses, u));
            r.uses.push_back({x->kind, x->alternative, x->column, x->expression, x->opclass, x->group,
                              x->selectivity, x->descending, x->nulls_first});
        }
        for (int c = 0; c < list_length(raw->conditions); ++c) {
            const auto *x = static_cast<raw_condition *>(list_nth(raw->conditions, c));
            r.conditions.push_back({x->expression, x->selectivity});
        }
        out.push_back(std::move(r));
    }
    return {plan->planTree->total_cost, std::move(out)};
}

} // namespace dbopt::pg::whatif
