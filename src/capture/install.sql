-- The observed workload.
CREATE FUNCTION dbopt._workload() RETURNS TABLE (query_id bigint, role_id oid, query text, calls bigint,
    total_ms float8, mean_ms float8, p50_ms float8, p95_ms float8, p99_ms float8, min_ms float8,
    max_ms float8, rows bigint, plans bigint, plan_ms float8, errors bigint, transactions bigint,
    blocks_hit bigint, blocks_read bigint, blocks_written bigint, temp_blocks bigint, samples bigint,
    toplevel boolean, utility boolean, first_seen timestamptz, last_seen timestamptz, key bigint)
LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'dbopt_workload';
COMMENT ON FUNCTION dbopt._workload IS 'statements of this database in the workload table';

CREATE VIEW dbopt.workload AS
SELECT query_id, COALESCE(pg_catalog.pg_get_userbyid(role_id), role_id::text::name) AS role, query, calls,
    total_ms, mean_ms, p50_ms, p95_ms, p99_ms, rows, plan_ms, samples, min_ms, max_ms, plans, errors,
    transactions, round((calls::numeric / greatest(transactions, 1)), 1)::float8 AS calls_per_transaction,
    blocks_hit, blocks_read, blocks_written, temp_blocks, toplevel, utility, first_seen, last_seen
FROM dbopt._workload();
COMMENT ON VIEW dbopt.workload IS
'what every statement of this database cost since the last reset; literals are shown as ?; texts of other roles need pg_read_all_stats';
GRANT SELECT ON dbopt.workload TO PUBLIC;

CREATE FUNCTION dbopt._workload_state(OUT available boolean, OUT since timestamptz, OUT evicted bigint,
    OUT without_text bigint)
LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'dbopt_workload_state';
COMMENT ON FUNCTION dbopt._workload_state IS
'whether statements are observed (needs preload), since when, how many gave way to others, and how many have no text';

CREATE FUNCTION dbopt.workload_reset() RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dbopt_workload_reset';
COMMENT ON FUNCTION dbopt.workload_reset IS 'forgets the observed statements of this database; returns how many';
REVOKE ALL ON FUNCTION dbopt.workload_reset() FROM PUBLIC;

CREATE FUNCTION dbopt._statement_text(query_id bigint, role oid) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'dbopt_statement_text';
COMMENT ON FUNCTION dbopt._statement_text IS
'internal: the text of an observed statement with its literals shown as ?; NULL where it is not known';

CREATE FUNCTION dbopt._redacted(query text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbopt_redacted';
COMMENT ON FUNCTION dbopt._redacted IS 'the text with its literals shown as ? and without comments';
