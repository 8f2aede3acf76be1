#include "pg/caller_query.hpp"
#include "pg/memory.hpp"

namespace dbopt::pg {

bool row::null(int column) const { return heap_attisnull(tuple_, column + 1, desc_); }

Datum row::datum(int column) const {
    bool null = false;
    return heap_getattr(tuple_, column + 1, desc_, &null);
}

Datum row::required(int column) const {
    if (column >= desc_->natts)
        raise({.code = ERRCODE_INTERNAL_ERROR,
               .message = "query result has no column " + std::to_string(column)});
    if (null(column))
        raise({.code = ERRCODE_NULL_VALUE_NOT_ALLOWED,
               .message = std::string("column \"") + NameStr(TupleDescAttr(desc_, column)->attname) +
                          "\" of a query result is NULL"});
    return datum(column);
}

result::~result() {
    if (home_ != nullptr)
        MemoryContextDelete(home_);
}

namespace {

enum class path { bare, callers };

struct converted {
    std::vector<Oid> types;
    std::vector<Datum> datums;
    std::string nulls; // 'n' or ' ', as SPI wants them
};

converted convert(const std::vector<value> &parameters, const std::vector<Oid> *types) {
    converted c;
    for (size_t i = 0; i < parameters.size(); ++i) {
        c.types.push_back(types != nullptr ? (*types)[i] : parameter_type(parameters[i]));
        c.nulls.push_back(parameters[i].is_null() ? 'n' : ' ');
        c.datums.push_back(parameters[i].is_null() ? Datum{0} : to_datum(parameters[i], c.types[i]));
    }
    return c;
}

struct outcome {
    MemoryContext home;
    SPITupleTable *table;
    uint64_t processed;
};

// pg_catalog comes first in any path, but an exact match further back still beats a match by a
// cast: a function quote_ident(name) or an operator =(oid, regclass) in a schema of the caller's path
// would run with the caller's rights. So the texts of dbopt see nothing but pg_catalog. A session's
// setting comes back at the end; after an error the (sub)transaction's abort puts it back.
constexpr const char *bare_path = "pg_catalog, pg_temp";

// Both to be called under the guard. 0: the path is bare already.
int narrow_path(path seen) {
    if (seen == path::callers || strcmp(namespace_search_path, bare_path) == 0)
        return 0;
    const int level = NewGUCNestLevel();
    (void)set_config_option("search_path", bare_path, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
    return level;
}
void widen_path(int level) {
    if (level > 0)
        AtEOXact_GUC(true, level);
}

// Runs under the guard, owns nothing. The tuple table is a child context of the SPI procedure;
// moved below TopMemoryContext it survives SPI_finish without a copy, and a worker's commit, too: it
// dies with the pg::result, whose destructor always runs.
template <class Run> outcome run_spi(path seen, Run &&run) {
    return call([&] {
        MemoryContext caller = CurrentMemoryContext;
        const int level = narrow_path(seen);
        if (SPI_connect() != SPI_OK_CONNECT)
            elog(ERROR, "SPI_connect failed");
        const int code = run();
        if (code < 0)
            elog(ERROR, "statement not possible here: %s", SPI_result_code_string(code));
        outcome o{nullptr, SPI_tuptable, SPI_processed};
        if (o.table != nullptr) {
            o.home = o.table->tuptabcxt;
            MemoryContextSetParent(o.home, TopMemoryContext);
        }
        SPI_finish();
        widen_path(level);
        MemoryContextSwitchTo(caller);
        return o;
    });
}

result run_text(path seen, std::string_view sql, const std::vector<value> &parameters, int64_t limit) {
    const std::string text(sql);
    scratch space("dbopt query parameters");
    const converted c = convert(parameters, nullptr);
    MemoryContext inner = MemoryContextSwitchTo(MemoryContextGetParent(space.context()));
    const outcome o = run_spi(seen, [&] {
        return SPI_execute_with_args(text.c_str(), static_cast<int>(c.types.size()),
                                     const_cast<Oid *>(c.types.data()),
                                     const_cast<Datum *>(c.datums.data()), c.nulls.c_str(), false,
                                     limit);
    });
    MemoryContextSwitchTo(inner);
    return {o.home, o.table, o.processed};
}

} // namespace

result query(std::string_view sql, const std::vector<value> &parameters, int64_t limit) {
    return run_text(path::bare, sql, parameters, limit);
}
result query_of_caller(std::string_view sql) { return run_text(path::callers, sql, {}, 0); }

int64_t execute(std::string_view sql, const std::vector<value> &parameters) {
    return static_cast<int64_t>(query(sql, parameters).processed());
}

statement::statement(std::string_view sql, std::vector<Oid> types) : types_(std::move(types)) {
    const std::string text(sql);
    plan_ = call([&] {
        const int level = narrow_path(path::bare);
        if (SPI_connect() != SPI_OK_CONNECT)
            elog(ERROR, "SPI_connect failed");
        SPIPlanPtr p = SPI_prepare(text.c_str(), static_cast<int>(types_.size()), types_.data());
        if (p == nullptr || SPI_keepplan(p) != 0)
            elog(ERROR, "cannot prepare: %s", SPI_result_code_string(SPI_result));
        SPI_finish();
        widen_path(level);
        return p;
    });
}

result statement::run(const std::vector<value> &parameters, int64_t limit) const {
    scratch space("dbopt query parameters");
    const converted c = convert(parameters, &types_);
    MemoryContext inner = MemoryContextSwitchTo(MemoryContextGetParent(space.context()));
    const outcome o = run_spi(path::bare, [&] {
        return SPI_execute_plan(plan_, const_cast<Datum *>(c.datums.data()), c.nulls.c_str(), false,
                                limit);
    });
    MemoryContextSwitchTo(inner);
    return {o.home, o.table, o.processed};
}

} // namespace dbopt::pg
