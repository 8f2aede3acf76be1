// dbopt's other rooms, through their public views: what they manage must be in order. Where a view
// does not exist (yet) its checks are skipped.
#include "monitor/checks.hpp"

namespace dbopt::monitor {

namespace {

constexpr check workload_checks[] = {
    {"slow_statements", "statements", {10, 50},
     "See dbopt.slow_queries and SELECT * FROM dbopt.index_suggest().", 60},
    {"slow_statements_p95", "statements", {20, std::nullopt},
     "Fast on average, slow at times: see p95_ms in dbopt.slow_queries, and dbopt.blocking.", 60, false},
    {"mean_statement_ms", "ms", {100, 500}, "See dbopt.query_performance_monitor.", 60},
    {"n_plus_one_statements", "statements", {1, std::nullopt},
     "One row at a time, many times over: fetch in one statement (JOIN or = ANY).", 0, false},
};
constexpr const char *workload_sql = R"(
WITH w AS MATERIALIZED (SELECT query_id, calls, total_ms, total_ms / calls AS mean_ms, p95_ms, rows, role, calls_per_transaction AS per
    FROM dbopt._statement_window('1 hour') WHERE calls > 0),
t AS (SELECT sum(calls)::float8 AS calls, sum(total_ms) AS ms FROM w),
-- Not pg_dump's questions to the catalogs, and nothing that has no set-wise form (FETCH, SAVEPOINT).
n AS MATERIALIZED (SELECT s.* FROM (SELECT w.per, dbopt._statement_text(w.query_id, w.role) AS query FROM w
      WHERE w.per > 10 AND w.calls > 100 AND w.rows <= 20 * w.calls ORDER BY w.calls DESC LIMIT 50) s
      WHERE s.query ~* '^\s*(select|with|insert|update|delete|merge|values|table)\M' AND s.query !~ '\mpg_catalog\.'),
-- Each in a transaction of its own.
o AS (SELECT count(*) AS n FROM w, t WHERE w.calls > 10000 AND rows <= w.calls AND mean_ms < 2 AND w.calls > 0.2 * t.calls AND t.calls > 50000)
SELECT v.* FROM t, o, LATERAL (VALUES
  ('slow_statements', (SELECT count(*) FROM w WHERE mean_ms >= 500)::float8, 'statements with a mean of 500 ms or more in the last hour'),
  ('slow_statements_p95', (SELECT count(*) FROM w WHERE p95_ms >= 1000 AND mean_ms < 500)::float8, 'statements with p95 of 1000 ms or more in the last hour'),
  ('mean_statement_ms', CASE WHEN t.calls >= 1000 THEN t.ms / t.calls END, format('%s calls in the last hour', coalesce(t.calls, 0))),
  ('n_plus_one_statements', CASE WHEN EXISTS (SELECT FROM n) THEN (SELECT count(*) FROM n) ELSE o.n END::float8,
   coalesce((SELECT format('%s times per transaction: %s', round(n.per), left(regexp_replace(n.query, '\s+', ' ', 'g'), 120))
             FROM n ORDER BY n.per DESC LIMIT 1),
            CASE WHEN o.n > 0 THEN 'one statement makes up more than a fifth of all calls, one row each' ELSE 'none' END))
) v(check_name, value, detail))";

constexpr check matview_checks[] = {
    {"matview_staleness_hours", "h", {4, 24}, "SELECT * FROM dbopt.matview_refresh_all();", 60},
    {"matviews_stale", "matviews", {1, std::nullopt},
     "Older than their max_staleness: see dbopt.matview_recommendations.", 60},
    {"matviews_wrong", "matviews", {std::nullopt, 1},
     "A self-check found a difference; they are refreshed in full until dbopt.matview_manage() names their mode again.", 0,
     false},
};
constexpr const char *matview_sql = R"(
SELECT v.* FROM (
  SELECT coalesce(max(extract(epoch FROM staleness)) / 3600, 0)::float8 AS hours,
         coalesce((array_agg(matview::text ORDER BY staleness DESC NULLS LAST))[1], 'no managed materialized views') AS oldest
  FROM dbopt._matview_ages() WHERE managed) a, dbopt._matview_troubles() t,
LATERAL (VALUES
  ('matview_staleness_hours', hours, oldest),
  ('matviews_stale', cardinality(t.stale)::float8, coalesce(nullif(array_to_string(t.stale[1:5], ', '), ''), 'none')),
  ('matviews_wrong', cardinality(t.wrong)::float8, coalesce(nullif(array_to_string(t.wrong[1:5], ', '), ''), 'none'))
) v(check_name, value, detail))";

constexpr check partition_checks[] = {
    {"partition_problems", "problems", {1, std::nullopt}, "SELECT * FROM dbopt.partition_check();", 300},
};
constexpr check ahead_checks[] = {
    {"partitions_not_ahead", "sets", {1, std::nullopt},
     "SELECT * FROM dbopt.partition_maintain(); see last_problem in dbopt.partition_sets.", 300},
    {"partitions_none_ahead", "sets", {std::nullopt, 1},
     "Rows will soon find no partition: SELECT * FROM dbopt.partition_maintain();", 60},
};
// Sets by time only: how far ids have come is in the data. One that was managed just now has its time.
constexpr const char *ahead_sql = R"(
SELECT v.* FROM (
  SELECT count(*) FILTER (WHERE ahead < premake) AS few, count(*) FILTER (WHERE ahead = 0) AS none,
         (array_agg(parent::text ORDER BY ahead))[1] AS worst, min(ahead) AS least, count(*) AS n
  FROM dbopt.partition_sets WHERE time_encoding <> 'id' AND partitions > 0 AND premake > 0) p,
LATERAL (VALUES ('partitions_not_ahead', few::float8, CASE WHEN few > 0 THEN format('%s: %s ahead', worst, least) ELSE format('%s sets', n) END),
                ('partitions_none_ahead', none, CASE WHEN none > 0 THEN worst ELSE format('%s sets', n) END)
) v(check_name, value, detail))";

constexpr check expected_checks[] = {
    {"indexes_expected_missing", "indexes", {1, std::nullopt},
     "See dbopt.index_expected: problem says why it is not built.", 600},
};
constexpr const char *expected_sql = R"(
SELECT 'indexes_expected_missing', count(*)::float8,
       coalesce((array_agg(e.ddl || coalesce(' (' || e.problem || ')', '') ORDER BY e.since))[1], 'none')
FROM dbopt._index_expected_missing e)";
constexpr const char *partition_sql = R"(
SELECT 'partition_problems', count(*) FILTER (WHERE severity IN ('warning', 'critical', 'error'))::float8,
       coalesce((array_agg(parent::text || ': ' || problem) FILTER (WHERE severity IN ('warning', 'critical', 'error')))[1], 'none')
FROM dbopt.partition_check())";

constexpr check job_checks[] = {
    {"jobs_failing", "jobs", {1, 3}, "See dbopt.job_runs for the errors.", 0},
    {"breakers_open", "jobs", {1, 3}, "Repair the cause, then SELECT dbopt.job_reset(name).", 0},
    {"held_actions", "actions", {1, std::nullopt},
     "Was an old backup restored, the clock changed? See dbopt.holds; a call that names the object acts.", 0},
};
constexpr const char *job_sql = R"(
SELECT v.* FROM (SELECT array_agg(name) FILTER (WHERE consecutive_failures > 0) AS failing,
                        array_agg(name) FILTER (WHERE breaker = 'open') AS open FROM dbopt.jobs) j,
LATERAL (VALUES ('jobs_failing', coalesce(cardinality(failing), 0)::float8, coalesce(array_to_string(failing[1:5], ', '), 'none')),
                ('breakers_open', coalesce(cardinality(open), 0), coalesce(array_to_string(open[1:5], ', '), 'none')),
                ('held_actions', (SELECT count(*) FROM dbopt.holds), coalesce((SELECT min(format('%s of %s: %s', action,
                    object, reason)) FROM dbopt.holds), 'none'))
) v(check_name, value, detail))";

constexpr check queue_checks[] = {
    {"queued_runs_waiting_seconds", "s", {600, 3600},
     "Work waits for a worker: see dbopt.status() and dbopt.max_workers.", 60},
};
constexpr const char *queue_sql = R"(
SELECT 'queued_runs_waiting_seconds',
       coalesce(extract(epoch FROM now() - min(greatest(scheduled_at, not_before))), 0)::float8,
       format('%s runs queued', count(*))
FROM dbopt.run WHERE status = 'queued' AND coalesce(not_before, scheduled_at) <= now())";

constexpr check bloat_checks[] = {
    {"bloat_reclaimable_bytes", "bytes", {1073741824, std::nullopt},
     "SELECT * FROM dbopt.maintenance_plan();", 0, false},
};
constexpr const char *bloat_sql = R"(
SELECT 'bloat_reclaimable_bytes', coalesce(sum(reclaimable_bytes), 0)::float8,
       coalesce((array_agg(relation::text ORDER BY reclaimable_bytes DESC NULLS LAST))[1], 'nothing measured yet')
FROM dbopt.bloat)";

constexpr check pool_checks[] = {
    {"pool_used_pct", "%", {80, 90}, "See dbopt.pools and dbopt.pool_advice.", 300},
    {"pool_waiting", "clients", {1, 20}, "Clients wait for a connection: see dbopt.pool_advice.", 60},
    {"pools_unreachable", "pools", {std::nullopt, 1}, "See dbopt.pools: health and detail.", 60},
};
constexpr const char *pool_sql = R"(
SELECT v.* FROM (
  SELECT max(utilization_pct) AS pct, (array_agg(name ORDER BY utilization_pct DESC NULLS LAST))[1] AS worst,
         sum(waiting)::float8 AS waiting, count(*) AS n, count(*) FILTER (WHERE health = 'unreachable') AS down
  FROM dbopt._pool_states()) p,
LATERAL (VALUES ('pool_used_pct', pct, coalesce('fullest: ' || worst, 'no pools known: dbopt.pool_add')),
                ('pool_waiting', CASE WHEN n > 0 THEN coalesce(waiting, 0) END, format('%s pools', n)),
                ('pools_unreachable', CASE WHEN n > 0 THEN down END, format('%s pools', n))
) v(check_name, value, detail))";

// The result cache's own figures, where that room is installed.
constexpr check cache_checks[] = {
    {"cache_hit_pct", "%", {70, 60, true}, "Most lookups miss: longer times to live, or cache what is asked again.", 300},
};
constexpr const char *cache_sql = R"(
SELECT 'cache_hit_pct', (100.0 * sum(hits) / nullif(sum(hits + misses), 0))::float8, format('%s lookups', coalesce(sum(hits + misses), 0))
FROM dbopt.cache_statistics)";

constexpr check own_checks[] = {
    {"not_preloaded", "state", {1, std::nullopt},
     "Add dbopt to shared_preload_libraries and restart: no workers, no capture without it.", 0, false},
    {"workers_missing", "state", {1, std::nullopt},
     "See SELECT * FROM dbopt.status(); max_worker_processes may be full.", 60},
    {"shared_memory_bytes", "bytes", {67108864, std::nullopt}, "Lower dbopt.max_statements.", 0, false},
    {"history_bytes", "bytes", {1073741824, std::nullopt}, "Shorten dbopt.history_retention.", 0, false},
    {"history_age_minutes", "min", {60, 1440},
     "No snapshot lately: is the database worker alive? SELECT * FROM dbopt.status();", 0, false},
};
constexpr const char *own_sql = R"(
SELECT v.* FROM (SELECT dbopt._preloaded() AS preloaded, pg_is_in_recovery() AS standby,
    (SELECT count(*) FROM pg_stat_get_activity(NULL) a WHERE a.backend_type LIKE 'dbopt%') AS workers,
    (SELECT extract(epoch FROM now() - max(taken_at)) / 60 FROM dbopt.history)::float8 AS minutes) o,
LATERAL (VALUES
  ('not_preloaded', CASE WHEN preloaded THEN 0 ELSE 1 END::float8, CASE WHEN preloaded THEN 'preloaded' ELSE 'not in shared_preload_libraries' END),
  ('workers_missing', CASE WHEN preloaded AND NOT standby THEN CASE WHEN workers = 0 THEN 1 ELSE 0 END END, format('%s workers of dbopt', workers)),
  ('shared_memory_bytes', (SELECT coalesce(sum(allocated_size), 0) FROM pg_shmem_allocations WHERE name LIKE 'dbopt%')::float8, 'shared memory of dbopt'),
  ('history_bytes', (SELECT coalesce(sum(c.relpages), 0) * 8192 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE n.nspname = 'dbopt' AND c.relkind IN ('r', 'i') AND c.relname LIKE 'history%')::float8, 'tables dbopt.history...'),
  ('history_age_minutes', minutes, CASE WHEN minutes IS NULL THEN 'no snapshot yet' ELSE 'since the last snapshot' END)
) v(check_name, value, detail))";

constexpr probe probes[] = {
    {"dbopt", tier::normal, true, nullptr, own_sql, nullptr, own_checks},
    {"pools", tier::fast, true, nullptr, pool_sql, nullptr, pool_checks},
    {"cache", tier::fast, false, "dbopt.cache_statistics", cache_sql, nullptr, cache_checks},
    {"jobs", tier::normal, false, "dbopt.jobs", job_sql, nullptr, job_checks},
    {"queue", tier::normal, false, "dbopt.run", queue_sql, nullptr, queue_checks},
    {"workload", tier::normal, true, "dbopt.workload", workload_sql, nullptr, workload_checks},
    {"matviews", tier::normal, false, "dbopt._matview_state", matview_sql, nullptr, matview_checks},
    {"partitions", tier::deep, false, "dbopt.partition_sets", partition_sql, nullptr, partition_checks},
    {"partitions ahead", tier::normal, false, "dbopt.partition_sets", ahead_sql, nullptr, ahead_checks},
    {"expected indexes", tier::normal, false, "dbopt.index_expected", expected_sql, nullptr, expected_checks},
    {"bloat", tier::normal, false, "dbopt.bloat", bloat_sql, nullptr, bloat_checks},
};

} // namespace

std::span<const probe> room_probes() { return probes; }

} // namespace dbopt::monitor
