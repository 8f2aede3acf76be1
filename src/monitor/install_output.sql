-- ---- what leaves the server ----

CREATE FUNCTION dbopt._metrics(OUT metric text, OUT pairs text[], OUT value float8, OUT type text, OUT help text)
RETURNS SETOF record LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off AS 'MODULE_PATHNAME', 'dbopt_metrics';
COMMENT ON FUNCTION dbopt._metrics() IS 'internal: metrics with their labels as an array of names and values';

CREATE FUNCTION dbopt.metrics(OUT metric text, OUT labels jsonb, OUT value float8, OUT type text, OUT help text)
RETURNS SETOF record LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT metric, jsonb_object(pairs), value, type, help FROM dbopt._metrics() $$;
COMMENT ON FUNCTION dbopt.metrics() IS 'every measurement as rows; tables and statements: the 50 largest and "other"';

CREATE FUNCTION dbopt.prometheus() RETURNS text LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off AS 'MODULE_PATHNAME', 'dbopt_prometheus';
COMMENT ON FUNCTION dbopt.prometheus() IS 'the metrics in the Prometheus text format';

CREATE FUNCTION dbopt.report(since interval DEFAULT '1 day') RETURNS text LANGUAGE c VOLATILE STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off AS 'MODULE_PATHNAME', 'dbopt_report';
COMMENT ON FUNCTION dbopt.report(interval) IS
    'one self-contained HTML page: what is wrong, advice, trends, statements, tables, indexes, jobs, pools. psql -XAtc "SELECT dbopt.report()" -o report.html';

-- Reasons in words, computed from the machine and the load. Only what differs enough to matter.
CREATE VIEW dbopt.settings_advice AS
WITH m AS MATERIALIZED (SELECT cpus, memory_bytes FROM dbopt._machine()),
s AS (SELECT name, setting, unit, context, CASE unit WHEN '8kB' THEN 8192 WHEN 'kB' THEN 1024 WHEN 'MB' THEN 1048576 ELSE 1 END * CASE WHEN vartype IN ('integer', 'real') THEN setting::float8 END AS amount
      FROM pg_catalog.pg_settings),
w AS (SELECT max(per_hour) FILTER (WHERE name = 'temp_bytes') AS temp, max(per_hour) FILTER (WHERE name = 'checkpoints_requested') AS req,
             max(per_hour) FILTER (WHERE name = 'checkpoints_timed') AS timed FROM dbopt._window('1 day')),
a(setting, better, why, differs) AS (
    SELECT v.* FROM m, w, LATERAL (VALUES
        ('shared_buffers', least(memory_bytes / 4, 17179869184)::float8, 'a quarter of the memory of ' || pg_catalog.pg_size_pretty(memory_bytes), 0.5),
        ('effective_cache_size', memory_bytes * 0.7, 'shared buffers and the page cache together: the planner trusts indexes more', 0.5),
        ('maintenance_work_mem', greatest(67108864, least(memory_bytes / 16, 1073741824))::float8, 'VACUUM and index builds in one pass', 0.5),
        ('work_mem', CASE WHEN w.temp > 1073741824 THEN greatest(8388608, least(memory_bytes / 4 / (SELECT setting::int FROM s WHERE name = 'max_connections'), 67108864))::float8 END,
            'statements spill ' || pg_catalog.pg_size_pretty(w.temp::bigint) || ' per hour to temporary files', 0.8),
        ('max_wal_size', CASE WHEN w.req > w.timed AND w.req >= 1 THEN 2 * (SELECT amount FROM s WHERE name = 'max_wal_size') END,
            'more checkpoints come from WAL volume than from time', 0.9),
        ('max_parallel_workers', CASE WHEN cpus > 8 THEN cpus::float8 END, cpus || ' cpus', 0.8),
        ('random_page_cost', 1.1::float8, 'right for SSD and cached data; keep 4 for spinning disks', 0.5),
        ('effective_io_concurrency', 200::float8, 'SSDs answer many requests at once', 0.5),
        ('checkpoint_completion_target', 0.9::float8, 'spreads the writes of a checkpoint', 0.95),
        ('idle_in_transaction_session_timeout', CASE WHEN pg_catalog.current_setting('idle_in_transaction_session_timeout') = '0' THEN 600000::float8 END, 'a forgotten transaction holds locks and dead rows for ever', 0),
        ('autovacuum_vacuum_cost_limit', CASE WHEN cpus >= 4 THEN 2000::float8 END, 'autovacuum keeps up with modern disks', 0.5)
    ) v(setting, better, why, differs)),
f(setting, value, why) AS (VALUES
    ('track_io_timing', 'on', 'shows whether time goes to the disk; the clock is cheap here'),
    ('wal_compression', 'on', 'fewer bytes to write and to replicate'),
    ('log_lock_waits', 'on', 'waits of more than a second are told in the log'),
    ('password_encryption', 'scram-sha-256', 'md5 is broken'),
    ('enable_partition_pruning', 'on', 'without it every partition is read'),
    ('autovacuum', 'on', 'without it tables grow and transaction ids run out'),
    ('jit', 'off', 'compiling costs more than it gives for short statements; switch it on for analytics')),
r AS (
    SELECT a.setting, pg_catalog.current_setting(a.setting) AS current_value, CASE
             WHEN s.unit IN ('8kB', 'kB', 'MB') THEN pg_catalog.ceil(a.better / 1048576)::bigint || 'MB'
             WHEN s.unit = 'ms' THEN (a.better / 60000)::int || 'min' ELSE a.better::text END AS suggested_value, a.why AS reason, s.context
    FROM a JOIN s ON s.name = a.setting
    WHERE a.better IS NOT NULL AND NOT (s.amount BETWEEN a.better * a.differs AND a.better / nullif(a.differs, 0)) AND s.amount IS DISTINCT FROM a.better
    UNION ALL
    SELECT f.setting, pg_catalog.current_setting(f.setting), f.value, f.why, s.context FROM f JOIN s ON s.name = f.setting
    WHERE pg_catalog.current_setting(f.setting) IS DISTINCT FROM f.value
      AND NOT (f.setting = 'wal_compression' AND pg_catalog.current_setting('wal_compression') <> 'off'))
SELECT r.setting, r.current_value, r.suggested_value, r.reason,
       pg_catalog.format('ALTER SYSTEM SET %I = %L', r.setting, r.suggested_value) AS command, r.context = 'postmaster' AS needs_restart
FROM r;
COMMENT ON VIEW dbopt.settings_advice IS 'settings worth changing on this machine and under this load, with the reason and the command';

REVOKE ALL ON FUNCTION dbopt._metrics(), dbopt.metrics(), dbopt.prometheus(), dbopt.report(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dbopt._metrics(), dbopt.metrics(), dbopt.prometheus(), dbopt.report(interval) TO pg_monitor;
GRANT SELECT ON dbopt.settings_advice TO pg_monitor;
