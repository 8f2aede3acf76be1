-- ---- optimize ----

-- The advice of one room, as SQL that yields score, area, object, action, command, reason,
-- expected_gain, and how: sql (optimize can run it), self (left to the user), none. quick: from catalogs and what is
-- measured already, so that report() can ask, and nothing that report() shows in a section of its own.
CREATE FUNCTION dbopt._advice_sources() RETURNS TABLE (area text, query text, quick boolean)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    VALUES
    ('health', $q$
        SELECT CASE h.status WHEN 'critical' THEN 1000 ELSE 250 END, h.check_name, 'look into', NULL,
               h.status || ', ' || h.detail || coalesce(': ' || h.advice, ''), NULL, 'none'
        FROM dbopt.health('warning') h WHERE h.status IN ('warning', 'critical') $q$, false),
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
        FROM scans, helped h WHERE by_index + in_full > 0 $q$, false),
    ('index', $q$
        SELECT 900, i.index::text, 'drop invalid index', i.command,
               'left behind by a failed build: never read, always written', pg_size_pretty(i.size_bytes), 'self'
        FROM dbopt.index_invalid i WHERE NOT i.being_built $q$, true),
    ('index', $q$
        SELECT 450, f.relation::text, 'index a foreign key', format('SELECT dbopt.index_apply(%L)', f.ddl), f.reason,
               NULL, 'self'
        FROM dbopt.foreign_keys_unindexed f $q$, true),
    ('index', $q$
        SELECT 160, r.index::text, 'drop redundant index', r.command, format('%s: %s', r.kind, r.covered_by),
               'cheaper writes, ' || pg_size_pretty(r.size_bytes), 'self'
        FROM dbopt.index_redundant r $q$, true),
    ('index', $q$
        SELECT 150, u.index::text, 'drop unused index', u.command,
               format('not scanned since %s; confidence %s', to_char(u.counted_since, 'YYYY-MM-DD'), u.confidence),
               'cheaper writes, ' || pg_size_pretty(u.size_bytes), 'self'
        FROM dbopt.index_unused u $q$, false),
    ('partition', $q$
        SELECT CASE c.severity WHEN 'critical' THEN 950 WHEN 'error' THEN 950 WHEN 'warning' THEN 600 ELSE 120 END,
               c.parent::text, 'repair', c.fix, c.problem || coalesce(': ' || c.detail, ''), NULL, 'self'
        FROM dbopt.partition_check() c WHERE c.severity <> 'ok' $q$, true),
    ('partition', $q$
        SELECT 550, m.parent::text, m.action || ' partition',
               format('SELECT * FROM dbopt.partition_maintain(%L)', m.parent),
               format('%s: %s', m.partition, coalesce(m.detail, m.command)), NULL, 'sql'
        FROM dbopt.partition_maintain(dry_run => true) m WHERE m.status = 'planned' $q$, false),
    ('partition', $q$
        SELECT 350, c.relation::text, 'partition', format('CALL dbopt.partition_convert(%L, %L, %L)',
               c.relation, c.key_column, c.step), c.reason, 'queries of a span of time read that span only', 'self'
        FROM dbopt._partition_candidates() c WHERE c.obstacle IS NULL $q$, false),
    ('matview', $q$
        SELECT 400, r.matview::text, 'refresh', format('SELECT * FROM dbopt.matview_refresh(%L)', r.matview),
               r.reason, NULL, 'sql'
        FROM dbopt.matview_refresh_all(dry_run => true) r WHERE r.status = 'planned' $q$, false),
    ('matview', $q$
        SELECT CASE r.severity WHEN 'critical' THEN 920 WHEN 'warning' THEN 410 ELSE 300 END,
               r.matview::text, r.recommendation, r.command, r.reason, NULL, 'self'
        FROM dbopt.matview_recommendations r $q$, true),
    ('maintenance', $q$
        SELECT 200 + least(coalesce(p.priority, 0), 99), p.relation::text, p.action, p.command,
               p.reason || coalesce(' (blocked: ' || p.blocker || ')', ''), p.expected_gain::text, 'self'
        FROM dbopt.maintenance_plan() p $q$, false),
    ('settings', $q$
        SELECT 180, a.setting, 'set', a.command, a.reason || CASE WHEN a.needs_restart THEN ' (restart)' ELSE '' END,
               format('%s instead of %s', a.suggested_value, a.current_value), 'self'
        FROM dbopt.settings_advice a $q$, false),
    ('pool', $q$
        SELECT 190, a.name, 'size the pool', a.command, a.reason,
               format('%s instead of %s', a.suggested_size, a.pool_size), 'self'
        FROM dbopt.pool_advice a WHERE a.suggested_size IS DISTINCT FROM a.pool_size $q$, true)
$$;
COMMENT ON FUNCTION dbopt._advice_sources() IS 'internal: the queries that optimize() puts together';
REVOKE ALL ON FUNCTION dbopt._advice_sources() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dbopt._advice_sources() TO pg_monitor;

CREATE FUNCTION dbopt._advice(only_quick boolean, OUT score float8, OUT area text, OUT object text, OUT action text,
    OUT command text, OUT reason text, OUT expected_gain text, OUT how text)
RETURNS SETOF record LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $$
#variable_conflict use_column
DECLARE
    source record;
BEGIN
    FOR source IN SELECT s.area, s.query FROM dbopt._advice_sources() s WHERE s.quick OR NOT only_quick LOOP
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
COMMENT ON FUNCTION dbopt._advice(boolean) IS 'internal: the advice of all rooms with a score to rank by';
REVOKE ALL ON FUNCTION dbopt._advice(boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dbopt._advice(boolean) TO pg_monitor;

CREATE FUNCTION dbopt.optimize(dry_run boolean DEFAULT true, OUT area text, OUT object text, OUT action text,
    OUT command text, OUT reason text, OUT expected_gain text, OUT status text, OUT detail text)
RETURNS SETOF record LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    p record;
    first_column text;
    done text[] := '{}';
BEGIN
    FOR p IN SELECT a.* FROM dbopt._advice(false) a ORDER BY a.score DESC, a.area, a.object, a.action LOOP
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
