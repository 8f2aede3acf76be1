-- Maintenance by need: what would help, who is in the way, and carrying it out. See doc/maintenance.md.

CREATE VIEW dbopt.xmin_holders AS
WITH h AS (
    SELECT 'backend' AS kind, a.pid::text AS holder, a.datname AS database,
        greatest(pg_catalog.age(a.backend_xmin), pg_catalog.age(a.backend_xid)) AS xmin_age,
        COALESCE(a.xact_start, a.backend_start) AS since,
        CASE WHEN a.datname IS NULL THEN 'all databases' ELSE 'its database' END AS scope,
        pg_catalog.concat_ws(', ', a.usename, nullif(a.application_name, ''), a.state,
            pg_catalog.left(pg_catalog.regexp_replace(a.query, '\s+', ' ', 'g'), 120)) AS detail,
        CASE WHEN a.state LIKE 'idle in transaction%'
             THEN 'end its transaction, or SELECT pg_terminate_backend(' || a.pid
                  || '); idle_in_transaction_session_timeout prevents it'
             ELSE 'wait for it, or SELECT pg_cancel_backend(' || a.pid || ')' END AS advice
    FROM pg_catalog.pg_stat_activity a
    WHERE (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
      AND a.pid <> pg_catalog.pg_backend_pid()
      AND a.backend_type IS DISTINCT FROM 'walsender'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_vacuum v WHERE v.pid = a.pid)
    UNION ALL
    SELECT 'prepared transaction', p.gid, p.database::text, pg_catalog.age(p.transaction), p.prepared,
        'its database', 'owner ' || p.owner,
        pg_catalog.format('in that database: ROLLBACK PREPARED %L or COMMIT PREPARED %L', p.gid, p.gid)
    FROM pg_catalog.pg_prepared_xacts p
    UNION ALL
    SELECT 'slot', s.slot_name::text, s.database::text,
        COALESCE(greatest(pg_catalog.age(s.xmin), pg_catalog.age(s.catalog_xmin)), 0), NULL,
        CASE WHEN s.xmin IS NULL THEN 'system catalogs' ELSE 'all databases' END,
        pg_catalog.concat_ws(', ', s.slot_type, CASE WHEN s.active THEN 'active' ELSE 'not in use' END),
        CASE WHEN s.active THEN 'let its consumer catch up'
             ELSE 'if nobody needs it: SELECT pg_drop_replication_slot('
                  || pg_catalog.quote_literal(s.slot_name) || ')' END
    FROM pg_catalog.pg_replication_slots s
    WHERE s.xmin IS NOT NULL OR s.catalog_xmin IS NOT NULL
    UNION ALL
    SELECT 'standby', COALESCE(nullif(r.application_name, ''), r.pid::text), NULL,
        pg_catalog.age(r.backend_xmin), r.backend_start, 'all databases',
        pg_catalog.concat_ws(', ', r.client_addr::text, r.state, 'hot_standby_feedback'),
        'end the long query on the standby, or turn hot_standby_feedback off there'
    FROM pg_catalog.pg_stat_replication r WHERE r.backend_xmin IS NOT NULL)
SELECT h.kind, h.holder, h.database, h.xmin_age, h.since, pg_catalog.clock_timestamp() - h.since AS age,
    h.scope, h.detail, h.advice
FROM h WHERE h.xmin_age IS NOT NULL
ORDER BY h.xmin_age DESC, h.kind, h.holder;
COMMENT ON VIEW dbopt.xmin_holders IS
'who keeps dead rows alive: backends, prepared transactions, slots, standbys; oldest first, with what to do';
GRANT SELECT ON dbopt.xmin_holders TO pg_monitor;

CREATE TABLE dbopt._maintenance_run (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id bigint,
    relid oid NOT NULL,
    relation text NOT NULL,
    action text NOT NULL,
    command text NOT NULL,
    reason text,
    status text NOT NULL,
    detail text,
    queued_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    finished_at timestamptz,
    before_bytes bigint,
    after_bytes bigint,
    predicted_bytes bigint,
    dead_before bigint,            -- of a VACUUM: bytes of dead rows, measured ...
    dead_predicted bigint,         -- ... what of them it cannot remove ...
    dead_after bigint,             -- ... and what it left
    table_oid oid,                 -- of an index
    index_name name,
    invalid_before oid[],          -- invalid indexes of that table that are not ours
    repaired boolean NOT NULL DEFAULT false);
CREATE INDEX ON dbopt._maintenance_run (queued_at);
COMMENT ON TABLE dbopt._maintenance_run IS 'what maintenance_run did; read it through dbopt.maintenance_runs';

CREATE VIEW dbopt.maintenance_runs AS
SELECT m.id, m.run_id, m.relation, m.action, m.command, m.reason,
    CASE WHEN m.status IN ('queued', 'running') THEN COALESCE(r.status, 'interrupted')
         ELSE m.status END AS status,
    COALESCE(m.detail, r.message) AS detail, m.queued_at, r.started_at,
    COALESCE(m.finished_at, r.finished_at) AS finished_at,
    m.before_bytes, m.after_bytes, m.predicted_bytes,
    m.dead_before AS dead_before_bytes, m.dead_predicted AS dead_predicted_bytes,
    m.dead_after AS dead_after_bytes
FROM dbopt._maintenance_run m LEFT JOIN dbopt.run r ON r.run_id = m.run_id
ORDER BY m.id;
COMMENT ON VIEW dbopt.maintenance_runs IS
'what maintenance_run did: sizes before and after, the size predicted for a rebuilt index, dead rows before and after a VACUUM';
GRANT SELECT ON dbopt.maintenance_runs TO pg_monitor;

-- An invalid index is ours if it appeared on that table while a REINDEX of ours was the one at work:
-- named after the index, _ccnew before the swap, _ccold after it (names are cut to 63 bytes).
CREATE FUNCTION dbopt._leftover_of(leftover oid, id bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        JOIN dbopt._maintenance_run m ON m.id = _leftover_of.id
        WHERE i.indexrelid = leftover AND NOT i.indisvalid
          AND m.action = 'reindex' AND m.status <> 'done' AND NOT m.repaired
          AND m.table_oid = i.indrelid AND NOT i.indexrelid = ANY (m.invalid_before)
          AND c.relname ~ '_cc(new|old)[0-9]*$'
          AND starts_with(m.index_name::text, regexp_replace(c.relname, '_cc(new|old)[0-9]*$', ''))
          AND (m.index_name::text = regexp_replace(c.relname, '_cc(new|old)[0-9]*$', '')
               OR octet_length(c.relname::text) >= 60))
$$;
COMMENT ON FUNCTION dbopt._leftover_of(oid, bigint) IS
'internal: whether an invalid index was left behind by that REINDEX of maintenance_run';
REVOKE ALL ON FUNCTION dbopt._leftover_of(oid, bigint) FROM PUBLIC;

CREATE FUNCTION dbopt._is_leftover(leftover oid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(bool_or(dbopt._leftover_of(leftover, m.id)), false)
    FROM dbopt._maintenance_run m JOIN pg_index i ON i.indrelid = m.table_oid AND i.indexrelid = leftover
$$;
COMMENT ON FUNCTION dbopt._is_leftover(oid) IS
'internal: whether an invalid index was left behind by any REINDEX of maintenance_run';
REVOKE ALL ON FUNCTION dbopt._is_leftover(oid) FROM PUBLIC;

-- Removes what an interrupted REINDEX of ours left, and nothing else. Takes the table's lock only if
-- it is free within 200 ms at a time, and not at all while a build or a VACUUM holds the table.
CREATE FUNCTION dbopt._maintenance_repair(id bigint) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE
    m dbopt._maintenance_run;
    r record;
    dropped int := 0;
    left_over boolean := true;
BEGIN
    SELECT * INTO m FROM dbopt._maintenance_run t
        WHERE t.id = _maintenance_repair.id AND t.action = 'reindex' AND t.status <> 'done';
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    FOR attempt IN 1 .. 20 LOOP
        left_over := false;
        FOR r IN SELECT i.indexrelid, n.nspname, c.relname, tn.nspname AS table_schema, tc.relname AS table_name,
                     tc.relkind = 't' AS toast
                 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                 JOIN pg_class tc ON tc.oid = i.indrelid JOIN pg_namespace tn ON tn.oid = tc.relnamespace
                 WHERE i.indrelid = m.table_oid AND NOT i.indisvalid
                   AND dbopt._leftover_of(i.indexrelid, m.id)
        LOOP
            BEGIN
                IF NOT r.toast THEN -- LOCK knows no TOAST tables; DROP INDEX meets a build's lock itself
                    EXECUTE format('LOCK TABLE ONLY %I.%I IN SHARE UPDATE EXCLUSIVE MODE NOWAIT',
                        r.table_schema, r.table_name);
                ELSIF EXISTS (SELECT FROM pg_locks l WHERE l.relation = m.table_oid AND l.granted
                        AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
                        AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'AccessExclusiveLock')
                        AND l.pid <> pg_backend_pid()) THEN
                    RAISE lock_not_available;
                END IF;
                EXECUTE format('DROP INDEX %I.%I', r.nspname, r.relname);
                dropped := dropped + 1;
            EXCEPTION WHEN lock_not_available OR undefined_object OR undefined_table THEN
                left_over := true;
            END;
        END LOOP;
        EXIT WHEN NOT left_over;
        PERFORM pg_sleep(0.25);
    END LOOP;
    UPDATE dbopt._maintenance_run t SET repaired = NOT left_over,
        detail = concat_ws('; ', t.detail, CASE WHEN dropped > 0
            THEN format('%s leftover index(es) removed', dropped) END,
            CASE WHEN left_over THEN 'leftovers stay until the table is free' END)
    WHERE t.id = m.id AND NOT t.repaired;
    RETURN dropped;
END $$;
COMMENT ON FUNCTION dbopt._maintenance_repair(bigint) IS
'internal: removes the invalid indexes that this interrupted REINDEX of maintenance_run left, nothing else';
REVOKE ALL ON FUNCTION dbopt._maintenance_repair(bigint) FROM PUBLIC;

-- The worker that carries out a REINDEX calls it in the name of whoever asked for the REINDEX; nobody
-- else's leftovers are his business. The session's role counts: the function runs as its own owner.
CREATE FUNCTION dbopt._maintenance_cleanup(id bigint) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    m dbopt._maintenance_run;
    allowed boolean;
BEGIN
    SELECT * INTO m FROM dbopt._maintenance_run t WHERE t.id = _maintenance_cleanup.id;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    SELECT pg_has_role(session_user, c.relowner, 'USAGE') INTO allowed FROM pg_class c WHERE c.oid = m.table_oid;
    IF NOT FOUND THEN
        RETURN 0; -- the table is gone, and its leftovers with it
    END IF;
    IF NOT coalesce(allowed, false) AND current_setting('server_version_num')::int >= 170000 THEN
        allowed := has_table_privilege(session_user, m.table_oid, 'MAINTAIN');
    END IF;
    IF NOT coalesce(allowed, false) THEN
        RAISE insufficient_privilege USING
            MESSAGE = format('permission denied to clean up after maintenance run %s', m.id),
            HINT = 'Its table''s owner may, and whoever has MAINTAIN on it.';
    END IF;
    RETURN dbopt._maintenance_repair(m.id);
END $$;
COMMENT ON FUNCTION dbopt._maintenance_cleanup(bigint) IS
'internal: _maintenance_repair() for those who may maintain the table';
GRANT EXECUTE ON FUNCTION dbopt._maintenance_cleanup(bigint) TO PUBLIC;

-- A window may go over midnight; its clock is that of its time zone.
CREATE FUNCTION dbopt._window_end(opens time, closes time, zone text, at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT (l.day + closes + CASE WHEN l.day + closes <= l.now
        THEN interval '1 day' ELSE interval '0' END) AT TIME ZONE zone
    FROM (SELECT at AT TIME ZONE zone AS now, date_trunc('day', at AT TIME ZONE zone) AS day) l
    WHERE opens IS NOT NULL
$$;
COMMENT ON FUNCTION dbopt._window_end(time, time, text, timestamptz) IS
'internal: when a job''s window closes next';
REVOKE ALL ON FUNCTION dbopt._window_end(time, time, text, timestamptz) FROM PUBLIC;

-- Everything that statistics alone can tell. Tables with dead rows and indexes are measured afterwards.
CREATE FUNCTION dbopt._maintenance_candidates(
    OUT priority int, OUT relation regclass, OUT action text, OUT rule text, OUT command text,
    OUT reason text, OUT expected_gain text)
RETURNS SETOF record LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
WITH RECURSIVE tree AS ( -- pg_partition_tree would wait for the lock of every partition
    SELECT c.oid AS root, c.oid FROM pg_class c WHERE c.relkind = 'p'
    UNION ALL SELECT r.root, i.inhrelid FROM pg_inherits i JOIN tree r ON i.inhparent = r.oid),
leaves AS (SELECT r.root, c.oid, c.relpages FROM tree r JOIN pg_class c ON c.oid = r.oid WHERE c.relkind <> 'p'),
t AS (
    SELECT c.oid, c.oid::regclass AS rel, format('%I.%I', n.nspname, c.relname) AS name, c.relkind,
        n.nspname, greatest(c.reltuples, 0)::float8 AS rows, c.reltuples, c.relpages, c.relallvisible,
        c.reltoastrelid, age(c.relfrozenxid) AS xid_age,
        mxid_age(c.relminmxid) AS mxid_age,
        coalesce(s.n_dead_tup, 0) AS dead, coalesce(s.n_live_tup, 0) AS live,
        coalesce(s.n_mod_since_analyze, 0) AS modified, coalesce(s.n_ins_since_vacuum, 0) AS inserted,
        greatest(s.last_analyze, s.last_autoanalyze) AS analysed,
        greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed,
        current_setting('autovacuum')::boolean AND coalesce(o.enabled, true) AS autovacuum,
        coalesce(o.threshold, current_setting('autovacuum_vacuum_threshold')::float8)
            + coalesce(o.scale, current_setting('autovacuum_vacuum_scale_factor')::float8)
            * greatest(c.reltuples, 0) AS vacuum_at,
        coalesce(o.scale, current_setting('autovacuum_vacuum_scale_factor')::float8) AS scale
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
    CROSS JOIN LATERAL (
        SELECT bool_and(p.option_value::boolean) FILTER (WHERE p.option_name = 'autovacuum_enabled') AS enabled,
            max(p.option_value::float8) FILTER (WHERE p.option_name = 'autovacuum_vacuum_threshold') AS threshold,
            max(p.option_value::float8) FILTER (WHERE p.option_name = 'autovacuum_vacuum_scale_factor') AS scale
        FROM pg_options_to_table(c.reloptions) p
        WHERE p.option_name IN ('autovacuum_enabled', 'autovacuum_vacuum_threshold', 'autovacuum_vacuum_scale_factor')) o
    WHERE c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('information_schema', 'dbopt')),
u AS (SELECT * FROM t WHERE nspname <> 'pg_catalog')
-- wraparound, catalogs included
SELECT 1, t.rel, 'vacuum', 'wraparound', format('VACUUM (FREEZE, SKIP_LOCKED) %s', t.name),
    format('oldest transaction id is %s old, oldest multixact %s; autovacuum forces a scan at %s and %s',
        t.xid_age, t.mxid_age, current_setting('autovacuum_freeze_max_age'),
        current_setting('autovacuum_multixact_freeze_max_age')),
    'no forced scan at a bad time'
FROM t WHERE t.relkind IN ('r', 'm')
  AND (t.xid_age > 0.75 * current_setting('autovacuum_freeze_max_age')::float8
    OR t.mxid_age > 0.75 * current_setting('autovacuum_multixact_freeze_max_age')::float8)
UNION ALL
-- dead rows that autovacuum is not about to remove
SELECT 2, t.rel, 'vacuum', 'dead', format('VACUUM (SKIP_LOCKED) %s', t.name),
    format('about %s dead rows of %s; autovacuum %s', t.dead, t.dead + t.live,
        CASE WHEN NOT t.autovacuum THEN 'is off for this table'
             WHEN t.dead > t.vacuum_at THEN 'is overdue: it starts at ' || round(t.vacuum_at::numeric)
             ELSE 'waits for ' || round(t.vacuum_at::numeric) END),
    format('room of about %s rows becomes reusable', t.dead)
FROM t WHERE t.relkind IN ('r', 'm') AND t.dead >= 1000 AND t.dead > 0.02 * (t.dead + t.live)
  AND (NOT t.autovacuum OR t.dead > 2 * t.vacuum_at
    OR (t.dead <= t.vacuum_at AND t.dead > 0.05 * (t.dead + t.live)))
UNION ALL
-- index-only scans visit the table where the visibility map is not filled
SELECT 5, t.rel, 'vacuum', 'visibility', format('VACUUM (SKIP_LOCKED) %s', t.name),
    format('%s of %s pages are marked all-visible, and its indexes are in use',
        t.relallvisible, t.relpages),
    'index-only scans no longer visit the table'
FROM u t WHERE t.relkind IN ('r', 'm') AND t.relpages >= 500 AND t.relallvisible < 0.7 * t.relpages
  AND NOT (t.dead >= 1000 AND t.dead > 0.02 * (t.dead + t.live))
  AND (t.vacuumed IS NULL OR t.inserted > 0.2 * t.rows)
  AND EXISTS (SELECT FROM pg_stat_all_indexes i WHERE i.relid = t.oid AND i.idx_scan > 0)
UNION ALL
-- statistics
SELECT 3, t.rel, 'analyze', 'never', format('ANALYZE (SKIP_LOCKED) %s', t.name),
    CASE WHEN t.relkind = 'p' THEN 'partitioned parent was never analysed: autoanalyze does not visit parents'
         ELSE 'was never analysed' END, 'better plans'
FROM u t WHERE t.analysed IS NULL AND CASE t.relkind
    WHEN 'p' THEN EXISTS (SELECT FROM leaves p WHERE p.root = t.oid AND p.relpages > 0)
         AND NOT EXISTS (SELECT FROM pg_stats s WHERE s.schemaname = t.nspname
                         AND s.tablename = (SELECT relname FROM pg_class WHERE oid = t.oid))
    ELSE t.reltuples < 0 AND t.live >= 100 END
UNION ALL
SELECT 3, t.rel, 'analyze', 'modified', format('ANALYZE (SKIP_LOCKED) %s', t.name),
    format('%s rows changed since the last ANALYZE, of %s', t.modified, round(t.rows::numeric)),
    'better plans'
FROM u t WHERE t.relkind IN ('r', 'm') AND t.reltuples >= 0 AND t.modified >= 1000 AND t.modified > 0.1 * t.rows
UNION ALL
SELECT 3, t.rel, 'analyze', 'parent', format('ANALYZE (SKIP_LOCKED) %s', t.name),
    format('partitions were analysed after their parent (%s)', t.analysed::timestamptz(0)), 'better plans'
FROM u t WHERE t.relkind = 'p' AND t.analysed < (
    SELECT max(greatest(s.last_analyze, s.last_autoanalyze)) - interval '7 days'
    FROM leaves p JOIN pg_stat_all_tables s ON s.relid = p.oid WHERE p.root = t.oid)
UNION ALL
-- invalid indexes: ours are removed, others are reported
SELECT 4, i.indexrelid::regclass, CASE WHEN o.ours THEN 'cleanup' ELSE 'advise' END, 'invalid',
    format('DROP INDEX CONCURRENTLY %I.%I', n.nspname, c.relname),
    CASE WHEN o.ours THEN 'left behind by an interrupted REINDEX of maintenance_run'
         ELSE 'invalid index: every write keeps it up to date or pays for it, no query uses it' END,
    pg_size_pretty(dbopt._bytes(c.oid)) || ' and cheaper writes'
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT dbopt._is_leftover(i.indexrelid) AS ours) o
WHERE NOT i.indisvalid AND c.relkind = 'i'
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p
                  WHERE p.index_relid = i.indexrelid OR p.relid = i.indrelid)
UNION ALL
-- (locked ones are left out: the view pg_sequences would wait)
SELECT 2, q.sequence, 'advise', 'sequence',
    CASE WHEN d.refobjid IS NULL OR ty.typname = 'int8'
         THEN format('ALTER SEQUENCE %I.%I %s ...', n.nspname, c.relname,
             CASE WHEN g.seqincrement > 0 THEN 'MAXVALUE' ELSE 'MINVALUE' END)
         ELSE format('ALTER TABLE %s ALTER COLUMN %I TYPE bigint', d.refobjid::regclass, a.attname) END,
    format('%s %% of its values are used', round(q.used_pct::numeric)), 'no failing inserts'
FROM dbopt._sequences() q JOIN pg_class c ON c.oid = q.sequence JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_sequence g ON g.seqrelid = c.oid
LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
    AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
LEFT JOIN pg_type ty ON ty.oid = a.atttypid
WHERE q.used_pct > 75
UNION ALL
SELECT 8, t.rel, 'advise', 'primary key',
    coalesce((SELECT format('ALTER TABLE %s ADD PRIMARY KEY USING INDEX %I', t.name, ic.relname)
        FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
        WHERE i.indrelid = t.oid AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
          AND i.indexprs IS NULL AND NOT EXISTS (SELECT FROM unnest(i.indkey) k JOIN pg_attribute a
              ON a.attrelid = t.oid AND a.attnum = k AND NOT a.attnotnull)
        ORDER BY i.indexrelid LIMIT 1), format('ALTER TABLE %s ADD PRIMARY KEY (...)', t.name)),
    'no primary key: duplicates cannot be told apart, logical replication cannot update it',
    'safe identification of rows'
FROM u t WHERE t.relkind IN ('r', 'p') AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.oid AND i.indisprimary)
  AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = t.oid)
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = t.oid AND d.deptype = 'e')
UNION ALL
SELECT 7, t.rel, 'advise', 'autovacuum',
    format('ALTER TABLE %s SET (autovacuum_vacuum_scale_factor = %s, autovacuum_analyze_scale_factor = %s)',
        t.name, f.factor, f.factor),
    format('%s rows: autovacuum waits for %s dead ones', round(t.rows::numeric), round(t.vacuum_at::numeric)),
    'smaller, more frequent vacuums'
FROM u t CROSS JOIN LATERAL (SELECT CASE WHEN t.rows > 1e8 THEN 0.005 WHEN t.rows > 1e7 THEN 0.01 ELSE 0.02 END AS factor) f
WHERE t.relkind = 'r' AND t.rows >= 1e6 AND t.autovacuum AND t.scale >= 0.1
UNION ALL
SELECT 9, t.rel, 'advise', 'compression',
    format('ALTER TABLE %s %s', t.name, string_agg(format('ALTER COLUMN %I SET COMPRESSION lz4', a.attname), ', ' ORDER BY a.attnum)),
    format('%s of TOAST compressed with pglz; new values would be written and read faster with lz4',
        pg_size_pretty(dbopt._bytes(t.reltoastrelid))), 'less CPU for large values'
FROM u t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    AND a.attstorage IN ('x', 'm') AND a.attcompression <> 'l'
WHERE t.relkind = 'r' AND t.reltoastrelid <> 0 AND dbopt._bytes(t.reltoastrelid) >= 16 * 1048576
  AND current_setting('default_toast_compression') = 'pglz'
  AND EXISTS (SELECT FROM pg_settings g WHERE g.name = 'default_toast_compression' AND 'lz4' = ANY (g.enumvals))
GROUP BY t.oid, t.rel, t.name, t.reltoastrelid
$$;
COMMENT ON FUNCTION dbopt._maintenance_candidates() IS
'internal: what statistics alone can tell about needed maintenance';
REVOKE ALL ON FUNCTION dbopt._maintenance_candidates() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dbopt._maintenance_candidates(), dbopt._is_leftover(oid) TO pg_monitor; -- for maintenance_plan()

CREATE FUNCTION dbopt.maintenance_plan(
    OUT priority int, OUT relation regclass, OUT action text, OUT command text, OUT reason text,
    OUT blocker text, OUT expected_gain text)
RETURNS SETOF record LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'dbopt_maintenance_plan';
COMMENT ON FUNCTION dbopt.maintenance_plan() IS
'what needs VACUUM, ANALYZE, REINDEX or clean-up, measured, with the reason and what would make it futile; action advise is never carried out';
REVOKE ALL ON FUNCTION dbopt.maintenance_plan() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dbopt.maintenance_plan() TO pg_monitor;

CREATE PROCEDURE dbopt.maintenance_run(
    actions text[] DEFAULT NULL, relations regclass[] DEFAULT NULL,
    max_duration interval DEFAULT '1 hour', dry_run boolean DEFAULT false)
LANGUAGE c AS 'MODULE_PATHNAME', 'dbopt_maintenance_run';
COMMENT ON PROCEDURE dbopt.maintenance_run(text[], regclass[], interval, boolean) IS
'carries out the plan, or single tasks: actions vacuum, analyze, reindex, cleanup; results in dbopt.maintenance_runs';
REVOKE ALL ON PROCEDURE dbopt.maintenance_run(text[], regclass[], interval, boolean) FROM PUBLIC;
