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
