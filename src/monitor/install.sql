-- Health, views over the server's statistics, history. Everything here reads only, but for the
-- snapshot and the alert settings. No view opens a user's relation, so none waits for a lock.

CREATE TABLE dbopt.alert_setting (
    rule          text PRIMARY KEY,
    warn          float8,
    critical      float8,
    for_time      interval CHECK (for_time >= interval '0'),
    enabled       boolean,
    muted_until   timestamptz,
    mute_reason   text,
    changed_by    text NOT NULL DEFAULT SESSION_USER,
    changed_at    timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE dbopt.alert_setting IS
    'what alert_set and alert_mute changed; the rules themselves are in the view dbopt.alert_rules';
SELECT pg_catalog.pg_extension_config_dump('dbopt.alert_setting', '');
GRANT SELECT ON dbopt.alert_setting TO PUBLIC;

CREATE TABLE dbopt.history (
    taken_at   timestamptz PRIMARY KEY,
    values     float8[] NOT NULL,
    objects    bytea NOT NULL,
    statements bytea NOT NULL,
    latencies  bytea NOT NULL DEFAULT '',
    key_frame  boolean NOT NULL
);
CREATE INDEX history_key_frame ON dbopt.history (taken_at) WHERE key_frame;
COMMENT ON TABLE dbopt.history IS
    'snapshots: one row each, the values in the order of dbopt._points(); objects, statements and their histograms as differences to the row before. Read dbopt.history_points';

CREATE FUNCTION dbopt._checks(OUT check_name text, OUT unit text, OUT warn_at float8, OUT critical_at float8,
    OUT low_is_bad boolean, OUT for_seconds float8, OUT alerts boolean, OUT tier int, OUT advice text)
RETURNS SETOF record LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 110 AS 'MODULE_PATHNAME', 'dbopt_checks';
COMMENT ON FUNCTION dbopt._checks() IS 'internal: every health check with its default thresholds';

CREATE FUNCTION dbopt._machine(OUT cpus int, OUT memory_bytes bigint, OUT available_bytes bigint, OUT load1 float8)
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbopt_machine';
COMMENT ON FUNCTION dbopt._machine() IS 'internal: cpus, memory and load of the server''s machine';

CREATE FUNCTION dbopt._filesystems(OUT path text, OUT total_bytes bigint, OUT free_bytes bigint)
RETURNS SETOF record LANGUAGE c VOLATILE ROWS 2 AS 'MODULE_PATHNAME', 'dbopt_filesystems';
COMMENT ON FUNCTION dbopt._filesystems() IS 'internal: file systems of the data directory, WAL and tablespaces';

CREATE FUNCTION dbopt._folder_bytes(path text) RETURNS bigint
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'dbopt_folder_bytes';
COMMENT ON FUNCTION dbopt._folder_bytes(text) IS 'internal: bytes of the files in a folder of the data directory';

CREATE FUNCTION dbopt._database_bytes() RETURNS bigint
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbopt_database_bytes';
COMMENT ON FUNCTION dbopt._database_bytes() IS 'internal: bytes of this database''s folders in all tablespaces';

CREATE FUNCTION dbopt._relation_bytes(OUT relation oid, OUT kind "char", OUT owner_table oid,
    OUT main_bytes bigint, OUT bytes bigint)
RETURNS SETOF record LANGUAGE c VOLATILE ROWS 10000 AS 'MODULE_PATHNAME', 'dbopt_relation_bytes';
COMMENT ON FUNCTION dbopt._relation_bytes() IS
    'internal: sizes of all relations from the data folders, without a lock; owner_table is the table of an index or toast table';

CREATE FUNCTION dbopt._table_sizes(most int DEFAULT NULL, OUT relation oid, OUT kind text, OUT is_partition boolean, OUT estimated_rows bigint,
    OUT live_rows bigint, OUT dead_rows bigint, OUT seq_scans bigint, OUT written_rows bigint, OUT table_bytes bigint,
    OUT index_bytes bigint, OUT toast_bytes bigint, OUT total_bytes bigint, OUT of_all_pct float8)
RETURNS SETOF record LANGUAGE c VOLATILE ROWS 1000 AS 'MODULE_PATHNAME', 'dbopt_table_sizes';
COMMENT ON FUNCTION dbopt._table_sizes(int) IS
    'internal: tables and materialized views with the bytes of their indexes and toast tables, largest first';

CREATE FUNCTION dbopt._sequences(OUT sequence regclass, OUT last_value bigint, OUT end_value float8,
    OUT used_pct float8, OUT column_limited boolean)
RETURNS SETOF record LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbopt_sequences';
COMMENT ON FUNCTION dbopt._sequences() IS
    'internal: how far sequences are used up, also against an int2 or int4 column; locked ones are left out';

CREATE FUNCTION dbopt._preloaded() RETURNS boolean
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'dbopt_preloaded';
COMMENT ON FUNCTION dbopt._preloaded() IS 'internal: true when dbopt came through shared_preload_libraries';

CREATE FUNCTION dbopt._points(with_gauges boolean, OUT metric_id int, OUT name text, OUT kind text, OUT unit text, OUT help text, OUT value float8)
RETURNS SETOF record LANGUAGE c VOLATILE ROWS 40 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dbopt_points';
COMMENT ON FUNCTION dbopt._points(boolean) IS 'internal: the figures of a snapshot, measured now: counters, or gauges too; NULL gives their names alone';

REVOKE ALL ON FUNCTION dbopt._machine(), dbopt._filesystems(), dbopt._folder_bytes(text),
    dbopt._points(boolean), dbopt._database_bytes() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dbopt._machine(), dbopt._filesystems(), dbopt._folder_bytes(text),
    dbopt._points(boolean), dbopt._database_bytes() TO pg_monitor;

-- Counters since the youngest snapshot that is at least `span` old, else since the oldest one, else
-- (no snapshot yet) since the server began to count; a counter that went backwards was reset by
-- somebody, and what it shows now has come since. A rate is never extrapolated: in its first hour a
-- server shows as "per hour" what has come so far.
CREATE FUNCTION dbopt._window(span interval) RETURNS TABLE (name text, delta float8, per_hour float8, seconds float8)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    WITH base AS (
        SELECT h.taken_at, h.values FROM dbopt.history h
        ORDER BY (h.taken_at > now() - span), CASE WHEN h.taken_at <= now() - span THEN h.taken_at END DESC, h.taken_at
        LIMIT 1),
    s AS (SELECT extract(epoch FROM clock_timestamp() - coalesce((SELECT taken_at FROM base),
                 (SELECT stats_reset FROM pg_stat_database WHERE datname = current_database())))::float8 AS seconds),
    p AS (SELECT p.name, p.value, (SELECT b.values[p.metric_id] FROM base b) AS old FROM dbopt._points(false) p WHERE p.kind = 'counter'),
    d AS (SELECT p.name, CASE WHEN p.old <= p.value THEN p.value - p.old ELSE p.value END AS delta FROM p)
    SELECT d.name, d.delta, CASE WHEN s.seconds IS NOT NULL THEN 3600 * d.delta / greatest(s.seconds, 3600) END, s.seconds FROM d, s $$;
COMMENT ON FUNCTION dbopt._window(interval) IS 'internal: how the counters grew lately, from the history';

CREATE FUNCTION dbopt.health(min_status text DEFAULT 'ok', tier text DEFAULT 'normal',
    OUT check_name text, OUT status text, OUT value float8, OUT unit text, OUT warn_at float8,
    OUT critical_at float8, OUT detail text, OUT advice text)
RETURNS SETOF record LANGUAGE c VOLATILE ROWS 100
SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
AS 'MODULE_PATHNAME', 'dbopt_health';
COMMENT ON FUNCTION dbopt.health(text, text) IS
    'health checks, worst first; tier fast, normal or deep; status ok, skipped, error, warning or critical';

CREATE FUNCTION dbopt.health_summary(tier text DEFAULT 'fast', OUT status text, OUT critical int, OUT warning int,
    OUT error int, OUT skipped int, OUT ok int, OUT worst text, OUT duration_ms float8)
LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off
AS 'MODULE_PATHNAME', 'dbopt_health_summary';
COMMENT ON FUNCTION dbopt.health_summary(text) IS 'health in one row, for probes of load balancers and monitors';

-- ---- views ----

CREATE VIEW dbopt.long_running_queries AS
SELECT a.pid, a.datname AS database, a.usename AS role, a.application_name,
       CASE WHEN a.backend_type <> 'client backend' THEN a.backend_type
            WHEN a.application_name = 'pg_dump' THEN 'dump' ELSE 'client' END AS kind,
       a.state,
       (1000 * extract(epoch FROM pg_catalog.clock_timestamp() - a.query_start))::float8 AS query_ms,
       (1000 * extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start))::float8 AS transaction_ms,
       nullif(pg_catalog.concat_ws(':', a.wait_event_type, a.wait_event), '') AS waits_for,
       CASE WHEN a.wait_event_type = 'Lock' THEN pg_catalog.pg_blocking_pids(a.pid) END AS blocked_by,
       a.query_id, a.query,
       pg_catalog.format('SELECT pg_cancel_backend(%s)', a.pid) AS cancel_command
FROM pg_catalog.pg_stat_activity a
WHERE a.state IS DISTINCT FROM 'idle' AND a.pid <> pg_catalog.pg_backend_pid()
  AND a.backend_type <> 'walsender' AND a.backend_type NOT LIKE 'dbopt%'
  AND (a.xact_start IS NOT NULL OR a.state = 'active')
  AND pg_catalog.clock_timestamp() - coalesce(a.xact_start, a.query_start) > interval '5 seconds'
ORDER BY coalesce(a.xact_start, a.query_start);
COMMENT ON VIEW dbopt.long_running_queries IS
    'statements and transactions that have run for more than 5 seconds, oldest first; without walsenders and dbopt''s workers';

-- Each waiter with the root of its chain; prepared transactions block as pid 0.
CREATE FUNCTION dbopt._blocking(OUT root_pid int, OUT blocked_pid int, OUT blocked_by int[], OUT depth int)
RETURNS SETOF record LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE w AS MATERIALIZED (SELECT DISTINCT l.pid FROM pg_lock_status() l WHERE NOT l.granted),
    e AS MATERIALIZED (SELECT w.pid, pg_blocking_pids(w.pid) AS by FROM w),
    f AS MATERIALIZED (SELECT DISTINCT e.pid, b FROM e, unnest(e.by) b),
    c(root, pid, depth) AS (
        SELECT DISTINCT f.b, f.b, 0 FROM f WHERE f.b NOT IN (SELECT pid FROM f)
        UNION SELECT c.root, f.pid, c.depth + 1 FROM c JOIN f ON f.b = c.pid WHERE c.depth < 50)
    SELECT c.root, c.pid, e.by, max(c.depth) FROM c JOIN e ON e.pid = c.pid GROUP BY 1, 2, 3 $$;
COMMENT ON FUNCTION dbopt._blocking() IS 'internal: the waits-for graph from its roots, soft blocks included';

CREATE VIEW dbopt.blocking AS
SELECT b.root_pid, b.depth, b.blocked_pid, b.blocked_by,
       l.waits_on, l.mode,
       (1000 * extract(epoch FROM pg_catalog.clock_timestamp() - l.waitstart))::float8 AS waited_ms,
       v.usename AS blocked_role, v.application_name AS blocked_application, v.query AS blocked_query,
       r.usename AS root_role, r.application_name AS root_application,
       CASE WHEN b.root_pid = 0 THEN 'prepared transaction' ELSE r.state END AS root_state,
       (1000 * extract(epoch FROM pg_catalog.clock_timestamp() - r.xact_start))::float8 AS root_transaction_ms,
       r.query AS root_query,
       CASE WHEN b.root_pid = 0 THEN 'SELECT gid, prepared FROM pg_prepared_xacts'
            ELSE pg_catalog.format('SELECT pg_terminate_backend(%s)', b.root_pid) END AS end_command
FROM dbopt._blocking() b
LEFT JOIN pg_catalog.pg_stat_activity v ON v.pid = b.blocked_pid
LEFT JOIN pg_catalog.pg_stat_activity r ON r.pid = b.root_pid
LEFT JOIN LATERAL (
    SELECT k.waitstart, k.mode,
           CASE WHEN k.locktype IN ('relation', 'tuple', 'extend', 'page') AND k.database IN (0,
                     (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()))
                THEN k.locktype || ' ' || k.relation::regclass::text ELSE k.locktype END AS waits_on
    FROM pg_catalog.pg_locks k WHERE k.pid = b.blocked_pid AND NOT k.granted LIMIT 1) l ON true
ORDER BY b.root_pid, b.depth, b.blocked_pid;
COMMENT ON VIEW dbopt.blocking IS
    'who waits for whom: one row per waiter and root of its chain, with the command that ends the root';

CREATE VIEW dbopt.connections AS
SELECT a.datname AS database, a.usename AS role, a.application_name,
       count(*)::int AS total,
       count(*) FILTER (WHERE a.state = 'active')::int AS active,
       count(*) FILTER (WHERE a.state = 'idle')::int AS idle,
       count(*) FILTER (WHERE a.state LIKE 'idle in transaction%')::int AS idle_in_transaction,
       count(*) FILTER (WHERE a.wait_event_type = 'Lock')::int AS waiting,
       (1000 * max(extract(epoch FROM pg_catalog.clock_timestamp() - a.state_change))
           FILTER (WHERE a.state LIKE 'idle%'))::float8 AS longest_idle_ms,
       (1000 * max(extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)))::float8 AS oldest_transaction_ms,
       min(a.backend_start) AS oldest_session,
       100.0 * count(*) / (pg_catalog.current_setting('max_connections')::int
           - pg_catalog.current_setting('superuser_reserved_connections')::int
           - coalesce(pg_catalog.current_setting('reserved_connections', true)::int, 0))::float8 AS of_limit_pct
FROM pg_catalog.pg_stat_activity a
WHERE a.backend_type = 'client backend'
GROUP BY a.datname, a.usename, a.application_name
ORDER BY total DESC, 1, 2, 3;
COMMENT ON VIEW dbopt.connections IS 'client sessions by database, role and application, and their share of the limit';

CREATE VIEW dbopt.buffer_hit AS
SELECT 'database'::text AS kind, pg_catalog.quote_ident(d.datname::text) AS object, d.blks_hit AS hits, d.blks_read AS reads,
       100.0 * d.blks_hit / nullif(d.blks_hit + d.blks_read, 0)::float8 AS hit_pct
FROM pg_catalog.pg_stat_database d WHERE d.datname = pg_catalog.current_database()
UNION ALL
SELECT CASE c.relkind WHEN 'i' THEN 'index' WHEN 'm' THEN 'matview' WHEN 't' THEN 'toast' ELSE 'table' END,
       c.oid::regclass::text, b.hit, b.fetched - b.hit, 100.0 * b.hit / nullif(b.fetched, 0)::float8
FROM pg_catalog.pg_class c,
     LATERAL (SELECT pg_catalog.pg_stat_get_blocks_fetched(c.oid) AS fetched, pg_catalog.pg_stat_get_blocks_hit(c.oid) AS hit OFFSET 0) b
WHERE c.relkind IN ('r', 'm', 'i', 't') AND b.fetched > 0 AND c.oid >= 16384;
COMMENT ON VIEW dbopt.buffer_hit IS
    'blocks found in shared buffers against those asked of the operating system, since statistics began';

CREATE VIEW dbopt.table_size_monitor AS
SELECT s.relation::regclass AS relation, s.kind, s.table_bytes, s.index_bytes, s.toast_bytes, s.total_bytes,
       s.estimated_rows, s.live_rows, s.dead_rows, s.of_all_pct, s.is_partition
FROM dbopt._table_sizes() s ORDER BY s.total_bytes DESC;
COMMENT ON VIEW dbopt.table_size_monitor IS
    'exact sizes of tables with their indexes and toast tables, from the data folders: waits for no lock';

CREATE VIEW dbopt.replication AS
SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'standby (cascading)' ELSE 'primary' END AS this_server,
       'replica'::text AS kind, r.application_name AS name, r.client_addr::text AS address, r.state, r.sync_state,
       pg_catalog.pg_wal_lsn_diff(h.lsn, r.replay_lsn)::bigint AS lag_bytes,
       (1000 * extract(epoch FROM r.replay_lag))::float8 AS lag_ms,
       NULL::bigint AS retained_bytes, r.reply_time AS last_message, NULL::text AS detail
FROM pg_catalog.pg_stat_replication r,
     (SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn() ELSE pg_catalog.pg_current_wal_lsn() END AS lsn) h
UNION ALL
SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'standby' ELSE 'primary' END, s.slot_type || ' slot', s.slot_name::text, NULL,
       CASE WHEN s.active THEN 'active' ELSE 'inactive' END, NULL, NULL, NULL,
       pg_catalog.pg_wal_lsn_diff(h.lsn, s.restart_lsn)::bigint, NULL, 'WAL ' || coalesce(s.wal_status, 'not reserved')
FROM pg_catalog.pg_replication_slots s,
     (SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn() ELSE pg_catalog.pg_current_wal_lsn() END AS lsn) h
UNION ALL
SELECT 'standby', 'receiver', coalesce(w.slot_name, 'without slot'), w.sender_host || ':' || w.sender_port, coalesce(w.status, 'not connected'), NULL,
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())::bigint,
       CASE WHEN pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn() THEN 0
            ELSE 1000 * extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp()) END::float8,
       NULL, w.last_msg_receipt_time, NULL
FROM (SELECT) one LEFT JOIN pg_catalog.pg_stat_wal_receiver w ON true WHERE pg_catalog.pg_is_in_recovery();
COMMENT ON VIEW dbopt.replication IS 'replicas, slots and, on a standby, its receiver: lag in bytes and ms, WAL kept back';

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

CREATE FUNCTION dbopt._statement_window(span interval, OUT query_id bigint, OUT seconds float8, OUT calls bigint,
    OUT total_ms float8, OUT rows bigint, OUT mean_ms_before float8, OUT p50_ms float8, OUT p95_ms float8, OUT p99_ms float8,
    OUT p95_ms_before float8)
RETURNS SETOF record LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dbopt_statement_window';
COMMENT ON FUNCTION dbopt._statement_window(interval) IS 'internal: what statements did since the snapshot that long ago';

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
    'when disk, transaction ids, the fullest sequence and connections run out: days, with a 95 % interval; NULL: not on this course';

CREATE FUNCTION dbopt.table_growth(since interval DEFAULT '1 day', OUT relation regclass, OUT bytes bigint, OUT grown_bytes bigint,
    OUT inserted bigint, OUT updated bigint, OUT deleted bigint, OUT scans bigint, OUT rows_read bigint, OUT hit_pct float8, OUT over_seconds float8)
RETURNS SETOF record LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT w.relation::regclass, w.bytes, w.bytes - w.bytes_before, w.inserted, w.updated, w.deleted, w.scans, w.rows_read,
           100.0 * w.blocks_hit / nullif(w.blocks_fetched, 0)::float8, w.seconds
    FROM dbopt._object_window(since) w ORDER BY w.bytes - w.bytes_before DESC NULLS LAST, w.bytes DESC $$;
COMMENT ON FUNCTION dbopt.table_growth(interval) IS
    'what tables and indexes did since the snapshot that long ago (or the oldest): growth, writes, scans, cache hits';

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

CREATE FUNCTION dbopt._baseline_statements(name text, OUT query_id bigint, OUT calls_before bigint, OUT mean_ms_before float8,
    OUT p95_ms_before float8, OUT calls bigint, OUT mean_ms float8, OUT p95_ms float8)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dbopt_baseline_statements';
COMMENT ON FUNCTION dbopt._baseline_statements(text) IS 'internal: statements before and since a baseline';

-- Ratios before: from the snapshot a day before the baseline (or the beginning) up to it. After: since.
CREATE FUNCTION dbopt.baseline_compare(name text, OUT area text, OUT object text, OUT metric text, OUT before float8, OUT after float8,
    OUT change_pct float8, OUT verdict text)
RETURNS SETOF record LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    WITH statements AS MATERIALIZED (SELECT * FROM dbopt._baseline_statements(baseline_compare.name)),
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
    OUT of_all_pct float8, OUT mean_ms_before float8, OUT p95_ms_before float8, OUT over_seconds float8)
RETURNS SETOF record LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    WITH s AS MATERIALIZED (SELECT s.query_id, max(s.query) AS query FROM dbopt._statements() s GROUP BY 1)
    SELECT w.query_id, s.query, w.calls, w.total_ms, w.total_ms / w.calls, w.p50_ms, w.p95_ms, w.p99_ms, w.rows,
           100 * w.total_ms / nullif(sum(w.total_ms) OVER (), 0), w.mean_ms_before, w.p95_ms_before, w.seconds
    FROM dbopt._statement_window(since) w LEFT JOIN s USING (query_id) WHERE w.calls > 0 ORDER BY w.total_ms DESC $$;
COMMENT ON FUNCTION dbopt.slow_queries_since(interval) IS
    'statements of a time window, by total time: since the snapshot that long ago, with percentiles of the window and mean and p95 before it';

CREATE VIEW dbopt.slow_queries AS
SELECT s.query_id, s.role, s.query, s.calls, s.total_ms, s.mean_ms, s.p50_ms, s.p95_ms, s.p99_ms, s.rows,
       (100 * s.total_ms / nullif(sum(s.total_ms) OVER (), 0))::float8 AS of_all_pct
FROM dbopt._statements() s
WHERE greatest(s.mean_ms, s.p95_ms) >= (SELECT setting::float8 FROM pg_catalog.pg_settings WHERE name = 'dbopt.slow_query_threshold')
ORDER BY s.total_ms DESC;
COMMENT ON VIEW dbopt.slow_queries IS
    'statements whose mean or p95 reaches dbopt.slow_query_threshold (ms), by total time; time windows: slow_queries_since()';

CREATE VIEW dbopt.query_performance_monitor AS
SELECT s.query_id, s.role, s.query, s.calls, s.total_ms, s.mean_ms, s.p50_ms, s.p95_ms, s.p99_ms, s.rows,
       s.rows::float8 / nullif(s.calls, 0) AS rows_per_call,
       (100 * s.total_ms / nullif(sum(s.total_ms) OVER (), 0))::float8 AS of_all_pct,
       CASE WHEN s.mean_ms >= 1000 THEN 'critical' WHEN s.mean_ms >= 500 THEN 'slow'
            WHEN s.p95_ms >= 1000 THEN 'slow at times' WHEN s.mean_ms >= 100 THEN 'watch' ELSE 'fine' END AS verdict
FROM dbopt._statements() s ORDER BY s.total_ms DESC;
COMMENT ON VIEW dbopt.query_performance_monitor IS 'all captured statements with percentiles and a verdict (100, 500, 1000 ms)';

-- ---- alerts ----

CREATE TABLE dbopt.alert_state (
    rule          text PRIMARY KEY,
    level         text NOT NULL,
    since         float8 NOT NULL,
    pending       text NOT NULL,
    pending_since float8 NOT NULL,
    last_raised   text NOT NULL,
    ended_at      float8 NOT NULL,
    value         float8,
    detail        text
) WITH (fillfactor = 50);
COMMENT ON TABLE dbopt.alert_state IS 'where each rule stands, so that a restart changes nothing; times in seconds since 2000-01-01 UTC';
REVOKE ALL ON dbopt.alert_state FROM PUBLIC;

CREATE TABLE dbopt.alert_event (
    event_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    rule       text NOT NULL,
    from_level text NOT NULL,
    to_level   text NOT NULL,
    value      float8,
    unit       text,
    detail     text,
    advice     text,
    muted      boolean NOT NULL
);
CREATE INDEX alert_event_at ON dbopt.alert_event (at);
COMMENT ON TABLE dbopt.alert_event IS 'every change of an alert''s level; also sent as NOTIFY dbopt_alert (JSON) and to the log';
REVOKE ALL ON dbopt.alert_event FROM PUBLIC;

CREATE FUNCTION dbopt.alert_check(tier text DEFAULT 'normal', OUT rule text, OUT from_level text, OUT to_level text, OUT value float8,
    OUT detail text, OUT muted boolean)
RETURNS SETOF record LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off AS 'MODULE_PATHNAME', 'dbopt_alert_check';
COMMENT ON FUNCTION dbopt.alert_check(text) IS
    'one round of the alert rules; returns the changes, stores them, sends NOTIFY dbopt_alert. The worker does this every 10 seconds';

CREATE VIEW dbopt.alert_rules AS
SELECT c.check_name AS rule, c.unit, coalesce(s.warn, c.warn_at) AS warn, coalesce(s.critical, c.critical_at) AS critical, c.low_is_bad,
       coalesce(s.for_time, pg_catalog.make_interval(secs => c.for_seconds)) AS for_time, coalesce(s.enabled, c.alerts) AS enabled,
       CASE c.tier WHEN 0 THEN 'fast' WHEN 1 THEN 'normal' ELSE 'deep' END AS tier,
       s.muted_until, s.mute_reason, s.rule IS NOT NULL AS changed, c.advice
FROM dbopt._checks() c LEFT JOIN dbopt.alert_setting s ON s.rule = c.check_name;
COMMENT ON VIEW dbopt.alert_rules IS 'every rule with its thresholds as they apply now; change them with alert_set and alert_mute';

CREATE FUNCTION dbopt._require_rule(rule text) RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF rule IS NULL OR NOT EXISTS (SELECT FROM dbopt._checks() c WHERE c.check_name = rule) THEN
        RAISE undefined_object USING MESSAGE = format('alert rule "%s" does not exist', rule),
            HINT = coalesce('Did you mean "' || (SELECT c.check_name FROM dbopt._checks() c
                WHERE c.check_name LIKE '%' || replace(split_part(rule, '_', 1), '%', '') || '%' ORDER BY 1 LIMIT 1) || '"? ', '')
                || 'SELECT rule FROM dbopt.alert_rules lists them.';
    END IF;
END $$;
COMMENT ON FUNCTION dbopt._require_rule(text) IS 'internal: raises 42704 for an unknown rule';

CREATE FUNCTION dbopt.alert_set(rule text, warn float8 DEFAULT NULL, critical float8 DEFAULT NULL, for_time interval DEFAULT NULL,
    enabled boolean DEFAULT NULL) RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    c record;
BEGIN
    PERFORM dbopt._require_rule(alert_set.rule);
    SELECT r.low_is_bad, coalesce(alert_set.warn, r.warn) AS warn, coalesce(alert_set.critical, r.critical) AS critical
        INTO c FROM dbopt.alert_rules r WHERE r.rule = alert_set.rule;
    IF c.warn = 'NaN' OR c.critical = 'NaN' OR (CASE WHEN c.low_is_bad THEN c.warn < c.critical ELSE c.warn > c.critical END) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('thresholds of rule "%s" are in the wrong order: warn %s, critical %s', alert_set.rule, c.warn, c.critical),
            HINT = CASE WHEN c.low_is_bad THEN 'Low values are bad here: critical must be below warn.' ELSE 'critical must be above warn.' END;
    END IF;
    INSERT INTO dbopt.alert_setting AS s (rule, warn, critical, for_time, enabled)
    VALUES (alert_set.rule, alert_set.warn, alert_set.critical, alert_set.for_time, alert_set.enabled)
    ON CONFLICT (rule) DO UPDATE SET warn = coalesce(excluded.warn, s.warn), critical = coalesce(excluded.critical, s.critical),
        for_time = coalesce(excluded.for_time, s.for_time), enabled = coalesce(excluded.enabled, s.enabled),
        changed_by = SESSION_USER, changed_at = now();
    IF NOT alert_set.enabled THEN
        DELETE FROM dbopt.alert_state a WHERE a.rule = alert_set.rule;
    END IF;
END $$;
COMMENT ON FUNCTION dbopt.alert_set(text, float8, float8, interval, boolean) IS
    'changes a rule; what is NULL stays as it is. The thresholds apply to health() too';

CREATE FUNCTION dbopt.alert_reset(rule text) RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM dbopt._require_rule(alert_reset.rule);
    DELETE FROM dbopt.alert_setting s WHERE s.rule = alert_reset.rule;
END $$;
COMMENT ON FUNCTION dbopt.alert_reset(text) IS 'back to the rule''s defaults, unmuted';

CREATE FUNCTION dbopt.alert_mute(rule text, mute_until timestamptz, reason text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM dbopt._require_rule(alert_mute.rule);
    IF mute_until > now() AND coalesce(btrim(reason), '') = '' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'a mute needs a reason', HINT = 'Whoever finds it muted wants to know why.';
    END IF;
    INSERT INTO dbopt.alert_setting AS s (rule, muted_until, mute_reason) VALUES (alert_mute.rule, mute_until, reason)
    ON CONFLICT ON CONSTRAINT alert_setting_pkey DO UPDATE SET muted_until = excluded.muted_until, mute_reason = excluded.mute_reason,
        changed_by = SESSION_USER, changed_at = now();
END $$;
COMMENT ON FUNCTION dbopt.alert_mute(text, timestamptz, text) IS
    'no NOTIFY and no log line for this rule until then (its changes are still recorded); a time in the past unmutes';

CREATE VIEW dbopt.alerts AS
SELECT a.rule, a.level, timestamptz '2000-01-01 00:00:00+00' + pg_catalog.make_interval(secs => a.since) AS since,
       a.value, r.unit, r.warn, r.critical, a.detail, r.advice, r.muted_until > pg_catalog.now() AS muted, r.muted_until, r.mute_reason
FROM dbopt.alert_state a JOIN dbopt.alert_rules r USING (rule) WHERE a.level <> 'ok'
ORDER BY a.level = 'critical' DESC, a.since;
COMMENT ON VIEW dbopt.alerts IS 'alerts that are raised now; their past is in dbopt.alert_event';

REVOKE ALL ON FUNCTION dbopt.snapshot(), dbopt._object_window(interval, int), dbopt._statement_window(interval), dbopt.table_growth(interval),
    dbopt.baseline_save(text), dbopt._baseline_statements(text), dbopt.baseline_compare(text), dbopt.slow_queries_since(interval),
    dbopt._statements(), dbopt.alert_check(text), dbopt.alert_set(text, float8, float8, interval, boolean), dbopt.alert_reset(text),
    dbopt.alert_mute(text, timestamptz, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dbopt._object_window(interval, int), dbopt._statement_window(interval), dbopt.table_growth(interval),
    dbopt._baseline_statements(text), dbopt.baseline_compare(text), dbopt.slow_queries_since(interval), dbopt._statements() TO pg_monitor;
GRANT SELECT ON dbopt.history_points, dbopt.baseline, dbopt.slow_queries, dbopt.query_performance_monitor, dbopt.alert_state,
    dbopt.alert_event, dbopt.alert_rules, dbopt.alerts TO pg_monitor;
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

REVOKE ALL ON dbopt.history FROM PUBLIC;
GRANT SELECT ON dbopt.history, dbopt.long_running_queries, dbopt.blocking, dbopt.connections, dbopt.buffer_hit,
    dbopt.table_size_monitor, dbopt.replication, dbopt.growth_forecast TO pg_monitor;
