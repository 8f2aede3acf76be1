-- Indexes: advice, what-if and size.
CREATE FUNCTION dbopt.index_suggest(
    queries text[] = NULL, weights float8[] = NULL, budget_bytes bigint = NULL,
    max_indexes int = NULL, max_width int = 3, methods text[] = '{btree,gin,brin,hash}',
    time_limit interval = '30 s')
RETURNS TABLE (rank int, relation regclass, ddl text, size_bytes bigint, build_ms float8,
    cost_before float8, cost_after float8, benefit_pct float8, write_cost_pct float8,
    query_ids bigint[], reason text)
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dbopt_index_suggest';
COMMENT ON FUNCTION dbopt.index_suggest IS
'the best new indexes for the queries (NULL: the observed workload) within a budget; nothing is created';

CREATE FUNCTION dbopt.index_whatif(query text, ddl text[],
    OUT cost_before float8, OUT cost_after float8, OUT used text[], OUT warnings text[], OUT plan text)
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dbopt_index_whatif';
COMMENT ON FUNCTION dbopt.index_whatif IS
'how the query''s plan would change if these CREATE INDEX statements had been run';

CREATE FUNCTION dbopt.index_size(ddl text) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dbopt_index_size';
COMMENT ON FUNCTION dbopt.index_size IS
'bytes that the index of a CREATE INDEX statement would have right after it was built';
