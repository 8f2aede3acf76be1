-- The whole house at a glance: setup(), status(), optimize(). Nothing is decided here; the rooms are
-- asked one by one, and one that fails or is missing is a row of the answer, never an error.

-- ---- status ----

CREATE FUNCTION dbopt.status(OUT component text, OUT state text, OUT detail text)
RETURNS SETOF record LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    libraries text := (SELECT s.setting FROM pg_settings s WHERE s.name = 'shared_preload_libraries');
    preloaded boolean;
    r record;
BEGIN
    RETURN QUERY SELECT 'version'::text, 'ok'::text, 'dbopt ' || dbopt.version() || ', PostgreSQL '
        || current_setting('server_version');
    BEGIN
        preloaded := dbopt._preloaded();
    EXCEPTION WHEN undefined_function THEN
        preloaded := 'dbopt' = ANY (regexp_split_to_array(coalesce(libraries, ''), '[\s,"]+'));
    END;
    IF preloaded THEN
        RETURN QUERY SELECT 'preload'::text, 'ok'::text, 'loaded at server start'::text;
    ELSE
        RETURN QUERY SELECT 'preload'::text, 'missing'::text,
            'the SQL functions work, background work and statement capture do not; add to postgresql.conf and restart: '
            || 'shared_preload_libraries = ' || quote_literal(concat_ws(',', nullif(libraries, ''), 'dbopt'));
    END IF;
    IF (SELECT s.setting FROM pg_settings s WHERE s.name = 'dbopt.enabled') = 'off' THEN
        RETURN QUERY SELECT 'background work'::text, 'off'::text, 'dbopt.enabled is off: set it to on and reload'::text;
    END IF;
    BEGIN
        RETURN QUERY SELECT s.component, s.state, s.detail FROM dbopt._scheduler_status() s;
    EXCEPTION WHEN undefined_function THEN
        NULL;
    WHEN OTHERS THEN
        RETURN QUERY SELECT 'scheduler'::text, 'error'::text, SQLERRM;
    END;
    BEGIN
        RETURN QUERY SELECT 'capture'::text, CASE WHEN c.available THEN 'ok' ELSE 'missing' END,
            CASE WHEN NOT c.available THEN 'statements are observed with preload only'
                 ELSE format('%s statements observed since %s', (SELECT count(*) FROM dbopt.workload),
                             to_char(c.since, 'YYYY-MM-DD HH24:MI')) || CASE WHEN c.evicted > 0 THEN
                      format(', %s gave way to others: raise dbopt.max_statements', c.evicted) ELSE '' END
                  || CASE WHEN c.without_text > 0 THEN
                      format(', %s have no text to advise on: raise dbopt.capture_text_size', c.without_text) ELSE '' END END
        FROM dbopt._workload_state() c;
    EXCEPTION WHEN undefined_function OR undefined_table THEN
        NULL;
    WHEN OTHERS THEN
        RETURN QUERY SELECT 'capture'::text, 'error'::text, SQLERRM;
    END;
    FOR r IN
        SELECT e.name, e.purpose, a.default_version, a.installed_version
        FROM (VALUES ('pg_trgm', 'trigram indexes for LIKE ''%...%'' and ILIKE are suggested only with it'),
                     ('pg_cron', 'default jobs may run there: SELECT * FROM dbopt.schedule_defaults(''pg_cron'')'),
                     ('pg_stat_statements', 'not needed; dbopt counts statements itself')) e (name, purpose)
        LEFT JOIN pg_available_extensions a ON a.name = e.name
    LOOP
        RETURN QUERY SELECT 'extension ' || r.name,
            CASE WHEN r.installed_version IS NOT NULL THEN 'installed'
                 WHEN r.default_version IS NOT NULL THEN 'available' ELSE 'absent' END,
            coalesce('version ' || r.installed_version, r.purpose);
    END LOOP;
END $$;
COMMENT ON FUNCTION dbopt.status() IS
    'preload, workers, statement capture, optional extensions; what to do if something is off';
REVOKE ALL ON FUNCTION dbopt.status() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dbopt.status() TO pg_monitor;

-- ---- what is worth partitioning ----

-- Large tables that grow in the order of a time column and are hardly changed afterwards. All of it
-- comes from the catalog and the planner's statistics; no table is read.
CREATE FUNCTION dbopt._partition_candidates(OUT relation regclass, OUT key_column name, OUT step text,
    OUT obstacle text, OUT reason text, OUT estimated_rows bigint)
RETURNS SETOF record LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH big AS (
        SELECT c.oid, n.nspname, c.relname, c.reltuples::bigint AS rows,
               pg_stat_get_tuples_inserted(c.oid) AS ins,
               pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid) AS changed
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND NOT c.relispartition AND NOT c.relhassubclass AND c.relpersistence <> 't'
          AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'dbopt') AND c.reltuples >= 500000
          AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = c.oid)),
    -- Materialized, so that the casts below see histograms of times only.
    timed AS MATERIALIZED (
        SELECT b.*, s.attname, abs(s.correlation) AS correlation, s.histogram_bounds::text::text[] AS bounds
        FROM big b
        JOIN pg_attribute a ON a.attrelid = b.oid AND a.attnum > 0 AND NOT a.attisdropped
             AND a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)
        JOIN pg_stats s ON s.schemaname = b.nspname AND s.tablename = b.relname AND s.attname = a.attname
        WHERE s.null_frac = 0 AND abs(s.correlation) >= 0.95
          AND s.attname !~* '(updat|modif|chang|last|expire|until)'
          AND b.changed <= 0.05 * greatest(b.ins, b.rows)),
    spans AS MATERIALIZED (
        SELECT t.*, bounds[1]::timestamptz AS lo, bounds[array_length(bounds, 1)]::timestamptz AS hi
        FROM timed t),
    best AS (
        SELECT DISTINCT ON (t.oid) t.*, extract(epoch FROM t.hi - t.lo) / 86400 AS days
        FROM spans t WHERE isfinite(t.lo) AND isfinite(t.hi) AND t.hi >= t.lo + interval '60 days'
        ORDER BY t.oid, t.correlation DESC, t.attname)
    SELECT b.oid::regclass, b.attname,
           CASE WHEN b.days >= 300 THEN '1 month' WHEN b.days >= 90 THEN '1 week' ELSE '1 day' END,
           (SELECT format('unique index %s does not contain %I', i.indexrelid::regclass, b.attname)
            FROM pg_index i JOIN pg_attribute a ON a.attrelid = b.oid AND a.attname = b.attname
            WHERE i.indrelid = b.oid AND i.indisunique AND NOT (a.attnum = ANY (i.indkey)) LIMIT 1),
           format('%s rows over %s days in the order of %I, %s %% of them changed since', b.rows,
                  round(b.days), b.attname, round(100.0 * b.changed / greatest(b.ins, b.rows, 1), 1)),
           b.rows
    FROM best b ORDER BY b.rows DESC $$;
COMMENT ON FUNCTION dbopt._partition_candidates() IS
    'internal: large append-mostly tables with a time column, from statistics alone';
REVOKE ALL ON FUNCTION dbopt._partition_candidates() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dbopt._partition_candidates() TO pg_monitor;

-- ---- setup ----

-- What setup() proposes. `how`: sql (setup can run it), self (the user runs it), none (nothing to do),
-- failed. A room that is not there proposes nothing.
CREATE FUNCTION dbopt._setup_plan(environment text, OUT area text, OUT object text, OUT command text,
    OUT reason text, OUT how text, OUT detail text)
RETURNS SETOF record LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $$
#variable_conflict use_column
DECLARE
    libraries text := (SELECT s.setting FROM pg_settings s WHERE s.name = 'shared_preload_libraries');
    slow text := CASE WHEN environment IN ('production', 'staging', 'high-load') THEN '500ms' ELSE '1s' END;
    r record;
BEGIN
    IF NOT EXISTS (SELECT FROM dbopt.status() s WHERE s.component = 'preload' AND s.state = 'ok') THEN
        RETURN QUERY SELECT 'server'::text, 'shared_preload_libraries'::text,
            'ALTER SYSTEM SET shared_preload_libraries = '
                || array_to_string(ARRAY(SELECT quote_literal(l) FROM regexp_split_to_table(
                       concat_ws(',', nullif(libraries, ''), 'dbopt'), '\s*,\s*') l), ', '),
            'background workers and statement capture need it'::text, 'self'::text,
            'then restart the server'::text;
    ELSE
        RETURN QUERY SELECT 'server'::text, 'shared_preload_libraries'::text, NULL::text,
            'background workers and statement capture need it'::text, 'none'::text, 'contains dbopt'::text;
    END IF;

    -- thresholds, as far as this version has the setting
    FOR r IN
        SELECT s.name, w.value, w.reason, s.context, s.setting, s.unit
        FROM (VALUES ('dbopt.slow_query_threshold', slow, 'statements slower than this are listed in dbopt.slow_queries')
             ) w (name, value, reason)
        JOIN pg_settings s ON s.name = w.name
    LOOP
        IF (r.setting::float8 * (CASE r.unit WHEN 's' THEN 1000 ELSE 1 END)
            = (CASE r.value WHEN '1s' THEN 1000 ELSE 500 END)) THEN
            RETURN QUERY SELECT 'thresholds'::text, r.name, NULL::text, r.reason, 'none'::text, 'is ' || r.value || ' already';
        ELSIF r.context IN ('user', 'superuser') THEN
            RETURN QUERY SELECT 'thresholds'::text, r.name,
                format('ALTER DATABASE %I SET %s = %L', current_database(), r.name, r.value), r.reason, 'sql'::text, NULL::text;
        ELSE
            RETURN QUERY SELECT 'thresholds'::text, r.name, format('ALTER SYSTEM SET %s = %L', r.name, r.value),
                r.reason, 'self'::text, 'then SELECT pg_reload_conf()'::text;
        END IF;
    END LOOP;

    BEGIN
        RETURN QUERY SELECT 'jobs'::text, 'default jobs'::text, 'SELECT * FROM dbopt.schedule_defaults()'::text,
            'refresh, partitions, vacuum, reindex, statistics, health and long queries on schedule'::text,
            CASE WHEN n = wanted THEN 'none' ELSE 'sql' END,
            CASE WHEN n = wanted THEN n || ' are registered' WHEN n > 0 THEN n || ' of ' || wanted || ' are registered' END
        FROM (SELECT count(*) FILTER (WHERE EXISTS (SELECT FROM dbopt.jobs j WHERE j.name = d.job)) AS n, count(*) AS wanted
              FROM dbopt._default_jobs d) d;
    EXCEPTION WHEN undefined_function OR undefined_table THEN
        NULL;
    WHEN OTHERS THEN
        RETURN QUERY SELECT 'jobs'::text, 'default jobs'::text, NULL::text, NULL::text, 'failed'::text, SQLERRM;
    END;

    -- partitioned already, but nobody creates the next partition
    BEGIN
        RETURN QUERY
        SELECT 'partition'::text, p.partrelid::regclass::text,
               format('SELECT * FROM dbopt.partition_manage(%L, %L, retention => %L)', p.partrelid::regclass,
                      '1 month', '24 months'),
               'partitioned by time; dbopt creates partitions 3 steps ahead and detaches those past 24 months'::text,
               'sql'::text, 'the step is taken from the newest partitions; change it if it is another'::text
        FROM pg_partitioned_table p
        JOIN pg_class c ON c.oid = p.partrelid AND NOT c.relispartition
        JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
             AND a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)
        WHERE p.partstrat = 'r' AND NOT EXISTS (SELECT FROM dbopt.partition_config m WHERE m.parent = p.partrelid)
          AND dbopt._partition_span(p.partrelid) BETWEEN interval '28 days' AND interval '31 days';
    EXCEPTION WHEN undefined_function OR undefined_table THEN
        NULL;
    WHEN OTHERS THEN
        RETURN QUERY SELECT 'partition'::text, NULL::text, NULL::text, NULL::text, 'failed'::text, SQLERRM;
    END;
    BEGIN
        RETURN QUERY
        SELECT 'partition'::text, c.relation::text,
               CASE WHEN c.obstacle IS NULL THEN format('CALL dbopt.partition_convert(%L, %L, %L)', c.relation, c.key_column, c.step) END,
               c.reason, CASE WHEN c.obstacle IS NULL THEN 'self' ELSE 'none' END,
               coalesce(c.obstacle, 'a CALL of its own: it commits as it goes; then partition_manage')
        FROM dbopt._partition_candidates() c;
    EXCEPTION WHEN undefined_function OR undefined_table THEN
        NULL;
    WHEN OTHERS THEN
        RETURN QUERY SELECT 'partition'::text, NULL::text, NULL::text, NULL::text, 'failed'::text, SQLERRM;
    END;

    BEGIN
        FOR r IN SELECT c.oid::regclass AS matview FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE c.relkind = 'm' AND n.nspname <> 'dbopt' AND NOT EXISTS (
                     SELECT FROM dbopt.matviews v WHERE v.matview = c.oid::regclass AND v.managed)
                 ORDER BY dbopt._bytes(c.oid) DESC, 1
        LOOP
            RETURN QUERY SELECT 'matview'::text, r.matview::text, e.fix, e.detail, 'sql'::text, NULL::text
                FROM dbopt.matview_explain(r.matview) e WHERE e.fix ILIKE 'CREATE UNIQUE INDEX%';
            RETURN QUERY SELECT 'matview'::text, r.matview::text,
                format('SELECT * FROM dbopt.matview_manage(%L)', r.matview),
                'nobody refreshes it; dbopt does every hour, by changed rows where that is exact'::text, 'sql'::text, NULL::text;
        END LOOP;
    EXCEPTION WHEN undefined_function OR undefined_table THEN
        NULL;
    WHEN OTHERS THEN
        RETURN QUERY SELECT 'matview'::text, NULL::text, NULL::text, NULL::text, 'failed'::text, SQLERRM;
    END;
END $$;
COMMENT ON FUNCTION dbopt._setup_plan(text) IS 'internal: the rows of setup(), before any of them is carried out';
REVOKE ALL ON FUNCTION dbopt._setup_plan(text) FROM PUBLIC;

-- The width of the newest bounded partition.
CREATE FUNCTION dbopt._partition_span(parent oid) RETURNS interval
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE bounds text[];
BEGIN
    FOR bounds IN
        SELECT regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\) TO \(''([^'']+)''\)')
        FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
        WHERE h.inhparent = parent
          -- reading the bound of a locked partition would wait
          AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.relation = c.oid AND l.mode = 'AccessExclusiveLock' AND l.pid <> pg_backend_pid()
                          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
        ORDER BY 1 DESC NULLS LAST LIMIT 1
    LOOP
        RETURN bounds[2]::timestamptz - bounds[1]::timestamptz;
    END LOOP;
    RETURN NULL;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;
COMMENT ON FUNCTION dbopt._partition_span(oid) IS 'internal: width of the newest partition of a set by time';

CREATE FUNCTION dbopt.setup(environment text DEFAULT 'production', dry_run boolean DEFAULT true,
    OUT area text, OUT object text, OUT command text, OUT reason text, OUT status text, OUT detail text)
RETURNS SETOF record LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    p record;
BEGIN
    IF environment IS NULL OR environment NOT IN ('development', 'test', 'staging', 'production', 'high-load') THEN
        RAISE EXCEPTION 'unknown environment %', coalesce(quote_literal(environment), 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use development, test, staging, production or high-load.';
    END IF;
    FOR p IN SELECT * FROM dbopt._setup_plan(environment) LOOP
        area := p.area; object := p.object; command := p.command; reason := p.reason; detail := p.detail;
        status := CASE p.how WHEN 'none' THEN 'skipped' WHEN 'failed' THEN 'failed' ELSE 'planned' END;
        IF p.how = 'sql' AND NOT coalesce(dry_run, true) THEN
            BEGIN
                EXECUTE p.command;
                status := 'done';
            EXCEPTION WHEN OTHERS THEN
                status := 'failed'; detail := SQLERRM;
            END;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION dbopt.setup(text, boolean) IS
    'the first call after CREATE EXTENSION: what to configure, schedule, partition and manage, as SQL; dry_run => false carries out what it can';
REVOKE ALL ON FUNCTION dbopt.setup(text, boolean) FROM PUBLIC;

