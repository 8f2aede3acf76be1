-- ---- history ----

CREATE FUNCTION dbopt.snapshot() RETURNS timestamptz LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
AS 'MODULE_PATHNAME', 'dbopt_snapshot';
COMMENT ON FUNCTION dbopt.snapshot() IS
    'stores a point of history and removes what is older than dbopt.history_retention days; NULL on a standby or when one is being taken';

CREATE VIEW dbopt.history_points AS
SELECT h.taken_at, p.name, p.kind, p.unit, v.value
FROM dbopt.history h CROSS JOIN LATERAL unnest(h.values) WITH ORDINALITY v(value, metric_id)
JOIN (SELECT metric_id, name, kind, unit FROM dbopt._points(NULL)) p USING (metric_id);
COMMENT ON VIEW dbopt.history_points IS 'the history as rows: one figure at one time; counters are since the server began to count';

CREATE FUNCTION dbopt._object_window(span interval, most int DEFAULT NULL, OUT relation oid, OUT seconds float8, OUT bytes bigint, OUT bytes_before bigint,
    OUT live_rows bigint, OUT dead_rows bigint, OUT scans bigint, OUT rows_read bigint, OUT inserted bigint,
    OUT updated bigint, OUT deleted bigint, OUT blocks_fetched bigint, OUT blocks_hit bigint)
RETURNS SETOF record LANGUAGE c VOLATILE ROWS 1000 SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dbopt_object_window';
COMMENT ON FUNCTION dbopt._object_window(interval, int) IS 'internal: what tables and indexes did since the snapshot that long ago; those that grew most, if `most` is given';

CREATE FUNCTION dbopt._statement_window(span interval, or_life boolean DEFAULT false, OUT query_id bigint, OUT role oid, OUT seconds float8, OUT calls bigint,
    OUT total_ms float8, OUT rows bigint, OUT mean_ms_before float8, OUT p50_ms float8, OUT p95_ms float8, OUT p99_ms float8,
    OUT p95_ms_before float8, OUT calls_per_transaction float8)
RETURNS SETOF record LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dbopt_statement_window';
COMMENT ON FUNCTION dbopt._statement_window(interval, boolean) IS 'internal: what statements of each role did since the snapshot that long ago';

CREATE FUNCTION dbopt._forecast(times float8[], figures float8[], bound float8, OUT per_day float8, OUT days_left float8,
    OUT days_left_low float8, OUT days_left_high float8, OUT points int)
LANGUAGE c IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'dbopt_forecast';
COMMENT ON FUNCTION dbopt._forecast(float8[], float8[], float8) IS
    'internal: a robust line (Theil-Sen) through a series and when it reaches the bound, with a 95 % interval';

CREATE VIEW dbopt.growth_forecast AS
WITH p AS MATERIALIZED (SELECT metric_id, name FROM dbopt._points(NULL)),
s AS (SELECT p.name, array_agg(extract(epoch FROM h.taken_at)::float8 ORDER BY h.taken_at) AS times,
             array_agg(h.values[p.metric_id] ORDER BY h.taken_at) AS figures
      FROM dbopt.history h JOIN p ON p.name IN ('disk_free_bytes', 'disk_total_bytes', 'database_bytes', 'xid_age', 'connections', 'connections_limit', 'sequence_used_pct')
      WHERE h.values[p.metric_id] IS NOT NULL GROUP BY p.name),
n(subject, name, bound) AS (
    SELECT * FROM (VALUES ('disk', 'disk_free_bytes', 0::float8), ('transaction ids', 'xid_age', 2146483648),
        ('fullest sequence (%)', 'sequence_used_pct', 100)) v
    UNION ALL SELECT 'connections', 'connections', (SELECT figures[cardinality(figures)] FROM s WHERE s.name = 'connections_limit')
    UNION ALL SELECT 'database size', 'database_bytes',
        (SELECT d.figures[cardinality(d.figures)] + f.figures[cardinality(f.figures)] FROM s d, s f WHERE d.name = 'database_bytes' AND f.name = 'disk_free_bytes'))
SELECT n.subject, s.figures[cardinality(s.figures)] AS current_value, n.bound AS limit_value, f.per_day, f.days_left,
       f.days_left_low, f.days_left_high, f.points
FROM n JOIN s USING (name), LATERAL dbopt._forecast(s.times, s.figures, n.bound) f;
COMMENT ON VIEW dbopt.growth_forecast IS
    'when disk, transaction ids, the fullest sequence and connections run out: days, with a 95 % interval; NULL: not on this course, or less than a day of history';

CREATE FUNCTION dbopt.table_growth(since interval DEFAULT '1 day', OUT relation regclass, OUT bytes bigint, OUT grown_bytes bigint,
    OUT inserted bigint, OUT updated bigint, OUT deleted bigint, OUT scans bigint, OUT rows_read bigint, OUT hit_pct float8, OUT over_seconds float8)
RETURNS SETOF record LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT w.relation::regclass, w.bytes, w.bytes - w.bytes_before, w.inserted, w.updated, w.deleted, w.scans, w.rows_read,
           100.0 * w.blocks_hit / nullif(w.blocks_fetched, 0)::float8, w.seconds
    FROM dbopt._object_window(since) w ORDER BY w.bytes - w.bytes_before DESC NULLS LAST, w.bytes DESC $$;
COMMENT ON FUNCTION dbopt.table_growth(interval) IS
    'what tables and indexes did since the snapshot that long ago (or the oldest): growth, writes, scans, cache hits';

CREATE FUNCTION dbopt.buffer_hit_since(since interval DEFAULT '1 hour', OUT kind text, OUT object text, OUT hits bigint, OUT reads bigint,
    OUT hit_pct float8, OUT over_seconds float8)
RETURNS SETOF record LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'database', quote_ident(current_database()), max(w.delta) FILTER (WHERE w.name = 'blks_hit')::bigint,
           max(w.delta) FILTER (WHERE w.name = 'blks_read')::bigint,
           100 * max(w.delta) FILTER (WHERE w.name = 'blks_hit') / nullif(sum(w.delta) FILTER (WHERE w.name IN ('blks_hit', 'blks_read')), 0),
           max(w.seconds)
    FROM dbopt._window(since) w
    UNION ALL
    SELECT CASE c.relkind WHEN 'i' THEN 'index' WHEN 'm' THEN 'matview' ELSE 'table' END, c.oid::regclass::text, w.blocks_hit,
           w.blocks_fetched - w.blocks_hit, 100.0 * w.blocks_hit / nullif(w.blocks_fetched, 0)::float8, w.seconds
    FROM dbopt._object_window(since) w JOIN pg_class c ON c.oid = w.relation WHERE w.blocks_fetched > 0 $$;
COMMENT ON FUNCTION dbopt.buffer_hit_since(interval) IS
    'cache hits of the database, tables and indexes since the snapshot that long ago (or the oldest)';

CREATE TABLE dbopt.baseline (
    name       text PRIMARY KEY CHECK (name <> ''),
    saved_at   timestamptz NOT NULL DEFAULT pg_catalog.now(),
    values     float8[] NOT NULL,
    objects    bytea NOT NULL,
    statements bytea NOT NULL,
    latencies  bytea NOT NULL DEFAULT ''
);
COMMENT ON TABLE dbopt.baseline IS 'states to compare with: baseline_save, baseline_compare';
REVOKE ALL ON dbopt.baseline FROM PUBLIC;

CREATE FUNCTION dbopt.baseline_save(name text) RETURNS void LANGUAGE c VOLATILE STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off AS 'MODULE_PATHNAME', 'dbopt_baseline_save';
COMMENT ON FUNCTION dbopt.baseline_save(text) IS 'keeps the present as a baseline; an existing one of that name is replaced';

CREATE FUNCTION dbopt._baseline_statements(name text, OUT query_id bigint, OUT role oid, OUT calls_before bigint, OUT mean_ms_before float8,
    OUT p95_ms_before float8, OUT calls bigint, OUT mean_ms float8, OUT p95_ms float8)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dbopt_baseline_statements';
COMMENT ON FUNCTION dbopt._baseline_statements(text) IS 'internal: statements before and since a baseline';

-- Ratios before: from the snapshot a day before the baseline (or the beginning) up to it. After: since.
CREATE FUNCTION dbopt.baseline_compare(name text, OUT area text, OUT object text, OUT metric text, OUT before float8, OUT after float8,
    OUT change_pct float8, OUT verdict text)
RETURNS SETOF record LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    WITH statements AS MATERIALIZED ( -- of all roles together
        SELECT query_id, sum(calls_before) AS calls_before, sum(calls) AS calls, max(p95_ms_before) AS p95_ms_before, max(p95_ms) AS p95_ms,
               sum(mean_ms_before * calls_before) / nullif(sum(calls_before), 0)::float8 AS mean_ms_before, sum(mean_ms * calls) / sum(calls)::float8 AS mean_ms
        FROM dbopt._baseline_statements(baseline_compare.name) GROUP BY query_id),
    b AS (SELECT b.saved_at, b.values, (SELECT h.values FROM dbopt.history h WHERE h.taken_at <= b.saved_at - interval '1 day'
              ORDER BY h.taken_at DESC LIMIT 1) AS earlier FROM dbopt.baseline b WHERE b.name = baseline_compare.name),
    p AS (SELECT p.name, CASE WHEN p.value >= b.values[p.metric_id] THEN p.value - b.values[p.metric_id] ELSE p.value END AS now_,
                 CASE WHEN b.values[p.metric_id] >= b.earlier[p.metric_id] THEN b.values[p.metric_id] - b.earlier[p.metric_id]
                      ELSE b.values[p.metric_id] END AS was
          FROM b, dbopt._points(false) p WHERE p.kind = 'counter'),
    m AS (SELECT max(now_) FILTER (WHERE p.name = 'blks_hit') AS h1, max(now_) FILTER (WHERE p.name = 'blks_read') AS r1,
                 max(was) FILTER (WHERE p.name = 'blks_hit') AS h0, max(was) FILTER (WHERE p.name = 'blks_read') AS r0,
                 max(now_) FILTER (WHERE p.name = 'xact_commit') AS c1, max(now_) FILTER (WHERE p.name = 'xact_rollback') AS b1,
                 max(was) FILTER (WHERE p.name = 'xact_commit') AS c0, max(was) FILTER (WHERE p.name = 'xact_rollback') AS b0,
                 max(now_) FILTER (WHERE p.name = 'temp_bytes') AS t1, max(was) FILTER (WHERE p.name = 'temp_bytes') AS t0,
                 max(now_) FILTER (WHERE p.name = 'active_time_seconds') AS a1, max(was) FILTER (WHERE p.name = 'active_time_seconds') AS a0,
                 max(now_) FILTER (WHERE p.name = 'wal_bytes') AS w1, max(was) FILTER (WHERE p.name = 'wal_bytes') AS w0 FROM p),
    r AS (SELECT 'database' AS area, current_database()::text AS object, v.metric, v.before, v.after, v.low_is_bad, v.enough FROM m, LATERAL (VALUES
            ('buffer_hit_pct', 100 * h0 / nullif(h0 + r0, 0), 100 * h1 / nullif(h1 + r1, 0), true, h1 + r1 >= 10000),
            ('rollback_pct', 100 * b0 / nullif(b0 + c0, 0), 100 * b1 / nullif(b1 + c1, 0), false, b1 + c1 >= 100),
            ('temp_bytes_per_transaction', t0 / nullif(c0 + b0, 0), t1 / nullif(c1 + b1, 0), false, b1 + c1 >= 100),
            ('active_ms_per_transaction', 1000 * a0 / nullif(c0 + b0, 0), 1000 * a1 / nullif(c1 + b1, 0), false, b1 + c1 >= 100),
            ('wal_bytes_per_transaction', w0 / nullif(c0 + b0, 0), w1 / nullif(c1 + b1, 0), false, b1 + c1 >= 100)
          ) v(metric, before, after, low_is_bad, enough)
          UNION ALL SELECT 'statement', s.query_id::text, v.metric, v.before, v.after, false, s.calls >= 10 AND s.calls_before >= 10
          FROM statements s, LATERAL (VALUES ('mean_ms', s.mean_ms_before, s.mean_ms), ('p95_ms', s.p95_ms_before, s.p95_ms)) v(metric, before, after))
    SELECT r.area, r.object, r.metric, r.before, r.after, 100 * (r.after - r.before) / nullif(abs(r.before), 0),
           CASE WHEN NOT r.enough OR r.before IS NULL OR r.after IS NULL THEN 'too little data'
                WHEN (CASE WHEN r.low_is_bad THEN r.before - r.after ELSE r.after - r.before END) > 0.25 * abs(r.before) THEN 'worse'
                WHEN (CASE WHEN r.low_is_bad THEN r.after - r.before ELSE r.before - r.after END) > 0.2 * abs(r.before) THEN 'better'
                ELSE 'same' END AS verdict
    FROM r ORDER BY array_position(ARRAY['worse', 'better', 'same', 'too little data'], CASE WHEN NOT r.enough OR r.before IS NULL OR r.after IS NULL THEN 'too little data'
                WHEN (CASE WHEN r.low_is_bad THEN r.before - r.after ELSE r.after - r.before END) > 0.25 * abs(r.before) THEN 'worse'
                WHEN (CASE WHEN r.low_is_bad THEN r.after - r.before ELSE r.before - r.after END) > 0.2 * abs(r.before) THEN 'better'
                ELSE 'same' END), abs(r.after - r.before) DESC NULLS LAST $$;
COMMENT ON FUNCTION dbopt.baseline_compare(text) IS
    'what became worse since the baseline, worst first: ratios of the database, mean and p95 of each statement';

-- ---- statements ----
-- The capture room's view may be missing (an older library, a partial install): then these are empty.
CREATE FUNCTION dbopt._statements(OUT query_id bigint, OUT role text, OUT query text, OUT calls bigint, OUT total_ms float8, OUT mean_ms float8,
    OUT p50_ms float8, OUT p95_ms float8, OUT p99_ms float8, OUT rows bigint)
RETURNS SETOF record LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF to_regclass('dbopt.workload') IS NOT NULL THEN
        RETURN QUERY EXECUTE 'SELECT w.query_id::bigint, w.role::text, w.query::text, w.calls::bigint, w.total_ms::float8, w.mean_ms::float8,
            w.p50_ms::float8, w.p95_ms::float8, w.p99_ms::float8, w.rows::bigint FROM dbopt.workload w';
    END IF;
END $$;
COMMENT ON FUNCTION dbopt._statements() IS 'internal: the captured workload, or nothing where it is not captured';

CREATE FUNCTION dbopt.slow_queries_since(since interval DEFAULT '1 hour', OUT query_id bigint, OUT query text, OUT calls bigint,
    OUT total_ms float8, OUT mean_ms float8, OUT p50_ms float8, OUT p95_ms float8, OUT p99_ms float8, OUT rows bigint,
    OUT of_all_pct float8, OUT mean_ms_before float8, OUT p95_ms_before float8, OUT over_seconds float8, OUT role text)
RETURNS SETOF record LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT w.query_id, dbopt._statement_text(w.query_id, w.role), w.calls, w.total_ms, w.total_ms / w.calls, w.p50_ms, w.p95_ms, w.p99_ms, w.rows,
           100 * w.total_ms / nullif(w.all_ms, 0), w.mean_ms_before, w.p95_ms_before, w.seconds, pg_get_userbyid(w.role)
    FROM (SELECT *, sum(total_ms) OVER () AS all_ms FROM dbopt._statement_window(since)) w ORDER BY w.total_ms DESC $$;
COMMENT ON FUNCTION dbopt.slow_queries_since(interval) IS
    'statements of a time window by role, by total time: since the snapshot that long ago, with percentiles of the window and mean and p95 before it';

CREATE VIEW dbopt.slow_queries AS
SELECT w.query_id, pg_catalog.pg_get_userbyid(w.role)::text COLLATE pg_catalog."default" AS role, dbopt._statement_text(w.query_id, w.role) AS query, w.calls, w.total_ms,
       w.total_ms / w.calls AS mean_ms, w.p50_ms, w.p95_ms, w.p99_ms, w.rows, (100 * w.total_ms / nullif(w.all_ms, 0))::float8 AS of_all_pct,
       w.mean_ms_before, w.p95_ms_before, w.seconds AS over_seconds
FROM (SELECT *, sum(total_ms) OVER () AS all_ms FROM dbopt._statement_window(NULL, true)) w
WHERE greatest(w.total_ms / w.calls, w.p95_ms) >= (SELECT setting::float8 FROM pg_catalog.pg_settings WHERE name = 'dbopt.slow_query_threshold')
ORDER BY w.total_ms DESC;
COMMENT ON VIEW dbopt.slow_queries IS
    'statements whose mean or p95 of the last dbopt.slow_query_window reached dbopt.slow_query_threshold (ms), by total time; over_seconds NULL: the history does not reach back that far, these are all calls. Other windows: slow_queries_since()';

CREATE VIEW dbopt.query_performance_monitor AS
SELECT s.query_id, s.role, s.query, s.calls, s.total_ms, s.mean_ms, s.p50_ms, s.p95_ms, s.p99_ms, s.rows,
       s.rows::float8 / nullif(s.calls, 0) AS rows_per_call,
       (100 * s.total_ms / nullif(sum(s.total_ms) OVER (), 0))::float8 AS of_all_pct,
       CASE WHEN s.mean_ms >= 1000 THEN 'critical' WHEN s.mean_ms >= 500 THEN 'slow'
            WHEN s.p95_ms >= 1000 THEN 'slow at times' WHEN s.mean_ms >= 100 THEN 'watch' ELSE 'fine' END AS verdict
FROM dbopt._statements() s ORDER BY s.total_ms DESC;
COMMENT ON VIEW dbopt.query_performance_monitor IS 'all captured statements with percentiles and a verdict (100, 500, 1000 ms)';

REVOKE ALL ON FUNCTION dbopt.snapshot(), dbopt._object_window(interval, int), dbopt._statement_window(interval, boolean),
    dbopt.table_growth(interval), dbopt.buffer_hit_since(interval), dbopt.baseline_save(text), dbopt._baseline_statements(text),
    dbopt.baseline_compare(text), dbopt.slow_queries_since(interval), dbopt._statements() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dbopt._object_window(interval, int), dbopt._statement_window(interval, boolean), dbopt.table_growth(interval),
    dbopt.buffer_hit_since(interval), dbopt._baseline_statements(text), dbopt.baseline_compare(text), dbopt.slow_queries_since(interval),
    dbopt._statements() TO pg_monitor;
GRANT SELECT ON dbopt.history_points, dbopt.growth_forecast, dbopt.baseline, dbopt.slow_queries, dbopt.query_performance_monitor
    TO pg_monitor;
