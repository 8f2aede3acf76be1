// Sessions, transactions, locks: one read of the activity array serves most of them.
#include "monitor/checks.hpp"

namespace dbopt::monitor {

namespace {

constexpr check session_checks[] = {
    {"connections_used_pct", "%", {80, 90},
     "Use a connection pool (dbopt.pool_profile), end idle sessions, or raise max_connections.", 300},
    {"active_per_cpu", "sessions/cpu", {4, 10},
     "More sessions run than the machine has cores for: limit the pool size.", 300},
    {"idle_in_transaction", "sessions", {5, 20},
     "Commit sooner; set idle_in_transaction_session_timeout.", 60},
    {"idle_in_transaction_seconds", "s", {60, 300},
     "End it with SELECT pg_terminate_backend(pid); set idle_in_transaction_session_timeout."},
    {"longest_query_seconds", "s", {60, 300},
     "See dbopt.long_running_queries; SELECT pg_cancel_backend(pid) ends a query."},
    {"longest_transaction_seconds", "s", {300, 3600},
     "Long transactions keep dead rows alive: see dbopt.xmin_holders."},
    {"longest_autovacuum_seconds", "s", {3600, 21600},
     "Raise autovacuum_vacuum_cost_limit or maintenance_work_mem."},
    {"autovacuum_workers_pct", "%", {100, std::nullopt},
     "All autovacuum workers are busy: raise autovacuum_max_workers or its cost limit.", 900},
    {"xmin_age", "transactions", {5e6, 1e8},
     "See dbopt.xmin_holders for who keeps dead rows alive."},
    {"lwlock_waiters", "sessions", {10, 30},
     "Sessions wait inside the server: fewer concurrent sessions, see wait_event.", 60},
    {"io_waiters", "sessions", {10, 30},
     "Sessions wait for the disk: see dbopt.buffer_hit and dbopt.slow_queries.", 60},
    {"idle_sessions_old", "sessions", {50, std::nullopt},
     "Sessions idle for more than an hour: set the pool's idle timeout or idle_session_timeout.", 0,
     false},
    {"remote_without_ssl", "sessions", {1, std::nullopt},
     "Use hostssl in pg_hba.conf and sslmode=require in the clients."},
};

constexpr const char *session_sql = R"(
WITH a AS MATERIALIZED (
    SELECT s.pid, s.application_name AS app, s.state, s.wait_event_type AS waits, s.backend_type AS kind,
           s.ssl, s.client_addr, s.backend_xmin, s.backend_xid,
           extract(epoch FROM clock_timestamp() - s.xact_start)::float8 AS xact_s,
           extract(epoch FROM clock_timestamp() - s.query_start)::float8 AS query_s,
           extract(epoch FROM clock_timestamp() - s.state_change)::float8 AS state_s
    FROM pg_stat_get_activity(NULL) s WHERE s.pid <> pg_backend_pid()
), u AS (
    SELECT count(*) FILTER (WHERE kind = 'client backend') + 1 AS clients,
           count(*) FILTER (WHERE kind = 'client backend' AND state = 'active') AS active,
           count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS idle_tx,
           max(state_s) FILTER (WHERE state LIKE 'idle in transaction%') AS idle_tx_s,
           (array_agg(pid ORDER BY state_s DESC) FILTER (WHERE state LIKE 'idle in transaction%'))[1] AS idle_tx_pid,
           max(query_s) FILTER (WHERE kind = 'client backend' AND state = 'active' AND app <> 'pg_dump') AS query_s,
           (array_agg(pid ORDER BY query_s DESC) FILTER (WHERE kind = 'client backend' AND state = 'active'
                AND app <> 'pg_dump'))[1] AS query_pid,
           max(xact_s) FILTER (WHERE kind = 'client backend' AND app <> 'pg_dump') AS xact_s,
           (array_agg(pid ORDER BY xact_s DESC NULLS LAST) FILTER (WHERE kind = 'client backend'
                AND app <> 'pg_dump'))[1] AS xact_pid,
           max(xact_s) FILTER (WHERE kind = 'autovacuum worker') AS av_s,
           count(*) FILTER (WHERE kind = 'autovacuum worker') AS av,
           max(greatest(age(backend_xmin), age(backend_xid))) AS xmin_age,
           (array_agg(pid ORDER BY greatest(age(backend_xmin), age(backend_xid)) DESC NULLS LAST))[1] AS xmin_pid,
           count(*) FILTER (WHERE state = 'active' AND waits = 'LWLock') AS lw,
           count(*) FILTER (WHERE state = 'active' AND waits = 'IO') AS io,
           count(*) FILTER (WHERE state = 'idle' AND state_s > 3600) AS old_idle,
           count(*) FILTER (WHERE client_addr IS NOT NULL AND ssl IS NOT TRUE
                AND NOT client_addr <<= '127.0.0.0/8'::inet AND client_addr <> '::1'::inet) AS plain,
           count(*) FILTER (WHERE client_addr IS NOT NULL) AS remote
    FROM a
), l AS (
    SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
           - coalesce(current_setting('reserved_connections', true)::int, 0) AS usable,
           current_setting('autovacuum_max_workers')::int AS av_max
)
SELECT v.* FROM u, l, dbopt._machine() m, LATERAL (VALUES
  ('connections_used_pct', 100.0 * clients / greatest(usable, 1), format('%s of %s connections', clients, usable)),
  ('active_per_cpu', active::float8 / m.cpus, format('%s active sessions on %s cpus', active, m.cpus)),
  ('idle_in_transaction', idle_tx, format('%s sessions idle in a transaction', idle_tx)),
  ('idle_in_transaction_seconds', coalesce(idle_tx_s, 0), CASE WHEN idle_tx > 0 THEN format('longest: pid %s', idle_tx_pid) ELSE 'none' END),
  ('longest_query_seconds', coalesce(query_s, 0), CASE WHEN query_s IS NOT NULL THEN format('pid %s', query_pid) ELSE 'none' END),
  ('longest_transaction_seconds', coalesce(xact_s, 0), CASE WHEN xact_s IS NOT NULL THEN format('pid %s', xact_pid) ELSE 'none' END),
  ('longest_autovacuum_seconds', coalesce(av_s, 0), format('%s autovacuum workers', av)),
  ('autovacuum_workers_pct', 100.0 * av / greatest(av_max, 1), format('%s of %s workers', av, av_max)),
  ('xmin_age', coalesce(xmin_age, 0), CASE WHEN xmin_age IS NOT NULL THEN format('oldest snapshot: pid %s', xmin_pid) ELSE 'none' END),
  ('lwlock_waiters', lw, format('%s active sessions wait for internal locks', lw)),
  ('io_waiters', io, format('%s active sessions wait for the disk', io)),
  ('idle_sessions_old', old_idle, format('%s sessions idle for more than an hour', old_idle)),
  ('remote_without_ssl', plain, format('%s of %s sessions over the network are not encrypted', plain, remote))
) v(check_name, value, detail))";

constexpr const char *limit_sql = R"(
WITH used AS (SELECT usesysid, datid, count(*) AS n FROM pg_stat_get_activity(NULL)
              WHERE backend_type = 'client backend' GROUP BY 1, 2),
r AS (SELECT r.rolname AS name, 100.0 * sum(n) / greatest(r.rolconnlimit, 1) AS pct, sum(n) AS n, r.rolconnlimit AS lim
      FROM used JOIN pg_roles r ON r.oid = usesysid WHERE r.rolconnlimit >= 0 AND NOT r.rolsuper
      GROUP BY r.rolname, r.rolconnlimit ORDER BY 2 DESC LIMIT 1),
d AS (SELECT d.datname AS name, 100.0 * sum(n) / greatest(d.datconnlimit, 1) AS pct, sum(n) AS n, d.datconnlimit AS lim
      FROM used JOIN pg_database d ON d.oid = datid WHERE d.datconnlimit >= 0
      GROUP BY d.datname, d.datconnlimit ORDER BY 2 DESC LIMIT 1)
SELECT 'role_connections_pct', pct::float8, format('role %I: %s of %s', name, n, lim) FROM r
UNION ALL SELECT 'database_connections_pct', pct::float8, format('database %I: %s of %s', name, n, lim) FROM d)";

constexpr check limit_checks[] = {
    {"role_connections_pct", "%", {80, 90}, "ALTER ROLE ... CONNECTION LIMIT, or fewer sessions.", 300},
    {"database_connections_pct", "%", {80, 90},
     "ALTER DATABASE ... CONNECTION LIMIT, or fewer sessions.", 300},
};

constexpr check lock_checks[] = {
    {"blocked_sessions", "sessions", {3, 10},
     "See dbopt.blocking: end or commit the session at the root.", 30},
    {"longest_lock_wait_seconds", "s", {10, 60},
     "See dbopt.blocking; set lock_timeout for DDL."},
    {"blocking_depth", "sessions", {3, 6}, "See dbopt.blocking: the root of the chain is what to end."},
    {"lock_table_pct", "%", {70, 90},
     "Raise max_locks_per_transaction; touch fewer partitions per query."},
    {"prepared_transaction_seconds", "s", {300, 3600},
     "COMMIT PREPARED or ROLLBACK PREPARED: it holds locks and dead rows over restarts."},
};

// pg_blocking_pids is asked for waiters only: it takes every lock partition for a moment.
constexpr const char *lock_sql = R"(
WITH RECURSIVE k AS MATERIALIZED (SELECT pid, granted, waitstart, fastpath FROM pg_lock_status()),
w AS MATERIALIZED (SELECT pid, min(waitstart) AS since FROM k WHERE NOT granted GROUP BY pid),
e AS MATERIALIZED (SELECT DISTINCT w.pid, b FROM w, unnest(pg_blocking_pids(w.pid)) b),
chain(pid, depth) AS (
    SELECT DISTINCT b, 1 FROM e WHERE b NOT IN (SELECT pid FROM e)
    UNION SELECT e.pid, c.depth + 1 FROM chain c JOIN e ON e.b = c.pid WHERE c.depth < 50
), t AS (
    SELECT (SELECT count(*) FROM w)::float8 AS waiters,
           (SELECT extract(epoch FROM clock_timestamp() - min(since)) FROM w)::float8 AS wait_s,
           (SELECT max(depth) FROM chain)::float8 AS depth,
           (SELECT string_agg(DISTINCT CASE b WHEN 0 THEN 'a prepared transaction' ELSE 'pid ' || b END, ', ')
              FROM e WHERE b NOT IN (SELECT pid FROM e)) AS roots,
           (SELECT count(*) FROM k WHERE NOT fastpath) AS locks,
           current_setting('max_locks_per_transaction')::float8 * (current_setting('max_connections')::int
             + current_setting('max_prepared_transactions')::int) AS capacity
)
SELECT v.* FROM t, LATERAL (VALUES
  ('blocked_sessions', waiters, CASE WHEN waiters > 0 THEN 'root of the chain: ' || coalesce(roots, 'gone by now') ELSE 'none' END),
  ('longest_lock_wait_seconds', coalesce(wait_s, 0), 'longest wait for a lock'),
  ('blocking_depth', coalesce(depth, 0), 'sessions in the longest chain'),
  ('lock_table_pct', 100 * locks / capacity, format('%s of about %s locks', locks, capacity)),
  ('prepared_transaction_seconds', coalesce((SELECT extract(epoch FROM now() - min(p.prepared)) FROM pg_prepared_xact() p)::float8, 0),
   coalesce((SELECT 'oldest: ' || p.gid FROM pg_prepared_xact() p ORDER BY p.prepared LIMIT 1), 'none'))
) v(check_name, value, detail))";

constexpr probe probes[] = {
    {"sessions", tier::fast, true, nullptr, session_sql, nullptr, session_checks},
    {"limits", tier::fast, true, nullptr, limit_sql, nullptr, limit_checks},
    {"locks", tier::fast, true, nullptr, lock_sql, nullptr, lock_checks},
};

} // namespace

std::span<const probe> activity_probes() { return probes; }

} // namespace dbopt::monitor
