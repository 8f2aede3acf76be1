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

-- What there is already, and what it is worth.
CREATE VIEW dbopt.index_usage AS
SELECT i.indrelid::regclass AS relation, i.indexrelid::regclass AS index, am.amname AS method,
    dbopt._bytes(i.indexrelid) AS size_bytes, s.idx_scan AS scans, s.idx_tup_read AS entries_read,
    s.idx_tup_fetch AS rows_fetched, i.indisunique AS is_unique, i.indisprimary AS is_primary,
    i.indisvalid AS is_valid,
    EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x', 'f'))
        AS backs_constraint,
    COALESCE(d.stats_reset, pg_postmaster_start_time()) AS counted_since,
    CASE WHEN t.seq_scan + t.idx_scan > 0
        THEN round((100.0 * s.idx_scan / (t.seq_scan + t.idx_scan))::numeric, 2)::float8 END AS share_of_scans_pct,
    dbopt._index_ddl(i.indexrelid) AS ddl
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_am AS am ON am.oid = c.relam
JOIN pg_stat_user_indexes AS s ON s.indexrelid = i.indexrelid
JOIN pg_stat_user_tables AS t ON t.relid = i.indrelid
LEFT JOIN pg_stat_database AS d ON d.datname = current_database()
WHERE c.relkind = 'i' AND s.schemaname NOT IN ('dbopt');
COMMENT ON VIEW dbopt.index_usage IS 'every user index: size, scans since the statistics began, what it is for';

CREATE VIEW dbopt.index_effectiveness AS
SELECT relation, index, method, size_bytes, scans, rows_fetched,
    CASE WHEN scans > 0 THEN entries_read::float8 / scans END AS entries_per_scan,
    CASE WHEN entries_read > 0 THEN round((100.0 * rows_fetched / entries_read)::numeric, 1)::float8 END
        AS fetched_pct,
    share_of_scans_pct,
    CASE WHEN NOT is_valid THEN 'invalid: it costs every write and serves no query'
        WHEN scans = 0 AND (backs_constraint OR is_unique) THEN 'guards a rule; no query reads it'
        WHEN scans = 0 THEN 'no query has read it since ' || to_char(counted_since, 'YYYY-MM-DD')
        WHEN entries_read::float8 / scans > 100000 THEN 'reads very many entries at a time: a range too wide, or a column with few values'
        ELSE 'in use' END AS verdict
FROM dbopt.index_usage;
COMMENT ON VIEW dbopt.index_effectiveness IS 'how much each index reads per scan and what follows from it';

-- The index begins with these columns, in any order.
CREATE FUNCTION dbopt._serves_key(index oid, columns int2[]) RETURNS boolean
LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM pg_index AS i WHERE i.indexrelid = index AND i.indisvalid AND i.indpred IS NULL
        AND i.indnkeyatts >= cardinality(columns) AND (i.indkey::int2[])[0:cardinality(columns) - 1] @> columns)
$$;
COMMENT ON FUNCTION dbopt._serves_key IS 'internal: whether an index finds the rows that refer to a key';

CREATE VIEW dbopt.index_unused AS
SELECT relation, index, size_bytes, counted_since,
    CASE WHEN now() - counted_since < interval '14 days'
        THEN 'low: counted for ' || extract(day FROM now() - counted_since) || ' days only'
        WHEN (SELECT pg_is_in_recovery()) THEN 'low: this is a standby'
        WHEN EXISTS (SELECT FROM pg_stat_replication) THEN 'medium: standbys count their scans themselves, look there too'
        ELSE 'high' END AS confidence,
    'DROP INDEX CONCURRENTLY ' || index::text || ';' AS command
FROM dbopt.index_usage
WHERE scans = 0 AND is_valid AND NOT is_unique AND NOT is_primary AND NOT backs_constraint
    AND NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indexrelid = index AND (i.indisreplident OR i.indisclustered))
    AND NOT EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = index)
    -- a foreign key whose referencing side no other index serves
    AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.contype = 'f' AND k.conrelid = relation
        AND dbopt._serves_key(index, k.conkey)
        AND NOT EXISTS (SELECT FROM pg_index AS o WHERE o.indrelid = k.conrelid AND o.indexrelid <> index
            AND dbopt._serves_key(o.indexrelid, k.conkey)
            -- of several such ones that nobody reads, the oldest stays
            AND (o.indexrelid < index OR o.indisunique OR pg_stat_get_numscans(o.indexrelid) > 0)));
COMMENT ON VIEW dbopt.index_unused IS
'indexes that no query has read since the statistics began and that guard no rule; never a unique, primary, constraint, replica-identity or partition''s index, nor the only one on a foreign key''s columns';

CREATE VIEW dbopt.index_redundant AS
SELECT DISTINCT ON (a.indexrelid) a.indrelid::regclass AS relation, a.indexrelid::regclass AS index, b.indexrelid::regclass AS covered_by,
    CASE WHEN a.indnkeyatts = b.indnkeyatts AND a.indnatts = b.indnatts THEN 'duplicate' ELSE 'prefix' END
        AS kind,
    dbopt._bytes(a.indexrelid) AS size_bytes,
    'DROP INDEX CONCURRENTLY ' || a.indexrelid::regclass || ';' AS command
FROM pg_index AS a
JOIN pg_class AS ca ON ca.oid = a.indexrelid
JOIN pg_index AS b ON b.indrelid = a.indrelid AND b.indexrelid <> a.indexrelid
JOIN pg_class AS cb ON cb.oid = b.indexrelid AND cb.relam = ca.relam
WHERE ca.relkind = 'i' AND a.indisvalid AND b.indisvalid AND a.indislive AND b.indislive
    AND NOT a.indisunique AND NOT a.indisprimary AND NOT a.indisexclusion AND NOT a.indisreplident
    AND NOT a.indisclustered
    AND CASE WHEN ca.relam = 403 THEN
        a.indnatts = a.indnkeyatts AND a.indnkeyatts <= b.indnkeyatts
        AND (b.indkey::int2[])[0:a.indnkeyatts - 1] = (a.indkey::int2[])[0:a.indnkeyatts - 1]
        AND (b.indclass::oid[])[0:a.indnkeyatts - 1] = (a.indclass::oid[])[0:a.indnkeyatts - 1]
        AND (b.indcollation::oid[])[0:a.indnkeyatts - 1] = (a.indcollation::oid[])[0:a.indnkeyatts - 1]
        -- the same order, or exactly the reverse: a b-tree is read both ways
        AND ((b.indoption::int2[])[0:a.indnkeyatts - 1] = (a.indoption::int2[])[0:a.indnkeyatts - 1]
            OR (b.indoption::int2[])[0:a.indnkeyatts - 1]
                = ARRAY(SELECT (o.flags # 3)::int2 FROM unnest(a.indoption::int2[]) WITH ORDINALITY AS o(flags, n) ORDER BY o.n))
        AND pg_get_expr(a.indpred, a.indrelid) IS NOT DISTINCT FROM pg_get_expr(b.indpred, b.indrelid)
        AND (a.indexprs IS NULL OR NOT EXISTS (SELECT FROM generate_series(1, a.indnkeyatts) AS n
            WHERE pg_get_indexdef(a.indexrelid, n, false) IS DISTINCT FROM pg_get_indexdef(b.indexrelid, n, false)))
        -- other methods: the same in every respect
        ELSE substr(pg_get_indexdef(a.indexrelid), strpos(pg_get_indexdef(a.indexrelid), ' USING '))
            = substr(pg_get_indexdef(b.indexrelid), strpos(pg_get_indexdef(b.indexrelid), ' USING ')) END
    AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = a.indexrelid)
    AND NOT EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = a.indexrelid)
    -- of two equal ones the younger is the redundant one
    AND (a.indnatts < b.indnatts OR b.indisunique OR b.indisexclusion OR a.indexrelid > b.indexrelid)
    AND ca.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'dbopt'::regnamespace)
ORDER BY a.indexrelid, b.indexrelid;
COMMENT ON VIEW dbopt.index_redundant IS
'indexes that another one on the same table serves as well: duplicates (a b-tree''s reverse is one) and prefixes of b-trees; never a unique or constraint''s index';

CREATE VIEW dbopt.foreign_keys_unindexed AS
SELECT k.conrelid::regclass AS relation, k.conname AS constraint_name, k.confrelid::regclass AS referenced,
    dbopt._bytes(k.conrelid) AS table_bytes, greatest(c.reltuples, 0)::bigint AS table_rows,
    'CREATE INDEX ON ' || format('%I.%I', n.nspname, c.relname) || ' ('
        || (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.n) FROM unnest(k.conkey) WITH ORDINALITY AS u(att, n)
            JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.att) || ')' AS ddl,
    'each DELETE or key UPDATE of ' || k.confrelid::regclass || ' reads all of it' AS reason
FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND c.relkind IN ('r', 'p') AND k.conparentid = 0 AND n.nspname <> 'dbopt'
    AND NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = k.conrelid AND dbopt._serves_key(i.indexrelid, k.conkey));
COMMENT ON VIEW dbopt.foreign_keys_unindexed IS 'foreign keys whose referencing side has no index that begins with their columns';

GRANT SELECT ON dbopt.index_usage, dbopt.index_effectiveness, dbopt.index_unused, dbopt.index_redundant, dbopt.foreign_keys_unindexed TO PUBLIC;

-- Building and keeping.
CREATE TABLE dbopt._index_build (
    build_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id bigint NOT NULL,
    parent_id bigint REFERENCES dbopt._index_build,
    relation oid NOT NULL,
    index_schema text NOT NULL,
    index_name text NOT NULL,
    index_oid oid, -- once it is built
    command text NOT NULL,
    verify boolean NOT NULL,
    requested_by regrole NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    status text NOT NULL DEFAULT 'building'
        CHECK (status IN ('building', 'built', 'kept', 'dropped', 'failed')),
    detail text,
    estimated_bytes bigint,
    estimated_ms float8,
    cost_before float8,
    cost_after float8,
    finished_at timestamptz,
    watched bigint[],
    watched_until timestamptz,
    calls_then bigint,
    total_ms_then float8,
    calls_since bigint,
    latency_before_ms float8,
    latency_after_ms float8
);
COMMENT ON TABLE dbopt._index_build IS 'internal: every index_apply and what became of it';
CREATE INDEX _index_build_open ON dbopt._index_build (build_id) WHERE status = 'building';

-- to_regclass() raises an error where the reader may not use the schema.
CREATE FUNCTION dbopt._relation_named(schema_name text, relation_name text) RETURNS regclass
LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.oid::regclass FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = schema_name AND c.relname = relation_name
$$;
COMMENT ON FUNCTION dbopt._relation_named IS 'internal: the relation of that name; NULL when there is none, whatever the reader may use';

CREATE VIEW dbopt.index_invalid AS
SELECT i.indrelid::regclass AS relation, i.indexrelid::regclass AS index, dbopt._bytes(i.indexrelid) AS size_bytes, b.being_built,
    CASE WHEN b.being_built THEN 'wait: it is being built'
        WHEN c.relname ~ '_ccold[0-9]*$' THEN 'DROP INDEX CONCURRENTLY ' || i.indexrelid::regclass || ';'
        WHEN c.relname ~ '_ccnew[0-9]*$' THEN 'DROP INDEX CONCURRENTLY ' || i.indexrelid::regclass || ';'
        -- An index of a partitioned table becomes valid when every partition has its part.
        WHEN c.relkind = 'I' THEN 'DROP INDEX ' || i.indexrelid::regclass || ';'
        ELSE 'REINDEX INDEX CONCURRENTLY ' || i.indexrelid::regclass || ';' END AS command
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM pg_stat_progress_create_index AS p WHERE p.index_relid = i.indexrelid
        OR c.relkind = 'I' AND p.relid IN (SELECT t.relid FROM pg_partition_tree(i.indrelid) AS t))
    OR EXISTS (SELECT FROM dbopt._index_build AS o WHERE o.status = 'building' AND o.relation = i.indrelid
        AND o.index_schema = n.nspname AND o.index_name = c.relname) AS being_built) AS b
WHERE NOT i.indisvalid AND c.relkind IN ('i', 'I') AND c.relnamespace <> 'pg_toast'::regnamespace;
COMMENT ON VIEW dbopt.index_invalid IS 'leftovers of concurrent builds that failed: they cost every write and serve no query';
GRANT SELECT ON dbopt.index_invalid TO PUBLIC;

CREATE VIEW dbopt.index_builds AS
SELECT b.build_id, b.run_id, c.oid::regclass AS relation,
    format('%I.%I', b.index_schema, b.index_name) AS index, b.status,
    CASE WHEN b.status = 'building' THEN coalesce(r.status, 'gone') || coalesce(': ' || p.phase, '')
        ELSE b.detail END AS detail,
    CASE WHEN p.blocks_total > 0 THEN round(100.0 * p.blocks_done / p.blocks_total, 1)::float8 END AS progress_pct,
    b.command, b.verify, b.requested_by, b.requested_at, b.finished_at,
    1000 * extract(epoch FROM r.finished_at - r.started_at)::float8 AS build_ms,
    b.estimated_ms, b.estimated_bytes,
    dbopt._bytes(dbopt._relation_named(b.index_schema, b.index_name)) AS size_bytes,
    b.cost_before, b.cost_after, b.latency_before_ms, b.latency_after_ms, b.watched_until, b.parent_id
FROM dbopt._index_build AS b
LEFT JOIN (SELECT c.oid, c.relname, n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace) AS c
    ON c.oid = b.relation
LEFT JOIN dbopt.run AS r ON r.run_id = b.run_id
LEFT JOIN pg_stat_progress_create_index AS p ON p.pid = r.pid AND p.relid = b.relation AND b.status = 'building';
COMMENT ON VIEW dbopt.index_builds IS
'indexes built by index_apply: progress, size, the workload''s cost without and with each, and why it was kept or dropped';
GRANT SELECT ON dbopt.index_builds TO pg_monitor;

CREATE TABLE dbopt.index_expected (
    expected_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ddl text NOT NULL UNIQUE,
    table_schema text NOT NULL,
    table_name text NOT NULL,
    owner regrole NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    run_id bigint,
    tried_at timestamptz,
    problem text
);
COMMENT ON TABLE dbopt.index_expected IS
'indexes that must exist: built once their table does; run_id is NULL while one is missing';
SELECT pg_catalog.pg_extension_config_dump('dbopt.index_expected', '');
SELECT pg_catalog.pg_extension_config_dump('dbopt.index_expected_expected_id_seq', '');
GRANT SELECT ON dbopt.index_expected TO pg_monitor;

-- Missing: no valid index stands where the last build of the expectation put one.
CREATE VIEW dbopt._index_expected_missing AS
SELECT e.*, EXISTS (SELECT FROM dbopt._index_build AS b WHERE b.run_id = e.run_id AND b.status = 'building') AS building
FROM dbopt.index_expected AS e
WHERE NOT EXISTS (SELECT FROM dbopt._index_build AS b JOIN pg_index AS i
    ON i.indexrelid = dbopt._relation_named(b.index_schema, b.index_name) AND i.indrelid = b.relation
    WHERE b.run_id = e.run_id AND b.parent_id IS NULL AND i.indisvalid);
COMMENT ON VIEW dbopt._index_expected_missing IS 'internal: expected indexes that are not there now';
GRANT SELECT ON dbopt._index_expected_missing TO pg_monitor;

-- What a failed build left: an invalid index of that name on that table, unless somebody is building it. A
-- valid index is never dropped here, whoever made it. Runs as the role of the build.
CREATE FUNCTION dbopt._index_build_cleanup(relation oid, schema text, index text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $$
BEGIN
    FOR attempt IN 1 .. 20 LOOP
        BEGIN
            -- LOCK knows no materialized views; there the lock timeout alone keeps a builder's index.
            IF EXISTS (SELECT FROM pg_class AS c WHERE c.oid = _index_build_cleanup.relation AND c.relkind <> 'm') THEN
                EXECUTE format('LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE NOWAIT', relation::regclass);
            END IF;
            PERFORM FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE i.indrelid = _index_build_cleanup.relation AND NOT i.indisvalid AND c.relname = index AND n.nspname = schema;
            IF NOT FOUND THEN
                RETURN true;
            END IF;
            EXECUTE format('DROP INDEX %I.%I', schema, index);
            RETURN true;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.25);
        END;
    END LOOP;
    RAISE lock_not_available USING MESSAGE = format('the invalid index %I.%I is left', schema, index),
        HINT = format('When its table is free: DROP INDEX CONCURRENTLY %I.%I', schema, index);
END $$;
COMMENT ON FUNCTION dbopt._index_build_cleanup IS 'internal: drops the invalid index that a failed build of index_apply left, nothing else';

-- After a build that was kept the statements that were to gain are watched for
-- dbopt.index_watch: how long they took until then, and since.
CREATE FUNCTION dbopt._index_watch_begin(build bigint, queries bigint[]) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    UPDATE dbopt._index_build AS b
    SET watched = queries, calls_then = w.calls, total_ms_then = w.ms, latency_before_ms = round((w.ms / nullif(w.calls, 0))::numeric, 4),
        watched_until = clock_timestamp() + current_setting('dbopt.index_watch')::interval
    FROM (SELECT sum(calls)::bigint AS calls, sum(total_ms) AS ms FROM dbopt._workload() WHERE query_id = ANY (queries)) AS w
    WHERE b.build_id = build AND w.calls > 0;
$$;
COMMENT ON FUNCTION dbopt._index_watch_begin IS 'internal: notes how long the statements that a new index serves took so far';
REVOKE ALL ON FUNCTION dbopt._index_watch_begin FROM PUBLIC;

-- Judges builds whose watch is over; returns those that brought nothing, for the round to drop or to hold.
CREATE FUNCTION dbopt._index_watch_end()
RETURNS TABLE (build bigint, index text, owner oid, verdict text, watched_until_us bigint, own int)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE b record; w record; scans bigint; why text; qualified text;
BEGIN
    FOR b IN SELECT * FROM dbopt._index_build WHERE status = 'kept' AND watched_until < clock_timestamp() AND calls_since IS NULL LOOP
        -- By its number: the name may be another index by now. One that has become a rule is not ours to judge.
        SELECT format('%I.%I', n.nspname, c.relname) INTO qualified
        FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE i.indexrelid = b.index_oid AND i.indrelid = b.relation AND NOT (i.indisunique OR i.indisreplident OR i.indisclustered)
          AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid);
        SELECT sum(calls)::bigint - b.calls_then AS calls, sum(total_ms) - b.total_ms_then AS ms, max(max_ms) AS longest INTO w
        FROM dbopt._workload() WHERE query_id = ANY (b.watched);
        scans := coalesce((SELECT sum(pg_stat_get_numscans(t.relid)) FROM pg_partition_tree(b.index_oid::regclass) AS t),
            pg_stat_get_numscans(b.index_oid));
        IF qualified IS NULL OR w.calls IS NULL OR w.calls < 0 THEN
            UPDATE dbopt._index_build SET calls_since = 0 WHERE build_id = b.build_id; -- gone, or the counters began anew
            CONTINUE;
        END IF;
        why := CASE
            WHEN w.calls < 20 THEN NULL -- too few to judge by
            WHEN scans = 0 THEN format('%s calls of the statements it was for, and none has read it', w.calls)
            -- Without the longest call: one wait for a lock is none of the index's doing.
            WHEN (w.ms - w.longest) / (w.calls - 1) > 1.2 * b.latency_before_ms AND (w.ms - w.longest) / (w.calls - 1) > b.latency_before_ms + 0.1
                THEN format('the statements it was for take %s ms with it, %s ms before', round((w.ms / w.calls)::numeric, 2), round(b.latency_before_ms::numeric, 2)) END;
        IF why IS NULL THEN
            UPDATE dbopt._index_build SET calls_since = w.calls, latency_after_ms = round((w.ms / nullif(w.calls, 0))::numeric, 4),
                detail = CASE WHEN w.calls >= 20 THEN format('%s; measured: %s ms before, %s ms with it', detail,
                    round(b.latency_before_ms::numeric, 2), round((w.ms / w.calls)::numeric, 2)) ELSE detail END
            WHERE build_id = b.build_id;
            CONTINUE;
        END IF;
        RETURN QUERY SELECT b.build_id, qualified, b.requested_by::oid, why, (extract(epoch FROM b.watched_until) * 1000000)::bigint,
            (SELECT count(*)::int FROM dbopt._index_build AS k WHERE k.status = 'kept' AND k.parent_id IS NULL);
    END LOOP;
END $$;
COMMENT ON FUNCTION dbopt._index_watch_end IS 'internal: builds whose watch is over and whose statements show no gain';
REVOKE ALL ON FUNCTION dbopt._index_watch_end FROM PUBLIC;

CREATE FUNCTION dbopt.index_apply(ddl text, verify boolean = true, window_start time = NULL, window_end time = NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dbopt_index_apply';
COMMENT ON FUNCTION dbopt.index_apply IS
'builds the index concurrently in the background (within a window of the day, if given) and returns the run; with verify, drops it again if the observed workload does not gain';
REVOKE ALL ON FUNCTION dbopt.index_apply FROM PUBLIC;

CREATE FUNCTION dbopt.index_expect(ddl text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dbopt_index_expect';
COMMENT ON FUNCTION dbopt.index_expect IS
'an index that must exist: built as soon as its table does, shown as missing in index_expected until then';
REVOKE ALL ON FUNCTION dbopt.index_expect FROM PUBLIC;

-- What pg_stat_statements has counted, for a server that observes only since a moment ago.
CREATE FUNCTION dbopt._workload_add(query_id bigint, role oid, query text, calls bigint, rows bigint, plans bigint,
    total_ms float8, plan_ms float8, min_ms float8, max_ms float8) RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dbopt_workload_add';
COMMENT ON FUNCTION dbopt._workload_add IS 'internal: adds a statement to the observed workload; false if it is there already';
REVOKE ALL ON FUNCTION dbopt._workload_add FROM PUBLIC;

CREATE FUNCTION dbopt._plan_problem(query text, role oid) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dbopt_plan_problem';
COMMENT ON FUNCTION dbopt._plan_problem IS 'internal: why the role cannot plan the statement; NULL if it can';
REVOKE ALL ON FUNCTION dbopt._plan_problem FROM PUBLIC;

CREATE FUNCTION dbopt.workload_seed(OUT query_id bigint, OUT query text, OUT calls bigint, OUT status text, OUT detail text)
RETURNS SETOF record LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE home name; s record;
BEGIN
    SELECT n.nspname INTO home FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
    WHERE e.extname = 'pg_stat_statements';
    IF home IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = 'pg_stat_statements is not installed in this database',
            HINT = 'Without it, the workload is what dbopt observes itself from now on.';
    END IF;
    FOR s IN EXECUTE format('SELECT s.* FROM %I.pg_stat_statements(true) AS s WHERE s.dbid = (SELECT oid FROM pg_database'
        ' WHERE datname = current_database()) AND s.toplevel AND s.calls > 0 AND s.query IS NOT NULL'
        ' AND EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = s.userid) ORDER BY s.total_exec_time DESC', home) LOOP
        query_id := s.queryid; query := s.query; calls := s.calls;
        detail := dbopt._plan_problem(s.query, s.userid);
        status := 'skipped';
        IF detail IS NULL THEN
            IF dbopt._workload_add(s.queryid, s.userid, s.query, s.calls, s.rows, s.plans, s.total_exec_time, s.total_plan_time,
                s.min_exec_time, s.max_exec_time) THEN
                status := 'done';
            ELSE
                detail := 'observed already, or no room (dbopt.max_statements)';
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION dbopt.workload_seed IS
'adds what pg_stat_statements has counted to the observed workload; texts that can no longer be planned are skipped, with the reason';
REVOKE ALL ON FUNCTION dbopt.workload_seed FROM PUBLIC;

CREATE FUNCTION dbopt._search_figures(queries text[], OUT plans_per_s float8, OUT recostings_per_s float8,
    OUT median_error_pct float8, OUT p90_error_pct float8)
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dbopt_search_figures';
COMMENT ON FUNCTION dbopt._search_figures IS
'internal: what-if plans and re-costings a second for these queries, and how far re-costings of random sets are off';
REVOKE ALL ON FUNCTION dbopt._search_figures FROM PUBLIC;
