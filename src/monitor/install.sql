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
    taken_at   timestamptz NOT NULL PRIMARY KEY,
    values     float8[] NOT NULL,
    objects    bytea NOT NULL,
    statements bytea NOT NULL,
    latencies  bytea NOT NULL DEFAULT '',
    key_frame  boolean NOT NULL
) PARTITION BY RANGE (taken_at);
CREATE INDEX history_key_frame ON dbopt.history (taken_at) WHERE key_frame;
COMMENT ON TABLE dbopt.history IS
    'snapshots: one row each, the values in the order of dbopt._points(); objects, statements and their histograms as differences to the row before. Read dbopt.history_points. A partition per week';

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

CREATE FUNCTION dbopt._window(span interval, OUT name text, OUT delta float8, OUT per_hour float8, OUT seconds float8)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT ROWS 23 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dbopt_window';
COMMENT ON FUNCTION dbopt._window(interval) IS 'internal: how the counters grew lately, from the history';

CREATE FUNCTION dbopt._history_partition(at timestamptz) RETURNS boolean
LANGUAGE c VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dbopt_history_partition';
COMMENT ON FUNCTION dbopt._history_partition(timestamptz) IS 'internal: makes the partition of dbopt.history for this time; false if it is there';
REVOKE ALL ON FUNCTION dbopt._history_partition(timestamptz) FROM PUBLIC;

CREATE FUNCTION dbopt._matview_ages(OUT matview regclass, OUT managed boolean, OUT mode text, OUT last_refresh timestamptz, OUT staleness interval)
RETURNS SETOF record LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.oid::regclass, g.matview IS NOT NULL, g.mode, s.last_refresh, clock_timestamp() - s.last_refresh
    FROM pg_class c LEFT JOIN dbopt.matview_config g ON g.matview::oid = c.oid LEFT JOIN dbopt._matview_state s ON s.matview = c.oid
    WHERE c.relkind = 'm' $$;
COMMENT ON FUNCTION dbopt._matview_ages() IS 'internal: when materialized views were refreshed, from dbopt''s own tables: waits for no lock';
REVOKE ALL ON FUNCTION dbopt._matview_ages() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dbopt._matview_ages() TO pg_monitor;

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

REVOKE ALL ON dbopt.history FROM PUBLIC;
GRANT SELECT ON dbopt.history, dbopt.long_running_queries, dbopt.blocking, dbopt.connections, dbopt.buffer_hit,
    dbopt.table_size_monitor, dbopt.replication TO pg_monitor;
