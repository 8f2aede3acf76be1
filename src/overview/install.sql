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
                      format(', %s gave way to others: raise dbopt.max_statements', c.evicted) ELSE '' END END
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

-- ---- optimize ----

-- The advice of one room, as SQL that yields score, area, object, action, command, reason,
-- expected_gain, and how: sql (optimize can run it), self (left to the user), none.
CREATE FUNCTION dbopt._advice_sources() RETURNS TABLE (area text, query text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    VALUES
    ('health', $q$
        SELECT CASE h.status WHEN 'critical' THEN 1000 ELSE 250 END, h.check_name, 'look into', NULL,
               h.status || ', ' || h.detail || coalesce(': ' || h.advice, ''), NULL, 'none'
        FROM dbopt.health('warning') h WHERE h.status IN ('warning', 'critical') $q$),
    ('index', $q$
        WITH advised AS MATERIALIZED (SELECT * FROM dbopt.index_suggest(time_limit => '10 s')),
        scans AS (
            SELECT sum(idx_scan) AS by_index, sum(seq_scan) AS in_full FROM pg_stat_user_tables WHERE n_live_tup > 1000),
        helped AS (
            SELECT coalesce(sum(w.calls), 0) AS calls FROM dbopt.workload w
            WHERE w.query_id IN (SELECT unnest(query_ids) FROM advised))
        SELECT 500 + coalesce(s.benefit_pct, 0), s.relation::text, 'create index',
               format('SELECT dbopt.index_apply(%L)', s.ddl), s.reason,
               format('%s %% of the workload''s cost, for %s', round(s.benefit_pct::numeric, 1),
                      pg_size_pretty(s.size_bytes)), 'sql'
        FROM advised s
        UNION ALL
        SELECT 100, 'workload', 'measure', NULL,
               format('index coverage: %s %% of the scans of tables with more than 1,000 rows use an index; '
                      'with the advised indexes it would have been %s %%',
                      round(100.0 * by_index / (by_index + in_full), 1),
                      round(100.0 * (by_index + least(h.calls, in_full)) / (by_index + in_full), 1)), NULL, 'none'
        FROM scans, helped h WHERE by_index + in_full > 0 $q$),
    ('index', $q$
        SELECT 900, i.index::text, 'drop invalid index', i.command,
               'left behind by a failed build: never read, always written', pg_size_pretty(i.size_bytes), 'self'
        FROM dbopt.index_invalid i WHERE NOT i.being_built $q$),
    ('index', $q$
        SELECT 450, f.relation::text, 'index a foreign key', format('SELECT dbopt.index_apply(%L)', f.ddl), f.reason,
               NULL, 'self'
        FROM dbopt.foreign_keys_unindexed f $q$),
    ('index', $q$
        SELECT 160, r.index::text, 'drop redundant index', r.command, format('%s: %s', r.kind, r.covered_by),
               'cheaper writes, ' || pg_size_pretty(r.size_bytes), 'self'
        FROM dbopt.index_redundant r $q$),
    ('index', $q$
        SELECT 150, u.index::text, 'drop unused index', u.command,
               format('not scanned since %s; confidence %s', to_char(u.counted_since, 'YYYY-MM-DD'), u.confidence),
               'cheaper writes, ' || pg_size_pretty(u.size_bytes), 'self'
        FROM dbopt.index_unused u $q$),
    ('partition', $q$
        SELECT CASE c.severity WHEN 'critical' THEN 950 WHEN 'error' THEN 950 WHEN 'warning' THEN 600 ELSE 120 END,
               c.parent::text, 'repair', c.fix, c.problem || coalesce(': ' || c.detail, ''), NULL, 'self'
        FROM dbopt.partition_check() c WHERE c.severity <> 'ok' $q$),
    ('partition', $q$
        SELECT 550, m.parent::text, m.action || ' partition',
               format('SELECT * FROM dbopt.partition_maintain(%L)', m.parent),
               format('%s: %s', m.partition, coalesce(m.detail, m.command)), NULL, 'sql'
        FROM dbopt.partition_maintain(dry_run => true) m WHERE m.status = 'planned' $q$),
    ('partition', $q$
        SELECT 350, c.relation::text, 'partition', format('CALL dbopt.partition_convert(%L, %L, %L)',
               c.relation, c.key_column, c.step), c.reason, 'queries of a span of time read that span only', 'self'
        FROM dbopt._partition_candidates() c WHERE c.obstacle IS NULL $q$),
    ('matview', $q$
        SELECT 400, r.matview::text, 'refresh', format('SELECT * FROM dbopt.matview_refresh(%L)', r.matview),
               r.reason, NULL, 'sql'
        FROM dbopt.matview_refresh_all(dry_run => true) r WHERE r.status = 'planned' $q$),
    ('matview', $q$
        SELECT CASE r.severity WHEN 'critical' THEN 920 WHEN 'warning' THEN 410 ELSE 300 END,
               r.matview::text, r.recommendation, r.command, r.reason, NULL, 'self'
        FROM dbopt.matview_recommendations r $q$),
    ('maintenance', $q$
        SELECT 200 + least(coalesce(p.priority, 0), 99), p.relation::text, p.action, p.command,
               p.reason || coalesce(' (blocked: ' || p.blocker || ')', ''), p.expected_gain::text, 'self'
        FROM dbopt.maintenance_plan() p $q$),
    ('settings', $q$
        SELECT 180, a.setting, 'set', a.command, a.reason || CASE WHEN a.needs_restart THEN ' (restart)' ELSE '' END,
               format('%s instead of %s', a.suggested_value, a.current_value), 'self'
        FROM dbopt.settings_advice a $q$),
    ('pool', $q$
        SELECT 190, a.name, 'size the pool', a.command, a.reason,
               format('%s instead of %s', a.suggested_size, a.pool_size), 'self'
        FROM dbopt.pool_advice a WHERE a.suggested_size IS DISTINCT FROM a.pool_size $q$)
$$;
COMMENT ON FUNCTION dbopt._advice_sources() IS 'internal: the queries that optimize() puts together';
REVOKE ALL ON FUNCTION dbopt._advice_sources() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dbopt._advice_sources() TO pg_monitor;

CREATE FUNCTION dbopt._advice(OUT score float8, OUT area text, OUT object text, OUT action text,
    OUT command text, OUT reason text, OUT expected_gain text, OUT how text)
RETURNS SETOF record LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $$
#variable_conflict use_column
DECLARE
    source record;
BEGIN
    FOR source IN SELECT s.area, s.query FROM dbopt._advice_sources() s LOOP
        BEGIN
            RETURN QUERY EXECUTE format(
                'SELECT a.score::float8, %L::text, a.object::text, a.action::text, a.command::text, a.reason::text,
                        a.gain::text, a.how::text
                 FROM (%s) a (score, object, action, command, reason, gain, how)', source.area, source.query);
        EXCEPTION WHEN undefined_function OR undefined_table THEN
            NULL; -- a room that is not there has no advice
        WHEN OTHERS THEN
            RETURN QUERY SELECT -1::float8, source.area, NULL::text, 'ask'::text, NULL::text,
                'no advice from here: ' || SQLERRM, NULL::text, 'failed'::text;
        END;
    END LOOP;
END $$;
COMMENT ON FUNCTION dbopt._advice() IS 'internal: the advice of all rooms with a score to rank by';
REVOKE ALL ON FUNCTION dbopt._advice() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dbopt._advice() TO pg_monitor;

CREATE FUNCTION dbopt.optimize(dry_run boolean DEFAULT true, OUT area text, OUT object text, OUT action text,
    OUT command text, OUT reason text, OUT expected_gain text, OUT status text, OUT detail text)
RETURNS SETOF record LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    p record;
    first_column text;
    done text[] := '{}';
BEGIN
    FOR p IN SELECT a.* FROM dbopt._advice() a ORDER BY a.score DESC, a.area, a.object, a.action LOOP
        area := p.area; object := p.object; action := p.action; command := p.command;
        reason := p.reason; expected_gain := p.expected_gain;
        status := CASE p.how WHEN 'failed' THEN 'failed' WHEN 'none' THEN 'skipped' ELSE 'planned' END;
        detail := CASE p.how WHEN 'self' THEN 'run the command yourself' WHEN 'none' THEN 'for you to judge' END;
        IF p.how = 'sql' AND NOT coalesce(dry_run, true) THEN
            IF command = ANY (done) THEN
                status := 'done'; detail := 'by the same command';
            ELSE
                BEGIN
                    EXECUTE command INTO first_column;
                    done := done || command;
                    status := CASE WHEN command LIKE 'SELECT dbopt.index_apply(%' THEN 'queued' ELSE 'done' END;
                    detail := CASE status WHEN 'queued' THEN format('CALL dbopt.wait(%s)', first_column) END;
                EXCEPTION WHEN OTHERS THEN
                    status := 'failed'; detail := SQLERRM;
                END;
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION dbopt.optimize(boolean) IS
    'the whole round: the advice of all rooms, ranked, each with its command; dry_run => false carries out what is safe to carry out';
REVOKE ALL ON FUNCTION dbopt.optimize(boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dbopt.optimize(boolean) TO pg_monitor;
