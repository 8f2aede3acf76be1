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
    taken_at timestamptz PRIMARY KEY,
    values   float8[] NOT NULL
);
COMMENT ON TABLE dbopt.history IS
    'snapshots: one row each, the values in the order of dbopt._points(); read dbopt.history_points';

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
COMMENT ON FUNCTION dbopt._points(boolean) IS 'internal: the figures of a snapshot, measured now';

REVOKE ALL ON FUNCTION dbopt._machine(), dbopt._filesystems(), dbopt._folder_bytes(text),
    dbopt._points(boolean), dbopt._database_bytes() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dbopt._machine(), dbopt._filesystems(), dbopt._folder_bytes(text),
    dbopt._points(boolean), dbopt._database_bytes() TO pg_monitor;

-- Counters since the youngest snapshot that is at least `span` old, else since the oldest one, else
-- (no snapshot yet) since the server began to count; a counter that went backwards was reset by
-- somebody, and what it shows now has come since.
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
    SELECT d.name, d.delta, CASE WHEN s.seconds >= 60 THEN 3600 * d.delta / s.seconds END, s.seconds FROM d, s $$;
COMMENT ON FUNCTION dbopt._window(interval) IS 'internal: how the counters grew lately, from the history';

CREATE FUNCTION dbopt._pool_states(OUT name text, OUT kind text, OUT used int, OUT free int, OUT waiting int,
    OUT max_size int, OUT utilization_pct float8, OUT health text, OUT detail text)
RETURNS SETOF record LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT NULL::text, NULL::text, NULL::int, NULL::int, NULL::int, NULL::int, NULL::float8, NULL::text, NULL::text WHERE false $$;

COMMENT ON FUNCTION dbopt._pool_states() IS 'internal: pools as they are now';

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
WITH s AS MATERIALIZED (SELECT b.owner_table, sum(b.bytes) FILTER (WHERE b.kind IN ('r', 'm') AND b.relation = b.owner_table)::bigint AS table_bytes,
               sum(b.bytes) FILTER (WHERE b.kind = 'i')::bigint AS index_bytes,
               sum(b.bytes) FILTER (WHERE b.kind = 't')::bigint AS toast_bytes,
               sum(b.bytes)::bigint AS total_bytes
        FROM dbopt._relation_bytes() b GROUP BY 1)
SELECT c.oid::regclass AS relation, CASE c.relkind WHEN 'm' THEN 'matview' ELSE 'table' END AS kind,
       s.table_bytes, coalesce(s.index_bytes, 0) AS index_bytes, coalesce(s.toast_bytes, 0) AS toast_bytes,
       s.total_bytes, nullif(c.reltuples, -1)::bigint AS estimated_rows,
       pg_catalog.pg_stat_get_live_tuples(c.oid) AS live_rows, pg_catalog.pg_stat_get_dead_tuples(c.oid) AS dead_rows,
       100.0 * s.total_bytes / nullif(sum(s.total_bytes) OVER (), 0)::float8 AS of_all_pct,
       c.relispartition AS is_partition
FROM s JOIN pg_catalog.pg_class c ON c.oid = s.owner_table
WHERE c.oid >= 16384 AND c.relkind IN ('r', 'm')
ORDER BY s.total_bytes DESC;
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

CREATE VIEW dbopt.growth_forecast AS
SELECT NULL::text AS subject, NULL::float8 AS current_value, NULL::float8 AS limit_value, NULL::float8 AS per_day,
       NULL::float8 AS days_left, NULL::float8 AS days_left_low, NULL::float8 AS days_left_high, NULL::int AS points WHERE false;
COMMENT ON VIEW dbopt.growth_forecast IS 'when disk, transaction ids, sequences and connections run out, with an interval';

REVOKE ALL ON dbopt.history FROM PUBLIC;
GRANT SELECT ON dbopt.history, dbopt.long_running_queries, dbopt.blocking, dbopt.connections, dbopt.buffer_hit,
    dbopt.table_size_monitor, dbopt.replication, dbopt.growth_forecast TO pg_monitor;
