// Under management, out of it, verification, and what people are told.
#include "matview/incremental.hpp"
#include "matview/registry.hpp"
#include "pg/query.hpp"
#include "pg/security.hpp"
#include "pg/transaction.hpp"

namespace dbopt::matview {

namespace {

pg::relation_info require_matview(Oid matview) {
    pg::relation_info info = pg::get_relation(matview);
    if (info.kind != RELKIND_MATVIEW)
        pg::raise({.code = ERRCODE_WRONG_OBJECT_TYPE,
                   .message = info.qualified() + " is a " + pg::kind_name(info.kind) +
                              ", not a materialized view",
                   .hint = "Create it with CREATE MATERIALIZED VIEW."});
    return info;
}

void check_interval(const pg::interval &i, const char *name) {
    if (i.seconds() <= 0)
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
                   .message = std::string("argument \"") + name + "\" must be longer than zero, not \"" +
                              pg::to_text(i) + "\""});
}

std::string column_list(const std::vector<std::string> &names) {
    std::string out;
    for (const std::string &n : names)
        out += (out.empty() ? "" : ", ") + pg::quote_identifier(n);
    return out;
}

} // namespace

std::vector<manage_row> manage(const manage_options &o) {
    const pg::relation_info info = require_matview(o.matview);
    pg::require_writable(pg::is_standby() ? "a standby manages nothing" : "nothing is managed in a read-only transaction");
    pg::require_owner(o.matview);
    const std::optional<stored_config> old = find_config(o.matview);
    stored_config next = old.value_or(stored_config{.matview = o.matview,
                                                    .every = {.us = 3600LL * 1000000},
                                                    .max_staleness = {.us = 4LL * 3600 * 1000000},
                                                    .mode = "auto"});
    if (o.every)
        next.every = *o.every;
    if (o.max_staleness)
        next.max_staleness = *o.max_staleness;
    if (o.mode)
        next.mode = *o.mode;
    check_interval(next.every, "every");
    check_interval(next.max_staleness, "max_staleness");
    require_mode(next.mode);
    std::vector<manage_row> out;
    const std::string shown = "every " + pg::to_text(next.every) + ", mode " + next.mode +
                              ", stale after " + pg::to_text(next.max_staleness);
    if (old && pg::to_text(old->every) == pg::to_text(next.every) && old->mode == next.mode &&
        pg::to_text(old->max_staleness) == pg::to_text(next.max_staleness)) {
        out.push_back({"manage", "skipped", "already managed: " + shown});
    } else {
        const pg::as_owner writer(extension_owner());
        pg::execute("INSERT INTO dbopt.matview_config (matview, every, mode, max_staleness) "
                    "VALUES ($1::regclass, $2, $3, $4) ON CONFLICT (matview) DO UPDATE SET "
                    "every = excluded.every, mode = excluded.mode, "
                    "max_staleness = excluded.max_staleness",
                    {o.matview, next.every, next.mode, next.max_staleness});
        out.push_back({old ? "change" : "manage", "done", shown});
    }
    if (o.mode) // whoever names the mode again has looked at the difference
        allow_incremental(o.matview);
    arrange_capture(o.matview, next.mode, out);
    return out;
}

void unmanage(Oid matview) {
    if (pg::find_relation(matview))
        pg::require_owner(matview);
    forget_capture(matview);
    const pg::as_owner writer(extension_owner());
    pg::execute("DELETE FROM dbopt._matview_state WHERE matview = $1", {matview});
    if (pg::execute("DELETE FROM dbopt.matview_config WHERE matview = $1::regclass", {matview}) == 0)
        pg::notice("materialized view was not under management");
}

int64_t verify(Oid matview) {
    const pg::relation_info info = require_matview(matview);
    pg::require_maintain(matview);
    if (!info.populated)
        pg::raise({.code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                   .message = info.qualified() + " has not been populated",
                   .hint = "Refresh it first."});
    const pg::as_owner owner(info.owner);
    const std::string name = info.qualified();
    // Deparsed under the narrow search_path of the scope: every name comes out qualified.
    std::string query = pg::scalar<std::string>("SELECT pg_catalog.pg_get_viewdef($1::regclass)", {matview})
                            .value_or("");
    while (!query.empty() && (query.back() == ';' || query.back() == ' '))
        query.pop_back();
    // Sums of floats depend on the order of the rows in their last digits; -0 equals 0.
    const std::string list =
        pg::scalar<std::string>(
            "SELECT string_agg(CASE WHEN atttypid IN ('float4'::regtype, 'float8'::regtype) THEN format('to_char(%1$I + 0, "
            "%2$L) AS %1$I', attname, CASE atttypid WHEN 'float8'::regtype THEN '9.99999999999EEEE' ELSE "
            "'9.9999EEEE' END) WHEN typnamespace = 'pg_catalog'::regnamespace AND typname IN ('json', 'jsonpath', 'xml', "
            "'point', 'polygon', 'path', 'box', 'line', 'lseg', 'circle') THEN format('%1$I::text', attname) ELSE quote_ident(attname) END, ', ' ORDER BY attnum) "
            "FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_type t ON t.oid = atttypid WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped", {matview})
            .value_or("1");
    const std::string names =
        pg::scalar<std::string>("SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM "
                                "pg_catalog.pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped",
                                {matview})
            .value_or("");
    if (names.empty()) // no column: rows do not differ but in number
        return pg::scalar<int64_t>("SELECT abs((SELECT count(*) FROM (" + query + ") x) - (SELECT count(*) FROM " + name +
                                   "))").value_or(0);
    return pg::scalar<int64_t>("WITH q AS MATERIALIZED (SELECT " + list + " FROM (" + query + ") x(" + names +
                               ")), m AS MATERIALIZED (SELECT " + list + " FROM " + name +
                               ") SELECT count(*) FROM ((TABLE q EXCEPT ALL TABLE m) UNION ALL "
                               "(TABLE m EXCEPT ALL TABLE q)) d")
        .value_or(0);
}

std::vector<finding> explain(Oid matview) {
    const pg::relation_info info = require_matview(matview);
    std::vector<finding> out;
    const std::optional<stored_config> managed = find_config(matview);
    out.push_back({"management", managed ? "yes" : "no",
                   managed ? "every " + pg::to_text(managed->every) + ", mode " + managed->mode
                           : "nobody refreshes it on schedule",
                   managed ? std::nullopt
                           : std::optional("SELECT dbopt.matview_manage(" +
                                           pg::quote_literal(info.qualified()) + ")")});
    out.push_back({"populated", info.populated ? "yes" : "no",
                   info.populated ? "it can be read" : "it has no content yet",
                   info.populated ? std::nullopt
                                  : std::optional("SELECT dbopt.matview_refresh(" +
                                                  pg::quote_literal(info.qualified()) + ")")});
    explain_incremental(matview, managed ? managed->mode : "", out);
    if (auto index = unique_index_of(matview))
        out.push_back({"concurrent", "yes", "unique index " + *index, std::nullopt});
    else if (std::vector<std::string> key = key_columns(matview); !key.empty())
        out.push_back({"concurrent", "no", "no unique index on plain columns",
                       "CREATE UNIQUE INDEX ON " + info.qualified() + " (" + column_list(key) + ")"});
    else
        out.push_back({"concurrent", "no",
                       "no unique index on plain columns, and the query shows no unique key", std::nullopt});
    if (auto f = unstable_function(matview))
        out.push_back({"change detection", "no", "the query calls " + *f + ", whose result changes by itself",
                       std::nullopt});
    else
        out.push_back({"change detection", "yes", "a refresh is skipped when nothing was written",
                       std::nullopt});
    return out;
}

} // namespace dbopt::matview
