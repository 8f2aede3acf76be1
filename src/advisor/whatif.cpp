#include "advisor/advisor.hpp"
#include "advisor/role_scope.hpp"
#include "pg/catalog_text.hpp"
#include "pg/index_sample.hpp"
#include "pg/query.hpp"

namespace dbopt::advisor {

namespace {

// What a person should think about before building it.
void warn(const pg::whatif::definition &d, pg::whatif::size_model &sizes, const std::string &name,
          std::vector<std::string> *out) {
    const double tuples = sizes.tuples(d.spec.relation);
    const std::string table = pg::qualified_name(d.spec.relation);
    if (sizes.pages(d.spec.relation) <= 4)
        out->push_back(name + ": " + table + " is so small that reading it whole is as fast");
    if (d.spec.method != BTREE_AM_OID || d.spec.keys.empty() || d.spec.keys[0].column == 0)
        return;
    const AttrNumber column = d.spec.keys[0].column;
    const auto st = sizes.statistics(d.spec.relation, column);
    if (!st.known)
        out->push_back(name + ": no statistics on " + table + "." +
                       pg::column_name(d.spec.relation, column) + ", run ANALYZE first");
    else if (st.distinct < 10 && tuples > 1000 && d.spec.predicate == nullptr)
        out->push_back(name + ": " + pg::column_name(d.spec.relation, column) + " has only about " +
                       std::to_string(static_cast<int64_t>(st.distinct)) +
                       " different values; a partial index may serve better");
    double width = 0;
    for (const pg::whatif::key &k : d.spec.keys)
        if (k.column != 0)
            width += sizes.statistics(d.spec.relation, k.column).width;
    if (width > 400)
        out->push_back(name + ": its keys are about " + std::to_string(static_cast<int>(width)) +
                       " bytes wide; a b-tree row may be at most 2704 bytes");
}

// Sizes come from sampled rows, and errors of expressions quote values: who may not read them all gets
// neither.
pg::whatif::definition readable(const std::string &ddl) {
    pg::whatif::definition d = pg::whatif::parse_definition(ddl);
    if (!pg::scalar<bool>("SELECT pg_catalog.has_table_privilege($1::oid, 'SELECT') AND NOT "
                          "pg_catalog.row_security_active($1::oid)", {d.spec.relation}).value_or(false))
        pg::raise({.code = ERRCODE_INSUFFICIENT_PRIVILEGE,
                   .message = "permission denied for table " + pg::qualified_name(d.spec.relation),
                   .detail = "The size of an index is estimated from rows of its table.",
                   .hint = "It needs SELECT on the table, and no row-level security that applies to you."});
    return d;
}

} // namespace

whatif_result what_if(const std::string &query, const std::vector<std::string> &ddl) {
    pg::whatif::engine engine;
    pg::whatif::size_model sizes(engine.context());
    whatif_result out;
    const int q = engine.add_query(query);
    out.cost_before = engine.inspect(q).first;
    std::vector<int> ids;
    std::vector<std::string> names;
    for (const std::string &text : ddl) {
        const pg::whatif::definition d = readable(text);
        names.push_back(!d.name.empty() ? d.name : "index_" + std::to_string(ids.size() + 1));
        warn(d, sizes, names.back(), &out.warnings);
        ids.push_back(engine.add_index(d.spec, sizes.shape(d)));
    }
    const pg::whatif::outcome after = engine.plan(q, ids);
    out.cost_after = after.cost;
    for (const int id : after.used)
        out.used.push_back(ddl[id]);
    out.plan = engine.plan_text(q, ids, names);
    return out;
}

std::optional<std::string> plan_problem(const std::string &query, Oid role) {
    pg::whatif::engine engine;
    const std::string path = pg::temporary_last(pg::search_path_of(role));
    const auto failed = pg::subtransaction([&] {
        const role_scope as(role, path);
        engine.inspect(engine.add_query(query));
    });
    return failed ? std::optional<std::string>(failed->message()) : std::nullopt;
}

int64_t estimated_size(const std::string &ddl) {
    const pg::whatif::engine engine;
    pg::whatif::size_model sizes(engine.context());
    return static_cast<int64_t>(sizes.shape(readable(ddl)).pages * 8192);
}

} // namespace dbopt::advisor
