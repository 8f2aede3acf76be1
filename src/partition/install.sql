-- ---- partitions ----
CREATE TABLE dbopt.partition_config (
    parent regclass PRIMARY KEY,
    step text NOT NULL,
    step_months bigint NOT NULL, step_days bigint NOT NULL,
    step_us bigint NOT NULL, step_ids bigint NOT NULL,
    premake integer NOT NULL,
    retention text,
    keep_months bigint NOT NULL, keep_days bigint NOT NULL,
    keep_us bigint NOT NULL, keep_ids bigint NOT NULL,
    retention_mode text NOT NULL CHECK (retention_mode IN ('detach', 'drop', 'archive')),
    archive_schema name,
    archive_tablespace name,
    start_at text,
    start_position bigint,
    anchor bigint,
    key_unit text NOT NULL,
    timezone text NOT NULL,
    default_partition boolean NOT NULL,
    template regclass,
    on_reference text NOT NULL CHECK (on_reference IN ('refuse', 'cascade')),
    managed_since timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_round timestamptz,
    last_success timestamptz,
    last_problem text,
    last_now bigint
);
COMMENT ON TABLE dbopt.partition_config IS
    'one row per managed partitioned table; written by dbopt.partition_manage';
SELECT pg_catalog.pg_extension_config_dump('dbopt.partition_config', '');
GRANT SELECT ON dbopt.partition_config TO pg_monitor;

CREATE TABLE dbopt.partition_retiring (
    partition regclass PRIMARY KEY,
    parent regclass NOT NULL,
    run_id bigint, -- 0: a round has finalized the detach
    upper_position bigint NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE dbopt.partition_retiring IS
    'partitions whose DETACH CONCURRENTLY was given to a worker; the next round drops or archives them';
GRANT SELECT ON dbopt.partition_retiring TO pg_monitor;

-- The replica identity of a partition follows its parent's, index by index.
CREATE FUNCTION dbopt._partition_replica_identity(parent regclass, partition regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    index_name name;
BEGIN
    SELECT c.relname INTO index_name
    FROM pg_index p JOIN pg_inherits h ON h.inhparent = p.indexrelid
         JOIN pg_index i ON i.indexrelid = h.inhrelid JOIN pg_class c ON c.oid = i.indexrelid
    WHERE p.indrelid = $1 AND p.indisreplident AND i.indrelid = $2;
    IF FOUND THEN
        EXECUTE format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %I', $2, index_name);
    END IF;
END $$;
COMMENT ON FUNCTION dbopt._partition_replica_identity(regclass, regclass) IS
    'internal: gives a partition the replica identity index that matches its parent''s';

-- The functions of this room may be called by everyone: each checks that the caller owns the table,
-- as ALTER TABLE would.
CREATE FUNCTION dbopt.partition_manage(parent regclass, step text, premake integer DEFAULT 3,
    retention text DEFAULT NULL, retention_mode text DEFAULT 'detach', archive_schema name DEFAULT NULL,
    start_at text DEFAULT NULL, time_encoding text DEFAULT 'auto', timezone text DEFAULT NULL,
    default_partition boolean DEFAULT false, template regclass DEFAULT NULL,
    on_reference text DEFAULT 'refuse', archive_tablespace name DEFAULT NULL)
RETURNS TABLE (parent regclass, action text, partition text, lower_bound text, upper_bound text,
    command text, status text, detail text)
LANGUAGE c AS 'MODULE_PATHNAME', 'dbopt_partition_manage';
COMMENT ON FUNCTION dbopt.partition_manage(regclass, text, integer, text, text, name, text, text, text,
    boolean, regclass, text, name) IS
    'puts a range-partitioned table under management, or changes the arguments that are named; creates what is missing, retires nothing';

CREATE FUNCTION dbopt.partition_unmanage(parent regclass) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'dbopt_partition_unmanage';
COMMENT ON FUNCTION dbopt.partition_unmanage(regclass) IS
    'forgets a managed table; its partitions stay as they are';

CREATE FUNCTION dbopt.partition_maintain(parent regclass DEFAULT NULL, actions text[] DEFAULT NULL,
    dry_run boolean DEFAULT false)
RETURNS TABLE (parent regclass, action text, partition text, lower_bound text, upper_bound text,
    command text, status text, detail text)
LANGUAGE c AS 'MODULE_PATHNAME', 'dbopt_partition_maintain';
COMMENT ON FUNCTION dbopt.partition_maintain(regclass, text[], boolean) IS
    'creates ahead, retires behind, finishes detaches, drains the default partition; dry_run shows the exact commands';

CREATE PROCEDURE dbopt._partition_serve(parents oid[], actions text[], lock_wait_ms bigint)
LANGUAGE c AS 'MODULE_PATHNAME', 'dbopt_partition_serve';
COMMENT ON PROCEDURE dbopt._partition_serve(oid[], text[], bigint) IS
    'internal: what a worker does for partition_maintain(): one set after the other, each in its own transaction';

CREATE FUNCTION dbopt.partition_check(parent regclass DEFAULT NULL)
RETURNS TABLE (parent regclass, severity text, problem text, detail text, fix text)
LANGUAGE c AS 'MODULE_PATHNAME', 'dbopt_partition_check';
COMMENT ON FUNCTION dbopt.partition_check(regclass) IS
    'what is wrong with managed sets, worst first, with the command that repairs it';

CREATE FUNCTION dbopt._partition_list(parent regclass DEFAULT NULL)
RETURNS TABLE (parent regclass, partition regclass, is_default boolean, detach_pending boolean,
    lower_bound text, upper_bound text, lower_time timestamptz, upper_time timestamptz,
    lower_id bigint, upper_id bigint)
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'dbopt_partition_list';
COMMENT ON FUNCTION dbopt._partition_list(regclass) IS
    'internal: partitions of managed sets with typed bounds';

CREATE VIEW dbopt.partitions AS
SELECT l.parent, l.partition, l.is_default, l.detach_pending, l.lower_bound, l.upper_bound,
       l.lower_time, l.upper_time, l.lower_id, l.upper_id,
       CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint ELSE s.n_live_tup END AS rows,
       dbopt._bytes(l.partition, true) AS bytes,
       CASE WHEN isfinite(l.upper_time) THEN now() - l.upper_time END AS age
FROM dbopt._partition_list() l
     JOIN pg_class c ON c.oid = l.partition
     LEFT JOIN pg_stat_all_tables s ON s.relid = l.partition;
COMMENT ON VIEW dbopt.partitions IS
    'partitions of managed sets: typed bounds, estimated rows, bytes with indexes and TOAST; age counts from the upper bound, negative = not yet over';
GRANT SELECT ON dbopt.partitions TO pg_monitor;

CREATE VIEW dbopt.partition_sets AS
SELECT c.parent, pg_get_partkeydef(c.parent) AS partition_key, c.step, c.premake, c.retention,
       c.retention_mode, c.archive_schema, c.start_at, c.key_unit AS time_encoding, c.timezone,
       c.default_partition, c.template, c.on_reference,
       p.partitions, p.ahead, p.first_bound, p.last_bound,
       c.managed_since, c.last_round, c.last_success, c.last_problem
FROM dbopt.partition_config c
     LEFT JOIN (
        SELECT l.parent, count(*) FILTER (WHERE NOT l.is_default) AS partitions,
               count(*) FILTER (WHERE l.lower_time > now()) AS ahead,
               (array_agg(l.lower_bound ORDER BY l.lower_time NULLS FIRST, l.lower_id NULLS FIRST)
                   FILTER (WHERE NOT l.is_default))[1] AS first_bound,
               (array_agg(l.upper_bound ORDER BY l.upper_time DESC NULLS FIRST, l.upper_id DESC NULLS FIRST)
                   FILTER (WHERE NOT l.is_default))[1] AS last_bound
        FROM dbopt._partition_list() l GROUP BY l.parent) p ON p.parent = c.parent;
COMMENT ON VIEW dbopt.partition_sets IS 'managed sets: their rules, their extent, the last round';
GRANT SELECT ON dbopt.partition_sets TO pg_monitor;

CREATE TABLE dbopt.partition_work (
    source regclass PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('convert', 'adopt', 'drain', 'split', 'revert')),
    phase text NOT NULL CHECK (phase IN ('copy', 'settle', 'index', 'catchup', 'swap', 'drop', 'done')),
    parent regclass,
    staging regclass,
    key_column name NOT NULL,
    step text NOT NULL,
    key_unit text NOT NULL,
    timezone text NOT NULL,
    step_months bigint NOT NULL, step_days bigint NOT NULL,
    step_us bigint NOT NULL, step_ids bigint NOT NULL,
    anchor bigint,
    accept_lost boolean NOT NULL,
    blocks_done bigint NOT NULL,
    blocks_total bigint NOT NULL,
    rows_copied bigint NOT NULL,
    changes_applied bigint NOT NULL,
    index_names text[] NOT NULL,
    lost_keys text[] NOT NULL,
    detail text,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE dbopt.partition_work IS
    'conversions and drains under way, as far as they came; a crash goes on from here';
SELECT pg_catalog.pg_extension_config_dump('dbopt.partition_work', '');
GRANT SELECT ON dbopt.partition_work TO pg_monitor;

CREATE TABLE dbopt.partition_piece (
    source regclass,
    n bigint,
    first_block bigint,
    end_block bigint,
    relation regclass,
    done boolean NOT NULL DEFAULT false,
    rows_copied bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (source, n)
);
COMMENT ON TABLE dbopt.partition_piece IS
    'pieces of conversions under way, for several processes: blocks to copy, or a partition (relation) to index';
SELECT pg_catalog.pg_extension_config_dump('dbopt.partition_piece', '');
GRANT SELECT ON dbopt.partition_piece TO pg_monitor;

CREATE VIEW dbopt.partition_conversions AS
SELECT w.source, w.kind, w.phase, w.parent, w.staging, w.key_column, w.step,
       CASE WHEN w.phase = 'copy' THEN coalesce(p.rows_copied, 0)::bigint ELSE w.rows_copied END AS rows_copied,
       w.changes_applied,
       CASE WHEN w.phase = 'copy' THEN round(100.0 * p.blocks_done / nullif(p.blocks, 0), 1) END AS copied_pct,
       w.detail, w.started_at, w.updated_at
FROM dbopt.partition_work w
     LEFT JOIN (SELECT source, sum(rows_copied) AS rows_copied, sum(end_block - first_block) AS blocks,
                       sum(end_block - first_block) FILTER (WHERE done) AS blocks_done
                FROM dbopt.partition_piece GROUP BY source) p USING (source);
COMMENT ON VIEW dbopt.partition_conversions IS
    'progress of partition_convert and partition_drain_default, and the conversions that are done';
GRANT SELECT ON dbopt.partition_conversions TO pg_monitor;

CREATE FUNCTION dbopt.partition_convert_plan(source regclass, key_column name, step text,
    max_lock interval DEFAULT '200 ms', accept_lost_constraints boolean DEFAULT false,
    method text DEFAULT 'split')
RETURNS TABLE (step_no integer, kind text, item text, detail text, command text)
LANGUAGE c AS 'MODULE_PATHNAME', 'dbopt_partition_convert_plan';
COMMENT ON FUNCTION dbopt.partition_convert_plan(regclass, name, text, interval, boolean, text) IS
    'what stands in the way of a conversion (obstacle), what it would lose (loss), and its steps (step)';

CREATE PROCEDURE dbopt.partition_convert(source regclass, key_column name, step text,
    max_lock interval DEFAULT '200 ms', accept_lost_constraints boolean DEFAULT false,
    method text DEFAULT 'split')
LANGUAGE c AS 'MODULE_PATHNAME', 'dbopt_partition_convert';
COMMENT ON PROCEDURE dbopt.partition_convert(regclass, name, text, interval, boolean, text) IS
    'turns a plain table into a partitioned one while it is in use; called again after a crash it goes on; method split copies the rows into partitions, adopt keeps the table as one partition and has it split afterwards';

CREATE PROCEDURE dbopt.partition_convert_abort(source regclass)
LANGUAGE c AS 'MODULE_PATHNAME', 'dbopt_partition_convert_abort';
COMMENT ON PROCEDURE dbopt.partition_convert_abort(regclass) IS
    'gives a conversion up: before its swap what it made is removed, afterwards the old table takes its place again, online, with all that changed since';

CREATE PROCEDURE dbopt.partition_drain_default(parent regclass, batch integer DEFAULT 10000)
LANGUAGE c AS 'MODULE_PATHNAME', 'dbopt_partition_drain_default';
COMMENT ON PROCEDURE dbopt.partition_drain_default(regclass, integer) IS
    'moves rows out of the default partition into the partitions they belong to; at every instant each row is visible once';

CREATE PROCEDURE dbopt.partition_split(split_partition regclass, batch integer DEFAULT 100000)
LANGUAGE c AS 'MODULE_PATHNAME', 'dbopt_partition_split';
COMMENT ON PROCEDURE dbopt.partition_split(regclass, integer) IS
    'cuts a partition of a managed table into partitions of one step each; at every instant each row is visible once';

CREATE PROCEDURE dbopt._partition_assist(source regclass)
LANGUAGE c AS 'MODULE_PATHNAME', 'dbopt_partition_assist';
COMMENT ON PROCEDURE dbopt._partition_assist(regclass) IS
    'internal: what a worker does to help with a conversion: piece after piece, until none is left';

CREATE FUNCTION dbopt._partition_lattice(step text, timezone text, moment timestamptz)
RETURNS TABLE (lower_bound timestamptz, upper_bound timestamptz)
LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'dbopt_partition_lattice';
COMMENT ON FUNCTION dbopt._partition_lattice(text, text, timestamptz) IS
    'internal: the bounds around a moment, as a set with this step and time zone would draw them';
REVOKE ALL ON FUNCTION dbopt._partition_lattice(text, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION dbopt.partition_pruning(query text)
RETURNS TABLE (parent regclass, partitions bigint, scanned bigint, pruned_at text)
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'dbopt_partition_pruning';
COMMENT ON FUNCTION dbopt.partition_pruning(text) IS
    'partitions that a query would read of each partitioned table, and when the others are left out: plan, execution, never; plans the query, does not run it';
