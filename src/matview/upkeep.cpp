// Logs and what hangs on them, kept in bounds: pruned when all have read them, given up when too long, dropped
// with their matviews; refreshes by other means are noticed.
#include "matview/incremental.hpp"
#include "pg/capture_trigger.hpp"
#include "pg/page_marks.hpp"
#include "pg/query.hpp"
#include "pg/security.hpp"
#include "pg/transaction.hpp"

namespace dbopt::matview {

std::string log_name(Oid base) { return "dbopt." + pg::capture_log_name(base); }

// Everything that writes the log of `base`, partitions that have left it meanwhile included.
static std::vector<Oid> writers_of(Oid base) {
    std::vector<Oid> out;
    for (const pg::row &r : pg::query("SELECT DISTINCT tgrelid FROM pg_trigger WHERE tgfoid = "
                                      "'dbopt._capture()'::regprocedure AND tgargs = decode(encode($1::text::bytea, "
                                      "'hex') || '00', 'hex')", {std::to_string(base)}))
        out.push_back(r.get<Oid>(0));
    return out;
}

void release_unused() {
    const pg::as_owner writer(extension_owner());
    for (const pg::row &r : pg::query("SELECT b.base, b.log FROM dbopt._matview_base b WHERE NOT EXISTS "
                                      "(SELECT FROM dbopt._matview_use u WHERE u.base = b.base)")) {
        const Oid base = r.get<Oid>(0), log = r.get<Oid>(1);
        const int64_t wait = 1000LL * config.lock_wait_s;
        const std::vector<Oid> points = writers_of(base);
        if (!std::all_of(points.begin(), points.end(),
                         [&](Oid p) { return pg::try_lock(p, AccessExclusiveLock, wait); }))
            continue; // the next round tries again
        for (Oid p : points)
            pg::remove_capture(p);
        if (pg::find_relation(log))
            pg::drop_member(log);
        pg::execute("DELETE FROM dbopt._matview_base WHERE base = $1", {base});
    }
}

void drop_states(Oid matview) {
    const pg::as_owner writer(extension_owner());
    for (const pg::row &r : pg::query("SELECT store FROM dbopt._matview_store WHERE matview = $1", {matview}))
        if (pg::find_relation(r.get<Oid>(0)))
            pg::drop_member(r.get<Oid>(0));
    pg::execute("DELETE FROM dbopt._matview_store WHERE matview = $1", {matview});
    pg::execute("DELETE FROM dbopt._matview_alive WHERE matview = $1", {matview});
    pg::execute("DELETE FROM dbopt._matview_use WHERE matview = $1", {matview});
}

std::string unseen(const stored_state &s) {
    std::string out = "NOT pg_visible_in_snapshot(xid, '" + *s.snapshot + "')";
    if (s.own_xid)
        out += " AND NOT (xid = '" + *s.own_xid + "'::xid8 AND cid < " + std::to_string(s.own_command) + ")";
    return out;
}

std::optional<int64_t> pending(Oid matview) {
    if (pg::is_standby())
        return std::nullopt;
    const stored_state s = load_state(matview);
    const pg::as_owner reader(extension_owner());
    std::optional<int64_t> out;
    for (const pg::row &r : pg::query("SELECT b.base FROM dbopt._matview_use u JOIN dbopt._matview_base b USING "
                                      "(base) WHERE u.matview = $1", {matview}))
        out = out.value_or(0) + pg::scalar<int64_t>("SELECT count(*) FROM " + log_name(r.get<Oid>(0)) +
                                                        " WHERE " + (s.snapshot ? unseen(s) : "true"))
                                    .value_or(0);
    return out;
}

// What every user of the log has seen goes. One pruner at a time; nobody waits for it.
void prune_logs(const std::vector<unsigned> &bases) {
    const pg::as_owner writer(extension_owner());
    static const auto *lock = new pg::statement("SELECT pg_try_advisory_xact_lock(7270, $1::bigint::int)", {INT8OID});
    static const auto *fresh = new pg::statement(
        "SELECT EXISTS (SELECT FROM dbopt._matview_use u LEFT JOIN dbopt._matview_state s USING (matview) WHERE u.base = "
        "$1 AND s.snapshot IS NULL)", {OIDOID});
    static const auto *snapshots = new pg::statement(
        "SELECT DISTINCT s.snapshot FROM dbopt._matview_use u JOIN dbopt._matview_state s USING (matview) WHERE u.base = $1",
        {OIDOID});
    for (unsigned base : bases) {
        const Oid id = base;
        if (pg::count_pages(pg::capture_log(id)).blocks == 0)
            continue;
        const pg::result locked = lock->run({static_cast<int64_t>(static_cast<int32_t>(id))});
        if (!locked[0].get<bool>(0))
            continue;
        const pg::result unread = fresh->run({id});
        if (unread[0].get<bool>(0))
            continue;
        std::string seen;
        const pg::result all = snapshots->run({id});
        for (const pg::row &r : all)
            seen += (seen.empty() ? "" : " AND ") + std::string("pg_visible_in_snapshot(xid, '") +
                    r.get<std::string>(0) + "')";
        if (!seen.empty())
            pg::execute("DELETE FROM " + log_name(id) + " WHERE " + seen);
    }
}

// Past the limit the log is given up: whoever reads it starts with a full refresh.
static void limit_logs() {
    for (const pg::row &r : pg::query("SELECT base, log FROM dbopt._matview_base WHERE pg_relation_size(log) > $1",
                                      {config.log_limit_mb * 1048576LL})) {
        const Oid base = r.get<Oid>(0), log = r.get<Oid>(1);
        // A refresh under way has made up its mind about the log already: keep out of its way.
        bool busy = false;
        for (const pg::row &m : pg::query("SELECT matview FROM dbopt._matview_use WHERE base = $1", {base}))
            busy = busy || !pg::try_lock(m.get<Oid>(0), ShareUpdateExclusiveLock, 50);
        if (busy || !pg::try_lock(log, AccessExclusiveLock, 50))
            continue;
        prune_logs({base});
        const bool waiting = pg::scalar<bool>("SELECT EXISTS (SELECT FROM " + log_name(base) + ")").value_or(true);
        if (waiting)
            pg::execute("UPDATE dbopt._matview_state SET needs_full = 'more changes were waiting than "
                        "dbopt.matview_log_limit allows' WHERE matview IN (SELECT matview FROM dbopt._matview_use "
                        "WHERE base = $1)", {base});
        pg::execute("TRUNCATE " + log_name(base));
    }
}

// Managed matviews that a restore could only tell by name: see _matview_late in install.sql.
static void take_up_restored() {
    pg::execute("UPDATE dbopt._matview_late l SET name = format('%I.%I', n.nspname, c.relname) FROM "
                "dbopt.matview_config g JOIN pg_catalog.pg_class c ON c.oid = g.matview JOIN "
                "pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = l.matview AND "
                "l.name <> format('%I.%I', n.nspname, c.relname)");
    pg::execute("INSERT INTO dbopt.matview_config (matview, every, mode, max_staleness) SELECT c.oid, l.every, "
                "l.mode, l.max_staleness FROM dbopt._matview_late l JOIN pg_catalog.pg_class c ON c.oid = "
                "to_regclass(l.name) AND c.relkind = 'm' WHERE NOT EXISTS (SELECT FROM dbopt.matview_config g "
                "WHERE g.matview IN (l.matview, c.oid))");
    pg::execute("DELETE FROM dbopt._matview_late l WHERE NOT EXISTS (SELECT FROM dbopt.matview_config g "
                "WHERE g.matview = l.matview) AND to_regclass(l.name) IS NOT NULL");
}

void tidy() {
    take_up_restored();
    pg::execute("DELETE FROM dbopt._matview_refresh WHERE started < now() - make_interval(days => $1::int)",
                {static_cast<int64_t>(config.history_days)});
    for (const pg::row &r : pg::query("SELECT matview FROM dbopt._matview_state s WHERE NOT EXISTS (SELECT FROM "
                                      "pg_catalog.pg_class c WHERE c.oid = s.matview) UNION SELECT matview FROM "
                                      "dbopt._matview_use u WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class c "
                                      "WHERE c.oid = u.matview)")) {
        drop_states(r.get<Oid>(0));
        pg::execute("DELETE FROM dbopt._matview_state WHERE matview = $1", {r.get<Oid>(0)});
    }
    // One that is gone is remembered until every matview has been refreshed since it came: see came_and_went().
    pg::execute("DELETE FROM dbopt._matview_born n WHERE NOT EXISTS (SELECT FROM dbopt._matview_base b WHERE b.base = n.base) "
                "OR NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = n.relation) AND NOT EXISTS (SELECT FROM "
                "dbopt._matview_use u JOIN dbopt._matview_state s USING (matview) WHERE u.base = n.base AND s.snapshot IS NOT NULL "
                "AND (s.own_xid = n.born OR NOT pg_visible_in_snapshot(n.born, s.snapshot::pg_snapshot)))");
    pg::execute("DELETE FROM dbopt.matview_config g WHERE NOT EXISTS "
                "(SELECT FROM pg_catalog.pg_class c WHERE c.oid = g.matview)");
    release_unused();
    limit_logs();
}

void noticed_refresh(Oid matview, bool concurrent) {
    pg::mark_uncaptured(matview);
    if (own_refresh::active())
        return;
    const std::string name = pg::qualified_name(matview);
    const pg::as_owner writer(extension_owner());
    const int64_t known = pg::execute(
        "UPDATE dbopt._matview_state SET needs_full = 'it was refreshed by another command', last_refresh = now(), "
        "last_attempt = now(), last_mode = $2, last_status = 'done', last_reason = 'REFRESH MATERIALIZED VIEW', "
        "failures = 0 WHERE matview = $1", {matview, concurrent ? "concurrent" : "full"});
    if (known > 0)
        pg::execute("INSERT INTO dbopt._matview_refresh (matview, name, started, mode, status, duration_ms, reason) "
                    "VALUES ($1, $2, now(), $3, 'done', extract(epoch FROM clock_timestamp() - "
                    "statement_timestamp()) * 1000, 'REFRESH MATERIALIZED VIEW')",
                    {matview, name, concurrent ? "concurrent" : "full"});
}

} // namespace dbopt::matview
