-- Bloat: measured, with error bounds. See doc/bloat.md.
CREATE FUNCTION dbopt.table_bloat(
    relation regclass, method text DEFAULT 'sample', max_error float8 DEFAULT 0.5,
    seed bigint DEFAULT NULL,
    OUT relation regclass, OUT method text, OUT pages bigint, OUT sampled_pages bigint,
    OUT live_pct float8, OUT dead_pct float8, OUT dead_pct_low float8, OUT dead_pct_high float8,
    OUT free_pct float8, OUT free_pct_low float8, OUT free_pct_high float8,
    OUT reclaimable_bytes bigint, OUT reclaimable_pct float8, OUT reclaimable_pct_low float8,
    OUT reclaimable_pct_high float8, OUT duration_ms float8, OUT held_pct float8,
    OUT running_pct float8, OUT toast_bytes bigint, OUT toast_reclaimable_bytes bigint,
    OUT status text, OUT detail text)
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbopt_table_bloat';
COMMENT ON FUNCTION dbopt.table_bloat(regclass, text, float8, bigint) IS
'measured bloat of a table, materialized view or partition tree; dead_pct and free_pct as in pgstattuple, reclaimable (TOAST included) is what VACUUM FULL would give back';

CREATE FUNCTION dbopt.index_bloat(
    index regclass, method text DEFAULT 'sample', max_error float8 DEFAULT 1,
    seed bigint DEFAULT NULL,
    OUT index regclass, OUT access_method text, OUT method text, OUT pages bigint,
    OUT sampled_pages bigint, OUT density_pct float8, OUT rebuilt_pages bigint,
    OUT reclaimable_bytes bigint, OUT reclaimable_pct float8, OUT reclaimable_pct_low float8,
    OUT reclaimable_pct_high float8, OUT duration_ms float8, OUT status text, OUT detail text)
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbopt_index_bloat';
COMMENT ON FUNCTION dbopt.index_bloat(regclass, text, float8, bigint) IS
'measured bloat of an index; reclaimable is what REINDEX would give back';

CREATE TABLE dbopt._bloat_history (
    measured_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    relid oid NOT NULL,
    kind text NOT NULL,
    size_bytes bigint NOT NULL,
    reclaimable_bytes bigint NOT NULL,
    reclaimable_pct float8 NOT NULL,
    reclaimable_pct_low float8 NOT NULL,
    reclaimable_pct_high float8 NOT NULL,
    dead_pct float8 NOT NULL,
    held_pct float8 NOT NULL);
CREATE INDEX ON dbopt._bloat_history (relid, measured_at);
COMMENT ON TABLE dbopt._bloat_history IS 'what bloat_collect measured; read it through dbopt.bloat_history';

CREATE FUNCTION dbopt.bloat_collect(
    max_duration interval DEFAULT '1 minute', min_bytes bigint DEFAULT 1048576,
    keep interval DEFAULT '90 days',
    OUT relation regclass, OUT kind text, OUT reclaimable_bytes bigint, OUT reclaimable_pct float8,
    OUT status text, OUT detail text)
RETURNS SETOF record LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbopt_bloat_collect';
COMMENT ON FUNCTION dbopt.bloat_collect(interval, bigint, interval) IS
'measures tables and indexes of this database, largest first, within max_duration, and stores the result';
REVOKE ALL ON FUNCTION dbopt.bloat_collect(interval, bigint, interval) FROM PUBLIC;

-- What the default job calls: one transaction per relation. No SET clause: it commits.
CREATE PROCEDURE dbopt.bloat_collect_run(
    max_duration interval DEFAULT '1 minute', min_bytes bigint DEFAULT 1048576,
    keep interval DEFAULT '90 days')
LANGUAGE c AS 'MODULE_PATHNAME', 'dbopt_bloat_collect_run';
COMMENT ON PROCEDURE dbopt.bloat_collect_run(interval, bigint, interval) IS
'bloat_collect() that commits after each relation: holds no snapshot longer than one measurement takes';
REVOKE ALL ON PROCEDURE dbopt.bloat_collect_run(interval, bigint, interval) FROM PUBLIC;

CREATE VIEW dbopt.bloat_history AS
SELECT h.measured_at, h.relid::regclass AS relation, h.kind, h.size_bytes, h.reclaimable_bytes,
    round(h.reclaimable_pct::numeric, 2)::float8 AS reclaimable_pct,
    round(h.reclaimable_pct_low::numeric, 2)::float8 AS reclaimable_pct_low,
    round(h.reclaimable_pct_high::numeric, 2)::float8 AS reclaimable_pct_high,
    round(h.dead_pct::numeric, 2)::float8 AS dead_pct,
    round(h.held_pct::numeric, 2)::float8 AS held_pct
FROM dbopt._bloat_history h;
COMMENT ON VIEW dbopt.bloat_history IS 'every measurement that bloat_collect stored';

CREATE VIEW dbopt.bloat AS
SELECT l.relation, l.kind, l.size_bytes, l.reclaimable_bytes, l.reclaimable_pct,
    l.reclaimable_pct_low, l.reclaimable_pct_high, l.dead_pct, l.held_pct, l.measured_at,
    l.size_bytes - w.size_bytes AS growth_bytes,
    l.reclaimable_bytes - w.reclaimable_bytes AS reclaimable_growth_bytes,
    l.measured_at - w.measured_at AS growth_over
FROM (SELECT DISTINCT ON (h.relation) h.* FROM dbopt.bloat_history h
      ORDER BY h.relation, h.measured_at DESC) l
LEFT JOIN LATERAL (SELECT h.* FROM dbopt.bloat_history h
      WHERE h.relation = l.relation AND h.measured_at < l.measured_at
        AND h.measured_at >= l.measured_at - interval '7 days'
      ORDER BY h.measured_at LIMIT 1) w ON true
WHERE EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = l.relation);
COMMENT ON VIEW dbopt.bloat IS
'latest measurement of each relation, and its growth within the last 7 days before it';
GRANT SELECT ON dbopt.bloat, dbopt.bloat_history TO pg_monitor;
