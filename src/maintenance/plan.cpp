// What would help: candidates from statistics, then measured.
#include "bloat/bloat.hpp"
#include "maintenance/measured.hpp"
#include "pg/inventory.hpp"
#include "pg/query.hpp"
#include "pg/settings.hpp"
#include "pg/transaction.hpp"
#include <cmath>

namespace dbopt::maintenance {

settings config;

void define_settings() {
    pg::define_real("dbopt.reindex_min_pct",
                    "Share of an index, in per cent, that REINDEX must give back to be planned.",
                    &config.reindex_min_pct, config.reindex_min_pct, 0, 100, pg::change::user);
    pg::define_int({.name = "dbopt.reindex_min_size",
                    .description = "How much REINDEX must give back to be planned.",
                    .variable = &config.reindex_min_kb, .value = config.reindex_min_kb, .low = 0,
                    .high = INT_MAX, .when = pg::change::user, .in = pg::unit::kb});
    pg::define_int({.name = "dbopt.old_transaction",
                    .description = "REINDEX CONCURRENTLY is not started while a transaction of this "
                                   "database is older than this.",
                    .variable = &config.old_transaction_s, .value = config.old_transaction_s,
                    .low = 1, .high = 86400, .when = pg::change::user, .in = pg::unit::s});
    pg::define_int({.name = "dbopt.maintenance_workers",
                    .description = "Relations that a maintenance_run works on at a time.",
                    .variable = &config.workers, .value = config.workers, .low = 1, .high = 8,
                    .when = pg::change::user});
    pg::define_real("dbopt.maintenance_cost_delay",
                    "vacuum_cost_delay, in milliseconds, of the VACUUM and ANALYZE of a maintenance_run.",
                    &config.cost_delay_ms, config.cost_delay_ms, 0, 100, pg::change::user);
    pg::define_int({.name = "dbopt.maintenance_lock_timeout",
                    .description = "lock_timeout of the VACUUM and ANALYZE of a maintenance_run.",
                    .variable = &config.lock_timeout_ms, .value = config.lock_timeout_ms, .low = 1,
                    .high = 60000, .when = pg::change::user, .in = pg::unit::ms});
    pg::define_int({.name = "dbopt.reindex_rest",
                    .description = "Pause of a maintenance_run after each REINDEX before the next, in per "
                                   "cent of the time it took.",
                    .variable = &config.reindex_rest_pct, .value = config.reindex_rest_pct, .low = 0,
                    .high = 1000, .when = pg::change::user});
    pg::define_int({.name = "dbopt.reindex_parallel_workers",
                    .description = "max_parallel_maintenance_workers of the REINDEX of a maintenance_run.",
                    .variable = &config.reindex_parallel, .value = config.reindex_parallel, .low = 0,
                    .high = 64, .when = pg::change::user});
    pg::define_int({.name = "dbopt.maintenance_keep",
                    .description = "Days that rows of dbopt.maintenance_runs are kept.",
                    .variable = &config.keep_days, .value = config.keep_days, .low = 1, .high = 36500,
                    .when = pg::change::user});
}

namespace {

// The oldest holder that matters to tables of this database, in words; empty when there is none.
std::string oldest_holder(double min_age_s, bool only_here = false) {
    const auto text = pg::scalar<std::string>(
        "SELECT pg_catalog.format('%s %s%s: %s', h.kind, h.holder,"
        " COALESCE(' (since ' || h.since::timestamptz(0) || ')', ''), h.advice)"
        " FROM dbopt.xmin_holders h"
        " WHERE h.scope <> 'system catalogs' AND (h.database IS NULL AND NOT $2"
        "   OR h.database = pg_catalog.current_database())"
        " AND COALESCE(h.age >= $1 * interval '1 second', true)"
        " ORDER BY h.xmin_age DESC LIMIT 1",
        {min_age_s, only_here});
    return text.value_or("");
}

std::string percent(double part, double whole) {
    char text[32];
    snprintf(text, sizeof text, "%.1f %%", whole > 0 ? 100 * part / whole : 0.0);
    return text;
}

} // namespace

bool confirm_dead(task &t) {
    const bloat::table_result m = bloat::measure_table(t.relation, {});
    if (!m.heap.skipped.empty()) {
        t.blocker = m.heap.skipped;
        return true;
    }
    const double dead = m.heap.dead.bytes + m.toast.dead.bytes;
    const double held = m.heap.held + m.toast.held;
    t.dead_bytes = static_cast<int64_t>(dead);
    t.dead_left = static_cast<int64_t>(held);
    // Pruning may have emptied the rows already; their index entries are left until VACUUM.
    const double pruned = m.heap.dead_pointers;
    const bool many_pruned = pruned > 0.01 * (m.heap.live_rows + pruned);
    if (dead < 0.005 * m.bytes() && !many_pruned)
        return false;
    t.reason += "; measured: " + percent(dead, m.bytes()) + " dead";
    t.gain = pg::format_bytes(static_cast<int64_t>(dead - held)) + " become reusable";
    if (many_pruned)
        t.gain += ", index entries of " + std::to_string(static_cast<int64_t>(pruned)) + " rows go";
    if (held > 0.9 * dead && !many_pruned) {
        t.blocker = oldest_holder(0);
        if (t.blocker.empty()) // gone meanwhile, or not visible to this role
            t.blocker = "a transaction that may still see the dead rows";
        t.blocker = "VACUUM would remove next to nothing: held by " + t.blocker;
    }
    return true;
}

namespace {

// Nothing: there is no gain in rebuilding it.
std::optional<task> reindex_task(Oid index, bool needed_only) {
    const bloat::index_result m = bloat::measure_index(index, {.max_error = 1});
    task t{.priority = 4, .relation = index, .action = "reindex"};
    t.command = "REINDEX INDEX CONCURRENTLY " + pg::qualified_name(index);
    const double size = 8192.0 * static_cast<double>(m.pages);
    if (!m.skipped.empty()) {
        t.blocker = m.skipped;
        t.reason = "not measured";
        return needed_only ? std::nullopt : std::optional(t);
    }
    const bloat::amount gain = m.reclaimable();
    const double low = size > 0 ? 100 * (gain.bytes - gain.half_width) / size : 0;
    if (needed_only && (low < config.reindex_min_pct || gain.bytes < config.reindex_min_kb * 1024.0))
        return std::nullopt;
    t.predicted_bytes = static_cast<int64_t>(m.rebuilt.bytes);
    t.reason = "measured: " + percent(gain.bytes, size) + " of " +
               pg::format_bytes(static_cast<int64_t>(size)) + " would be given back";
    t.gain = pg::format_bytes(std::max<int64_t>(0, static_cast<int64_t>(gain.bytes)));
    return t;
}

// Of a partitioned table or index: those of its leaves.
constexpr const char *indexes_sql = R"(
WITH RECURSIVE asked(oid) AS (
    SELECT u.oid FROM pg_catalog.unnest($1::oid[]) AS u(oid)
    UNION SELECT h.inhrelid FROM pg_catalog.pg_inherits h JOIN asked a ON h.inhparent = a.oid
    JOIN pg_catalog.pg_class p ON p.oid = a.oid AND p.relkind IN ('p', 'I'))
SELECT c.oid,
    n.nspname = 'pg_catalog' OR i.indrelid IN (SELECT s.reltoastrelid FROM pg_catalog.pg_class s
        WHERE s.relnamespace = 'pg_catalog'::pg_catalog.regnamespace)
        OR (n.nspname = 'pg_toast' AND NOT pg_catalog.has_schema_privilege('pg_toast', 'USAGE')), EXISTS (SELECT FROM pg_catalog.pg_constraint k
        WHERE k.conindid = c.oid AND k.contype = 'x')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
WHERE c.relkind = 'i' AND i.indisvalid AND c.relpersistence <> 't' AND n.nspname <> 'dbopt'
  AND (pg_catalog.cardinality($1::oid[]) = 0 OR c.oid IN (SELECT a.oid FROM asked a)
       OR i.indrelid IN (SELECT a.oid FROM asked a)))";

} // namespace


void add_reindexes(std::vector<task> &tasks, const std::vector<Oid> &of, bool needed_only,
                   int64_t measure_ms) {
    struct found {
        Oid index;
        bool system, exclusion;
        int64_t bytes;
    };
    std::vector<found> indexes;
    const std::vector<int64_t> oids(of.begin(), of.end());
    const auto sizes = bloat::stored_sizes();
    for (const pg::row &row : pg::query(indexes_sql, {oids})) {
        const auto size = sizes.find(row.get<Oid>(0));
        const int64_t bytes = size != sizes.end() ? size->second : 0;
        if (!needed_only || bytes >= config.reindex_min_kb * 1024LL)
            indexes.push_back({row.get<Oid>(0), row.get<bool>(1), row.get<bool>(2), bytes});
    }
    std::sort(indexes.begin(), indexes.end(), [](const found &a, const found &b) { return a.bytes > b.bytes; });
    const int64_t end = pg::clock().us + measure_ms * 1000;
    for (const found &f : indexes) {
        if (pg::clock().us > end)
            break;
        std::optional<task> t;
        if (pg::subtransaction([&] { t = reindex_task(f.index, needed_only); }) || !t)
            continue;
        if (f.system || f.exclusion) { // CONCURRENTLY is not possible: only advised
            const std::string cost = f.system ? "system index: locks the catalog while it runs"
                                              : "exclusion constraint: locks the table while it runs";
            t->command = "REINDEX INDEX " + pg::qualified_name(f.index);
            if (needed_only) {
                t->action = "advise";
                t->reason += "; " + cost;
            } else { // asked for by name
                t->blocker = cost + "; CONCURRENTLY is not possible: by hand, " + t->command;
            }
        }
        tasks.push_back(*t);
    }
}

namespace {

// Catalogs included: a bloated pg_attribute slows every session down.
constexpr const char *tables_sql = R"(
SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
  AND c.relnamespace <> 'dbopt'::pg_catalog.regnamespace)";

// pg_repack where it is installed and has a key to go by; CLUSTER where the table was clustered before; else
// VACUUM FULL. What it does to others comes with it.
struct rewrite {
    std::string command, cost;
};
constexpr const char *rewrite_sql = R"(
SELECT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'pg_repack')
    AND EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = $1 AND i.indisvalid AND i.indimmediate
        AND (i.indisprimary OR i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT EXISTS (
            SELECT FROM unnest(i.indkey) k JOIN pg_catalog.pg_attribute a ON a.attrelid = $1 AND a.attnum = k
            WHERE NOT a.attnotnull))),
    (SELECT c.relname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
     WHERE i.indrelid = $1 AND i.indisclustered AND i.indisvalid),
    pg_catalog.current_database())";

// A name may hold quotes, and someone is going to paste the command.
std::string shell_word(const std::string &text) {
    std::string out = "'";
    for (const char c : text)
        out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
}

rewrite how_to_rewrite(const pg::relation_info &table) {
    const std::string name = table.qualified();
    if (pg::is_catalog(table))
        return {"VACUUM (FULL, ANALYZE) " + name, "system catalog: sessions wait while it runs"};
    const pg::result found = pg::query(rewrite_sql, {table.oid});
    if (found[0].get<bool>(0))
        return {"pg_repack --no-order --table=" + shell_word(name) + " " + shell_word(found[0].get<std::string>(2)),
                "in the shell; locks the table only at its beginning and end"};
    if (!found[0].null(1))
        return {"CLUSTER " + name, "in the order of " + found[0].get<std::string>(1) +
                                       "; locks out readers and writers while it runs, pg_repack does not"};
    return {"VACUUM (FULL, ANALYZE) " + name,
            "locks out readers and writers while it runs, pg_repack does not"};
}

// Rewrites are only ever advised: they lock everybody out, or need an extension.
std::optional<task> rewrite_task(Oid table, double min_gain) {
    constexpr double worth_it = 40; // per cent, at least, with 95 % certainty
    const bloat::table_result m = bloat::try_table(table, {});
    const bloat::amount gain = m.reclaimable();
    if (!m.heap.skipped.empty() || gain.bytes < min_gain ||
        gain.bytes - gain.half_width < worth_it / 100 * m.bytes())
        return std::nullopt;
    const rewrite how = how_to_rewrite(pg::get_relation(table));
    return task{.priority = 6, .relation = table, .action = "advise", .command = how.command,
                .reason = "measured: " + percent(gain.bytes, m.bytes()) + " of " +
                          pg::format_bytes(static_cast<int64_t>(m.bytes())) + " would be given back; " + how.cost,
                .gain = pg::format_bytes(static_cast<int64_t>(gain.bytes))};
}

void add_rewrites(std::vector<task> &tasks, int64_t measure_ms) {
    constexpr int64_t min_bytes = 16 << 20;
    std::vector<std::pair<int64_t, Oid>> tables;
    const auto sizes = bloat::stored_sizes();
    for (const pg::row &row : pg::query(tables_sql, {})) {
        const auto size = sizes.find(row.get<Oid>(0));
        if (size != sizes.end() && size->second >= min_bytes)
            tables.emplace_back(-size->second, row.get<Oid>(0));
    }
    std::sort(tables.begin(), tables.end());
    const int64_t end = pg::clock().us + measure_ms * 1000;
    for (const auto &[size, table] : tables) {
        if (pg::clock().us > end)
            break;
        std::optional<task> t;
        if (!pg::subtransaction([&] { t = rewrite_task(table, min_bytes); }) && t)
            tasks.push_back(std::move(*t));
    }
}

} // namespace

std::vector<task> plan(int64_t measure_ms) {
    const pg::inventory_scope shared; // sizes are read once
    std::vector<task> tasks;
    std::vector<std::string> rules;
    for (const pg::row &r : pg::query("SELECT priority, relation::oid, action, command, reason,"
                                      " expected_gain, rule FROM dbopt._maintenance_candidates()")) {
        tasks.push_back({.priority = r.get<int32_t>(0), .relation = r.get<Oid>(1),
                         .action = r.get<std::string>(2), .command = r.get<std::string>(3),
                         .reason = r.get<std::string>(4), .gain = r.get_or<std::string>(5, "")});
        rules.push_back(r.get<std::string>(6));
    }
    std::vector<task> kept;
    for (size_t i = 0; i < tasks.size(); ++i) {
        bool keep = true;
        if (rules[i] == "dead") {
            if (pg::subtransaction([&] { keep = confirm_dead(tasks[i]); }))
                keep = false; // dropped meanwhile, or damaged: bloat_collect reports that
        } else if (rules[i] == "visibility") {
            const std::string holder = oldest_holder(60);
            if (!holder.empty())
                tasks[i].blocker = "pages cannot become all-visible: held by " + holder;
        } else if (rules[i] == "wraparound") {
            const std::string holder = oldest_holder(3600);
            if (!holder.empty())
                tasks[i].blocker = "ids cannot be frozen past " + holder;
        }
        if (keep)
            kept.push_back(std::move(tasks[i]));
    }
    add_reindexes(kept, {}, true, measure_ms);
    add_rewrites(kept, measure_ms / 3);
    std::stable_sort(kept.begin(), kept.end(),
                     [](const task &a, const task &b) { return a.priority < b.priority; });
    return kept;
}

} // namespace dbopt::maintenance
