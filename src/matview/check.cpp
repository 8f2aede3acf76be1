// Self-check: after an incremental refresh, at intervals, rows of the matview and their keys are compared with
// the query under the same snapshot. A difference ends incremental refreshes of that matview.
#include "matview/incremental.hpp"
#include "pg/query.hpp"
#include "pg/security.hpp"
#include "pg/transaction.hpp"

namespace dbopt::matview {

namespace {

constexpr int sample_rows = 20;

// Conditions that pick the sampled keys, in terms of the matview's columns: values as text, so that the
// planner can use indexes below the query, too.
std::string sampled(Oid matview, const core::view_form &f) {
    std::string list;
    for (size_t k = 0; k < f.identifying; ++k)
        list += (k > 0 ? " || ' AND ' || " : "") +
                ("CASE WHEN m." + f.target[f.key_output[k]].name + " IS NULL THEN " +
                 pg::quote_literal(f.target[f.key_output[k]].name + " IS NULL") + " ELSE " +
                 pg::quote_literal(f.target[f.key_output[k]].name + " = ") + " || quote_literal(m." +
                 f.target[f.key_output[k]].name + ") || " + pg::quote_literal("::" + f.target[f.key_output[k]].type) +
                 " END");
    if (list.empty())
        return "true";
    const std::string name = pg::qualified_name(matview);
    std::string out;
    // Rows of random pages; a small matview is looked at from any page.
    for (const pg::row &r : pg::query(
             "SELECT " + list + " FROM " + name + " m TABLESAMPLE SYSTEM (least(100, 100 * 30.0 / (1 + "
             "pg_catalog.pg_relation_size(" + std::to_string(matview) + ") / 8192))) ORDER BY random() LIMIT " +
                 std::to_string(sample_rows)))
        out += (out.empty() ? "(" : " OR (") + r.get<std::string>(0) + ")";
    return out.empty() ? "false" : out;
}

} // namespace

std::optional<std::string> increment::check_sample(pg::frozen &now) {
    // Nothing can be said where the order of rows shows in the result.
    if (form_ == nullptr || form_->order_shows)
        return std::nullopt;
    const pg::as_owner owner(owner_);
    const std::string where = sampled(matview_, *form_);
    std::string columns;
    for (const core::typed &t : form_->target)
        columns += (columns.empty() ? "" : ", ") + t.name;
    std::string query =
        pg::scalar<std::string>("SELECT pg_catalog.pg_get_viewdef($1::regclass)", {matview_}).value_or("");
    while (!query.empty() && (query.back() == ';' || query.back() == ' '))
        query.pop_back();
    const std::string q = "SELECT * FROM (" + query + ") x(" + columns + ") WHERE " + where;
    const std::string m = "SELECT " + columns + " FROM " + name_ + " WHERE " + where;
    const int64_t wrong = now.number("WITH q AS MATERIALIZED (" + q + "), m AS MATERIALIZED (" + m + ") SELECT count(*) "
                                     "FROM ((TABLE q EXCEPT ALL TABLE m) UNION ALL (TABLE m EXCEPT ALL TABLE q)) d")
                              .value_or(0);
    if (wrong == 0)
        return std::nullopt;
    return "a self-check found " + std::to_string(wrong) + " rows that differ from the query, among those of " +
           std::to_string(sample_rows) + " sampled keys";
}

} // namespace dbopt::matview
