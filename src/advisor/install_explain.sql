-- What a person can do about one query. Runs with the caller's rights and the caller's search_path, for
-- the query's names are resolved as if the caller had typed it; everything of its own is qualified.
CREATE FUNCTION dbopt._explain(query text, execute boolean, path text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE plan jsonb;
BEGIN
    -- The query means what it means to its author; until the end of this function.
    PERFORM pg_catalog.set_config('search_path', path, true);
    -- Raises unless the text is exactly one statement that can be planned.
    PERFORM pg_catalog.count(*) FROM dbopt.index_whatif(query, '{}');
    BEGIN
        EXECUTE pg_catalog.concat(CASE WHEN execute THEN 'EXPLAIN (ANALYZE, BUFFERS, VERBOSE, FORMAT JSON) '
            ELSE 'EXPLAIN (VERBOSE, FORMAT JSON) ' END, query) INTO plan;
        IF execute THEN -- whatever the query changed is undone
            RAISE EXCEPTION USING ERRCODE = 'ZZ0DB', MESSAGE = 'undo';
        END IF;
    EXCEPTION WHEN SQLSTATE 'ZZ0DB' THEN NULL;
    END;
    RETURN plan OPERATOR(pg_catalog.->) 0;
END $$;
COMMENT ON FUNCTION dbopt._explain IS 'internal: the plan of one statement as JSON; changes made while measuring are undone';

CREATE FUNCTION dbopt._explain_advice(query text, path text)
RETURNS TABLE (rank int, relation regclass, ddl text, benefit_pct float8)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_catalog.set_config('search_path', path, true); -- as in _explain
    RETURN QUERY SELECT g.rank, g.relation, g.ddl, g.benefit_pct FROM dbopt.index_suggest(ARRAY[query], max_indexes => 3) AS g;
END $$;
COMMENT ON FUNCTION dbopt._explain_advice IS 'internal: indexes for one statement, its names resolved as its author meant them';

-- EXPLAIN (VERBOSE) writes a column as its table's alias, a dot, and the name as quote_ident makes it. Literals name none.
CREATE FUNCTION dbopt._names_column(condition text, column_name name) RETURNS boolean
LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM regexp_matches(regexp_replace(condition, $x$'(''|[^'])*'$x$, '?', 'g'),
        $x$\.("(?:""|[^"])+"|[a-z_][a-z0-9_]*)$x$, 'g') AS w WHERE w[1] = quote_ident(column_name))
$$;
COMMENT ON FUNCTION dbopt._names_column IS 'internal: whether a condition as EXPLAIN prints it names the column';

CREATE FUNCTION dbopt.explain(query text, execute boolean = false,
    path text = pg_catalog.current_setting('search_path'))
RETURNS TABLE (node text, finding text, severity text, advice text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    plan jsonb := dbopt._explain(query, execute, path);
    n record; s record; actual float8; planned float8; removed float8; kept float8; pages float8; total float8;
BEGIN
    FOR n IN
        WITH RECURSIVE nodes AS (
            SELECT plan OPERATOR(pg_catalog.->) 'Plan' AS j, 1 AS depth
            UNION ALL
            SELECT c.value, depth OPERATOR(pg_catalog.+) 1
            FROM nodes, pg_catalog.jsonb_array_elements(j OPERATOR(pg_catalog.->) 'Plans') AS c)
        SELECT j, j OPERATOR(pg_catalog.->>) 'Node Type' AS kind,
            pg_catalog.concat_ws(' on ', j OPERATOR(pg_catalog.->>) 'Node Type', j OPERATOR(pg_catalog.->>) 'Relation Name') AS label,
            (SELECT c.oid FROM pg_catalog.pg_class AS c
             JOIN pg_catalog.pg_namespace AS s ON s.oid OPERATOR(pg_catalog.=) c.relnamespace
             WHERE c.relname::pg_catalog.text OPERATOR(pg_catalog.=) (j OPERATOR(pg_catalog.->>) 'Relation Name')
                 AND (s.nspname::pg_catalog.text OPERATOR(pg_catalog.=) (j OPERATOR(pg_catalog.->>) 'Schema')
                     OR ((j OPERATOR(pg_catalog.->>) 'Schema') OPERATOR(pg_catalog.=) 'pg_temp'
                         AND s.oid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()))
                 AND c.relkind IN ('r', 'm')) AS relation
        FROM nodes
    LOOP
        planned := (n.j->>'Plan Rows')::float8;
        actual := (n.j->>'Actual Rows')::float8;
        IF actual IS NOT NULL AND greatest(actual, planned) > 100
            AND (actual > 10 * greatest(planned, 1) OR planned > 10 * greatest(actual, 1))
            AND (n.j->>'Actual Loops')::float8 > 0 THEN
            RETURN QUERY SELECT n.label, pg_catalog.format('%s rows expected, %s found', planned, actual),
                CASE WHEN actual > 100 * greatest(planned, 1) THEN 'critical' ELSE 'warning' END,
                CASE WHEN n.relation IS NULL THEN 'see the scans below it: the error begins there'
                    WHEN (SELECT pg_catalog.count(*) FROM pg_catalog.regexp_matches(coalesce(n.j->>'Filter', '') || coalesce(n.j->>'Index Cond', ''), ' AND ', 'g')) > 0
                    THEN pg_catalog.format('ANALYZE %1$s; if that does not help, its columns depend on each other: CREATE STATISTICS ON %2$s FROM %1$s;',
                        n.relation::pg_catalog.regclass,
                        (SELECT pg_catalog.string_agg(DISTINCT pg_catalog.quote_ident(a.attname), ', ') FROM pg_catalog.pg_attribute AS a
                         WHERE a.attrelid = n.relation AND a.attnum > 0
                             AND dbopt._names_column(coalesce(n.j->>'Filter', '') || coalesce(n.j->>'Index Cond', ''), a.attname)))
                    ELSE pg_catalog.format('ANALYZE %s;', n.relation::pg_catalog.regclass) END;
        END IF;
        IF n.relation IS NOT NULL THEN
            SELECT c.relpages, c.reltuples INTO pages, total FROM pg_catalog.pg_class AS c WHERE c.oid = n.relation;
            IF total < 0 THEN
                RETURN QUERY SELECT n.label, 'the table has no statistics'::text, 'warning'::text,
                    pg_catalog.format('ANALYZE %s;', n.relation::pg_catalog.regclass);
            END IF;
            removed := (n.j->>'Rows Removed by Filter')::float8;
            kept := coalesce(actual, planned);
            IF n.kind = 'Seq Scan' AND n.j ? 'Filter' AND pages > 50
                AND (CASE WHEN removed IS NOT NULL THEN removed > 9 * kept AND removed > 1000 ELSE planned < total * 0.05 END) THEN
                SELECT g.ddl, g.benefit_pct INTO s FROM dbopt._explain_advice(query, path) AS g
                    WHERE g.relation = n.relation ORDER BY g.rank LIMIT 1;
                RETURN QUERY SELECT n.label,
                    pg_catalog.format('reads the whole table (%s pages) and keeps %s of %s rows', pages, kept,
                        coalesce(removed + kept, total)),
                    CASE WHEN pages > 1000 THEN 'critical' ELSE 'warning' END,
                    coalesce(s.ddl || pg_catalog.format(' -- cost %s %% lower', pg_catalog.round(s.benefit_pct::numeric, 1)),
                        'no index would make it cheaper');
                IF (n.j->>'Filter') ~ '(\w+\([^()]*\m[a-z_]\w*\M[^()]*\)|::(date|text|integer)\)) *(=|<|>|~)' THEN
                    RETURN QUERY SELECT n.label, 'a function around a column keeps plain indexes from being used'::text,
                        'warning'::text, 'compare the bare column, or index the expression: ' || (n.j->>'Filter');
                END IF;
            END IF;
        END IF;
        IF coalesce(n.j->>'Filter', n.j->>'Recheck Cond') ~ '= ANY \(\(?[a-z_"][a-z_0-9."]*\)?(::text\[\])?\)' THEN
            RETURN QUERY SELECT n.label, 'value = ANY (array column) can use no index'::text, 'warning'::text,
                'write column @> ARRAY[value]: a GIN index on the column serves that'::text;
        END IF;
        IF n.j->>'Sort Space Type' = 'Disk' THEN
            RETURN QUERY SELECT n.label, pg_catalog.format('sorts %s kB on disk', n.j->>'Sort Space Used'), 'warning'::text,
                pg_catalog.format('SET work_mem = ''%s kB'' for this query, or an index in its order',
                    3 * (n.j->>'Sort Space Used')::bigint);
        END IF;
        IF (n.j->>'Hash Batches')::int > 1 THEN
            RETURN QUERY SELECT n.label, pg_catalog.format('the hash table is split into %s batches on disk', n.j->>'Hash Batches'),
                'warning'::text, pg_catalog.format('SET work_mem = ''%s kB'' for this query',
                    2 * (n.j->>'Peak Memory Usage')::bigint * (n.j->>'Hash Batches')::int);
        END IF;
        IF n.kind = 'Nested Loop' AND (n.j->'Plans'->1->>'Actual Loops')::float8
            > 10 * greatest((n.j->'Plans'->0->>'Plan Rows')::float8, 1)
            AND (n.j->'Plans'->1->>'Actual Loops')::float8 > 1000 THEN
            RETURN QUERY SELECT n.label, pg_catalog.format('the inner side ran %s times, %s were expected',
                n.j->'Plans'->1->>'Actual Loops', n.j->'Plans'->0->>'Plan Rows'), 'critical'::text,
                'correct the estimate of the outer side (above); an index on the inner side''s join column limits the damage'::text;
        END IF;
    END LOOP;
    IF query ~* '\moffset\s+[0-9]{3,}' THEN
        RETURN QUERY SELECT 'query'::text, 'a large OFFSET reads and throws away all rows before it'::text, 'warning'::text,
            'remember the last row and ask for those after it: WHERE (sort columns) > (last values) ORDER BY ... LIMIT ...'::text;
    END IF;
    IF (plan->>'Planning Time')::float8 > greatest(5, (plan->>'Execution Time')::float8) THEN
        RETURN QUERY SELECT 'query'::text, pg_catalog.format('planning takes %s ms, longer than running', plan->>'Planning Time'),
            'info'::text, 'prepare it once and execute it often'::text;
    END IF;
    RETURN QUERY SELECT 'workload'::text,
        pg_catalog.format('runs %s times per transaction', max(w.calls_per_transaction)), 'warning'::text,
        'fetch all in one query: WHERE key = ANY (array)'::text
    FROM dbopt.workload AS w
    WHERE w.calls_per_transaction > 10 AND w.calls > 100 AND w.query = dbopt._redacted(explain.query)
    HAVING count(*) > 0;
END $$;
COMMENT ON FUNCTION dbopt.explain IS
'findings on one query and what to do about each; execute = true measures it and undoes what it changed';
