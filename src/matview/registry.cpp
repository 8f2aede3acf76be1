#include "matview/registry.hpp"
#include "pg/query.hpp"
#include "pg/security.hpp"
#include "pg/settings.hpp"

namespace dbopt::matview {

settings config;

void define_settings() {
    pg::define_int({.name = "dbopt.matview_lock_wait",
                    .description = "How long a refresh keeps trying for its locks before it reports "
                                   "skipped; it never queues in front of readers. 0 tries once.",
                    .variable = &config.lock_wait_s, .value = 30, .low = 0, .high = 3600,
                    .when = pg::change::user, .in = pg::unit::s});
    pg::define_int({.name = "dbopt.matview_log_limit",
                    .description = "Captured changes of one relation past this size are dropped and its "
                                   "matviews refreshed in full (MB).",
                    .variable = &config.log_limit_mb, .value = 256, .low = 1, .high = 1048576});
    pg::define_int({.name = "dbopt.matview_check_interval",
                    .description = "How often a sample of a matview that is refreshed incrementally is compared "
                                   "with its query. 0: never.",
                    .variable = &config.check_interval_s, .value = 86400, .low = 0, .high = 31536000,
                    .when = pg::change::user, .in = pg::unit::s});
    pg::define_int({.name = "dbopt.matview_history",
                    .description = "Days that dbopt.matview_refreshes goes back.",
                    .variable = &config.history_days, .value = 30, .low = 1, .high = 3650});
}

Oid extension_owner() {
    const Oid table = pg::call([] {
        return get_relname_relid("matview_config", get_namespace_oid("dbopt", false));
    });
    return pg::owner_of(table);
}

static stored_config read_config(const pg::row &r) {
    return {r.get<Oid>(0), r.get<pg::interval>(1), r.get<pg::interval>(2), r.get<std::string>(3)};
}

std::optional<stored_config> find_config(Oid matview) {
    const pg::as_owner reader(extension_owner());
    static const auto *find = new pg::statement("SELECT matview::oid, every, max_staleness, mode FROM "
                                                "dbopt.matview_config WHERE matview = $1::regclass", {OIDOID});
    const pg::result found = find->run({matview});
    return found.empty() ? std::nullopt : std::optional(read_config(found[0]));
}

std::vector<stored_config> all_configs() {
    const pg::as_owner reader(extension_owner());
    std::vector<stored_config> out;
    for (const pg::row &r : pg::query("SELECT g.matview::oid, g.every, g.max_staleness, g.mode "
                                      "FROM dbopt.matview_config g JOIN pg_class c ON c.oid = g.matview "
                                      "ORDER BY g.matview::oid"))
        out.push_back(read_config(r));
    return out;
}

stored_state load_state(Oid matview) {
    const pg::as_owner reader(extension_owner());
    stored_state s;
    static const auto *find = new pg::statement(
        "SELECT last_refresh, snapshot, snapshot_lsn::text, pages, fingerprint, needs_full, "
        "incremental_off, snapshot_quiet, coalesce(matview_file, 0::oid), epoch, full_ms, "
        "concurrent_ms, fixed_ms, change_us, last_check, own_xid::text, own_command, change_batch FROM dbopt._matview_state WHERE matview = $1",
        {OIDOID});
    const pg::result found = find->run({matview});
    if (found.empty())
        return s;
    const pg::row r = found[0];
    s.exists = true;
    s.last_refresh = r.optional<pg::timestamptz>(0);
    s.snapshot = r.optional<std::string>(1);
    s.lsn = r.optional<std::string>(2);
    s.pages = r.optional<std::string>(3);
    s.fingerprint = r.optional<std::string>(4);
    s.needs_full = r.optional<std::string>(5);
    s.incremental_off = r.optional<std::string>(6);
    s.quiet = r.get<bool>(7);
    s.file = r.get<Oid>(8);
    s.epoch = r.optional<int64_t>(9);
    s.full_ms = r.optional<double>(10);
    s.concurrent_ms = r.optional<double>(11);
    s.fixed_ms = r.optional<double>(12);
    s.change_us = r.optional<double>(13);
    s.last_check = r.optional<pg::timestamptz>(14);
    s.own_xid = r.optional<std::string>(15);
    s.own_command = r.get_or<int64_t>(16, 0);
    s.change_batch = r.get_or<int64_t>(17, 0);
    return s;
}

void store_state(const outcome &o, const refreshed &r) {
    const pg::as_owner writer(extension_owner());
    static const auto *store = new pg::statement(
        "INSERT INTO dbopt._matview_state AS s (matview, last_refresh, last_attempt, last_mode, "
        "last_status, last_reason, last_duration_ms, snapshot, snapshot_lsn, snapshot_quiet, pages, "
        "fingerprint, matview_file, needs_full, epoch, own_xid, own_command) "
        "VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8::pg_lsn, $9, $10, $11, $12, $16, $13, $14::text::xid8, "
        "$15) "
        "ON CONFLICT (matview) DO UPDATE SET (last_refresh, last_attempt, last_mode, last_status, "
        "last_reason, last_duration_ms, snapshot, snapshot_lsn, snapshot_quiet, pages, fingerprint, "
        "matview_file, needs_full, epoch, own_xid, own_command, failures) = (excluded.last_refresh, excluded.last_attempt, "
        "excluded.last_mode, excluded.last_status, excluded.last_reason, excluded.last_duration_ms, "
        "excluded.snapshot, excluded.snapshot_lsn, excluded.snapshot_quiet, excluded.pages, "
        "excluded.fingerprint, excluded.matview_file, excluded.needs_full, excluded.epoch, excluded.own_xid, "
        "excluded.own_command, 0)",
        {OIDOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, FLOAT8OID, TEXTOID, TEXTOID, BOOLOID, TEXTOID, TEXTOID,
         OIDOID, INT8OID, TEXTOID, INT8OID, TEXTOID});
    store->run({o.matview, r.as_of, o.mode, o.status, o.reason, o.duration_ms, r.snapshot, r.lsn, r.quiet,
         r.pages, r.fingerprint, r.file, r.epoch, r.own_xid, r.own_command, r.needs_full});
    // Costs: the newest measurement counts for a third, so that a view that grew is noticed soon.
    static const auto *fixed = new pg::statement(
        "UPDATE dbopt._matview_state SET fixed_ms = coalesce(fixed_ms * 0.67 + 0.33 * $2, $2) WHERE matview = $1",
        {OIDOID, FLOAT8OID});
    static const auto *per_change = new pg::statement(
        "UPDATE dbopt._matview_state s SET change_us = coalesce(change_us * 0.67 + 0.33 * c.us, c.us), change_batch = $3 "
        "FROM (SELECT greatest($2 - coalesce(fixed_ms, 0), 0) * 1000 / $3::float8 AS us FROM dbopt._matview_state WHERE "
        "matview = $1) c WHERE matview = $1", {OIDOID, FLOAT8OID, INT8OID});
    if (o.mode == "full" || o.mode == "concurrent")
        pg::execute("UPDATE dbopt._matview_state SET " + o.mode + "_ms = coalesce(" + o.mode +
                        "_ms * 0.67 + $2 * 0.33, $2) WHERE matview = $1",
                    {o.matview, o.duration_ms});
    else if (o.mode == "incremental" && o.changes && *o.changes > 0 && *o.changes < 500)
        fixed->run({o.matview, o.duration_ms});
    else if (o.mode == "incremental" && o.changes && *o.changes > 0)
        per_change->run({o.matview, o.duration_ms, *o.changes});
}

void store_check(Oid matview, const std::optional<std::string> &difference) {
    const pg::as_owner writer(extension_owner());
    pg::execute("UPDATE dbopt._matview_state SET last_check = clock_timestamp(), incremental_off = coalesce($2, "
                "incremental_off) WHERE matview = $1", {matview, difference});
}

void allow_incremental(Oid matview) {
    const pg::as_owner writer(extension_owner());
    pg::execute("UPDATE dbopt._matview_state SET incremental_off = NULL, last_check = NULL WHERE matview = $1 AND "
                "incremental_off IS NOT NULL", {matview});
}

void store_failure(const outcome &o) {
    const pg::as_owner writer(extension_owner());
    pg::execute("INSERT INTO dbopt._matview_state AS s (matview, last_attempt, last_status, "
                "last_reason, failures) VALUES ($1, clock_timestamp(), $2, $3, 1) "
                "ON CONFLICT (matview) DO UPDATE SET last_attempt = excluded.last_attempt, "
                "last_status = excluded.last_status, last_reason = excluded.last_reason, "
                "failures = s.failures + CASE WHEN excluded.last_status = 'failed' THEN 1 ELSE 0 END",
                {o.matview, o.status, o.reason});
}

void record(const outcome &o, pg::timestamptz started) {
    const std::string name = pg::qualified_name(o.matview);
    const pg::as_owner writer(extension_owner());
    static const auto *add = new pg::statement(
        "INSERT INTO dbopt._matview_refresh (matview, name, started, mode, status, changes, rows_changed, duration_ms, "
        "reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        {OIDOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INT8OID, INT8OID, FLOAT8OID, TEXTOID});
    add->run({o.matview, name, started, o.mode, o.status, o.changes, o.rows_changed, o.duration_ms,
                 o.reason});
}

std::vector<source> sources_of(Oid matview) {
    const pg::as_owner reader(extension_owner());
    std::vector<source> out;
    for (const pg::row &r : pg::query("SELECT relation, root, kind::text, through_view "
                                      "FROM dbopt._matview_sources($1) ORDER BY 1, 2",
                                      {matview}))
        out.push_back(
            {r.get<Oid>(0), r.get<Oid>(1), r.get<std::string>(2)[0], r.get<bool>(3)});
    return out;
}

std::string fingerprint_of(Oid matview, const std::vector<source> &sources) {
    std::string list;
    for (const source &s : sources)
        list += (list.empty() ? "" : ",") + std::to_string(s.relation);
    const pg::as_owner reader(extension_owner());
    return pg::scalar<std::string>("SELECT dbopt._matview_fingerprint($1, ('{' || $2 || '}')::oid[])", {matview, list})
        .value_or("");
}

std::optional<std::string> unique_index_of(Oid matview) {
    const pg::as_owner reader(extension_owner());
    return pg::scalar<std::string>("SELECT dbopt._matview_unique_index($1)::text", {matview});
}

std::optional<int64_t> living_epoch(Oid matview) {
    static const auto *find = new pg::statement("SELECT epoch FROM dbopt._matview_alive WHERE matview = $1", {OIDOID});
    const pg::result r = find->run({matview});
    return r.empty() ? std::nullopt : r[0].optional<int64_t>(0);
}

} // namespace dbopt::matview
