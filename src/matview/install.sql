-- ---- materialized views: management, refresh, history ----
CREATE TABLE dbopt.matview_config (
    matview regclass PRIMARY KEY,
    every interval NOT NULL CHECK (every > interval '0'),
    mode text NOT NULL CHECK (mode IN ('auto', 'full', 'concurrent', 'incremental')),
    max_staleness interval NOT NULL CHECK (max_staleness > interval '0'),
    managed_since timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE dbopt.matview_config IS
    'one row per managed materialized view; written by dbopt.matview_manage';

-- A matview whose query relies on a key (GROUP BY the primary key, other columns shown) is created by
-- pg_dump's script after all data, and so is one that reads such a view: its line of matview_config would
-- not be understood. These are dumped by name and taken up by the first round after the restore.
CREATE FUNCTION dbopt._matview_is_late(matview oid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE read AS (
        SELECT $1 AS relation
        UNION
        SELECT d.refobjid FROM read JOIN pg_rewrite r ON r.ev_class = read.relation
            JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass)
    SELECT EXISTS (SELECT FROM read JOIN pg_rewrite r ON r.ev_class = read.relation
        JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_constraint'::regclass)
$$;
COMMENT ON FUNCTION dbopt._matview_is_late(oid) IS 'internal: whether pg_dump creates the matview after the data';
CREATE TABLE dbopt._matview_late (
    matview oid PRIMARY KEY,
    name text NOT NULL,
    every interval NOT NULL,
    mode text NOT NULL,
    max_staleness interval NOT NULL
);
COMMENT ON TABLE dbopt._matview_late IS 'internal: managed matviews that a dump has to tell by name';
CREATE FUNCTION dbopt._matview_keep_late() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM dbopt._matview_late l WHERE l.matview = OLD.matview;
    END IF;
    IF TG_OP <> 'DELETE' AND dbopt._matview_is_late(NEW.matview) THEN
        INSERT INTO dbopt._matview_late
        SELECT c.oid, format('%I.%I', n.nspname, c.relname), NEW.every, NEW.mode, NEW.max_staleness
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = NEW.matview;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION dbopt._matview_keep_late() IS 'internal: keeps _matview_late beside matview_config';
REVOKE EXECUTE ON FUNCTION dbopt._matview_keep_late() FROM PUBLIC;
CREATE TRIGGER keep_late AFTER INSERT OR UPDATE OR DELETE ON dbopt.matview_config
    FOR EACH ROW EXECUTE FUNCTION dbopt._matview_keep_late();
SELECT pg_catalog.pg_extension_config_dump('dbopt.matview_config', 'WHERE NOT dbopt._matview_is_late(matview)');
SELECT pg_catalog.pg_extension_config_dump('dbopt._matview_late', '');
GRANT SELECT ON dbopt.matview_config TO pg_monitor;

-- What is known about the content of a matview. Not dumped: a restored matview starts afresh.
CREATE TABLE dbopt._matview_state (
    matview oid PRIMARY KEY,
    last_refresh timestamptz,
    last_attempt timestamptz,
    last_mode text,
    last_status text,
    last_reason text,
    last_duration_ms float8,
    failures integer NOT NULL DEFAULT 0,
    snapshot text,
    snapshot_lsn pg_lsn,
    snapshot_quiet boolean NOT NULL DEFAULT false,
    pages text,
    fingerprint text,
    matview_file oid,
    needs_full text,
    incremental_off text,
    epoch bigint,
    own_xid xid8,
    own_command bigint,
    full_ms float8,
    concurrent_ms float8,
    fixed_ms float8,
    change_us float8,
    change_batch bigint,
    last_check timestamptz
) WITH (fillfactor = 50);
COMMENT ON TABLE dbopt._matview_state IS
    'internal: the snapshot a matview stands for, marks for change detection, measured costs';

-- Gone after a crash or a promotion, together with the logs and the counting states, which are
-- unlogged as well: a missing row says that they cannot be trusted.
CREATE UNLOGGED TABLE dbopt._matview_alive (matview oid PRIMARY KEY, epoch bigint NOT NULL);
COMMENT ON TABLE dbopt._matview_alive IS
    'internal: unlogged on purpose; a missing row says that a crash emptied logs and states';

CREATE TABLE dbopt._matview_base (
    base oid PRIMARY KEY,
    log oid NOT NULL,
    columns smallint[] NOT NULL
);
COMMENT ON TABLE dbopt._matview_base IS
    'internal: relations whose changes are captured, their logs and the columns kept';

CREATE TABLE dbopt._matview_use (
    matview oid NOT NULL,
    base oid NOT NULL,
    columns smallint[] NOT NULL,
    PRIMARY KEY (matview, base)
);
COMMENT ON TABLE dbopt._matview_use IS
    'internal: which captured relations and columns an incremental matview reads';

CREATE TABLE dbopt._matview_store (
    matview oid NOT NULL,
    slot integer NOT NULL,
    store oid NOT NULL,
    PRIMARY KEY (matview, slot)
);
COMMENT ON TABLE dbopt._matview_store IS
    'internal: counting states of a matview; slot 0 holds the groups, others the multisets';

CREATE TABLE dbopt._matview_refresh (
    refresh_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    matview oid NOT NULL,
    name text NOT NULL,
    started timestamptz NOT NULL,
    mode text NOT NULL,
    status text NOT NULL,
    changes bigint,
    rows_changed bigint,
    duration_ms float8 NOT NULL,
    reason text,
    role name NOT NULL DEFAULT session_user
);
CREATE INDEX ON dbopt._matview_refresh (matview, started);
COMMENT ON TABLE dbopt._matview_refresh IS 'internal: history behind dbopt.matview_refreshes';

CREATE VIEW dbopt.matview_refreshes AS
SELECT r.refresh_id, r.matview::regclass AS matview, r.name, r.started, r.mode, r.status, r.changes,
       r.rows_changed, r.duration_ms, r.reason, r.role
FROM dbopt._matview_refresh r;
COMMENT ON VIEW dbopt.matview_refreshes IS
    'history of refreshes: when, how, how long, how many rows, and why that mode';
COMMENT ON COLUMN dbopt.matview_refreshes.changes IS
    'changed rows of the base relations that were read; NULL when they are not captured';
COMMENT ON COLUMN dbopt.matview_refreshes.rows_changed IS
    'rows of the matview written; NULL after a full refresh';
GRANT SELECT ON dbopt.matview_refreshes TO pg_monitor;

-- Relations a matview reads, through views; with partitions and inheritance children.
CREATE FUNCTION dbopt._matview_sources(matview oid)
RETURNS TABLE (relation oid, kind "char", through_view boolean, root oid)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE reads(relation, through_view) AS (
        SELECT d.refobjid, false
        FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        WHERE r.ev_class = $1 AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> $1
      UNION
        SELECT d.refobjid, true
        FROM reads v JOIN pg_class c ON c.oid = v.relation AND c.relkind = 'v'
             JOIN pg_rewrite r ON r.ev_class = c.oid
             JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid
    ), roots AS (
        SELECT v.relation, bool_or(v.through_view) AS through_view FROM reads v GROUP BY v.relation
    ), tree(relation, through_view, root) AS (
        SELECT relation, through_view, relation FROM roots
      UNION
        SELECT i.inhrelid, t.through_view, t.root
        FROM tree t JOIN pg_inherits i ON i.inhparent = t.relation
    )
    SELECT t.relation, c.relkind, t.through_view, t.root
    FROM tree t JOIN pg_class c ON c.oid = t.relation
    WHERE c.relkind IN ('r', 'p', 'm', 'f', 'v')
$$;
COMMENT ON FUNCTION dbopt._matview_sources(oid) IS
    'internal: relations that a matview reads, through views and down to partitions';

CREATE FUNCTION dbopt._matview_depends(matview oid) RETURNS oid[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(DISTINCT s.relation ORDER BY s.relation), '{}')
    FROM dbopt._matview_sources($1) s WHERE s.kind = 'm'
$$;
COMMENT ON FUNCTION dbopt._matview_depends(oid) IS 'internal: matviews that a matview reads';

CREATE FUNCTION dbopt.matview_manage(matview regclass, every interval DEFAULT '1 hour',
    mode text DEFAULT 'auto', max_staleness interval DEFAULT '4 hours')
RETURNS TABLE (matview regclass, action text, status text, detail text)
LANGUAGE c AS 'MODULE_PATHNAME', 'dbopt_matview_manage';
COMMENT ON FUNCTION dbopt.matview_manage(regclass, interval, text, interval) IS
    'puts a materialized view under management, or changes the arguments that are named; the database worker refreshes it every so often';

CREATE FUNCTION dbopt.matview_unmanage(matview regclass) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'dbopt_matview_unmanage';
COMMENT ON FUNCTION dbopt.matview_unmanage(regclass) IS
    'ends management: capture triggers, logs and states go, the matview itself stays as it is';

CREATE FUNCTION dbopt.matview_refresh(matview regclass, mode text DEFAULT 'auto')
RETURNS TABLE (matview regclass, mode text, status text, rows_changed bigint, duration_ms float8,
    reason text)
LANGUAGE c ROWS 1 AS 'MODULE_PATHNAME', 'dbopt_matview_refresh';
COMMENT ON FUNCTION dbopt.matview_refresh(regclass, text) IS
    'refreshes one materialized view at the cost of what changed; mode auto, full, concurrent or incremental';

CREATE FUNCTION dbopt.matview_refresh_all(mode text DEFAULT 'auto', dry_run boolean DEFAULT false)
RETURNS TABLE (matview regclass, mode text, status text, rows_changed bigint, duration_ms float8,
    reason text)
LANGUAGE c AS 'MODULE_PATHNAME', 'dbopt_matview_refresh_all';
COMMENT ON FUNCTION dbopt.matview_refresh_all(text, boolean) IS
    'refreshes every managed materialized view, dependencies first; one that fails stops only those that read it';

CREATE FUNCTION dbopt.matview_explain(matview regclass)
RETURNS TABLE (aspect text, verdict text, detail text, fix text)
LANGUAGE c AS 'MODULE_PATHNAME', 'dbopt_matview_explain';
COMMENT ON FUNCTION dbopt.matview_explain(regclass) IS
    'whether a materialized view can be refreshed incrementally and concurrently, and if not, exactly why';

CREATE FUNCTION dbopt.matview_verify(matview regclass) RETURNS bigint
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'dbopt_matview_verify';
COMMENT ON FUNCTION dbopt.matview_verify(regclass) IS
    'number of rows by which a materialized view differs from its query now; 0 = exact';

CREATE FUNCTION dbopt._matview_pending(matview oid) RETURNS bigint
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'dbopt_matview_pending';
COMMENT ON FUNCTION dbopt._matview_pending(oid) IS
    'internal: captured changes that the last refresh did not see; NULL without capture';
REVOKE EXECUTE ON FUNCTION dbopt._matview_pending(oid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dbopt._matview_pending(oid) TO pg_monitor;

CREATE FUNCTION dbopt._matview_unique_index(matview oid) RETURNS regclass
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT i.indexrelid::regclass FROM pg_index i
    WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate
      AND i.indpred IS NULL AND i.indexprs IS NULL
    ORDER BY i.indnkeyatts, i.indexrelid LIMIT 1
$$;
COMMENT ON FUNCTION dbopt._matview_unique_index(oid) IS
    'internal: a unique index as REFRESH CONCURRENTLY needs it';

CREATE VIEW dbopt.matviews AS
SELECT c.oid::regclass AS matview, g.matview IS NOT NULL AS managed, g.every, g.mode,
       g.max_staleness, c.relispopulated AS populated, s.last_refresh, s.last_mode, s.last_status,
       s.last_reason, s.last_duration_ms,
       clock_timestamp() - s.last_refresh AS staleness,
       coalesce(clock_timestamp() - s.last_refresh > g.max_staleness, g.matview IS NOT NULL) AS stale,
       s.last_refresh + g.every AS next_refresh,
       CASE WHEN g.matview IS NOT NULL THEN dbopt._matview_pending(c.oid) END AS changes_waiting,
       s.failures, dbopt._matview_depends(c.oid)::regclass[] AS depends_on,
       dbopt._matview_unique_index(c.oid) AS unique_index,
       dbopt._bytes(c.oid, true) AS bytes, s.needs_full, s.incremental_off, s.last_check
FROM pg_catalog.pg_class c
     LEFT JOIN dbopt.matview_config g ON g.matview::oid = c.oid
     LEFT JOIN dbopt._matview_state s ON s.matview = c.oid
WHERE c.relkind = 'm';
COMMENT ON VIEW dbopt.matviews IS
    'every materialized view: managed or not, last refresh, staleness, changes waiting, what it depends on';
GRANT SELECT ON dbopt.matviews TO pg_monitor;

CREATE FUNCTION dbopt._matview_troubles(OUT stale text[], OUT wrong text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(c.oid::regclass::text) FILTER (WHERE clock_timestamp() -
               coalesce(s.last_refresh, g.managed_since) > g.max_staleness), '{}'),
           coalesce(array_agg(c.oid::regclass::text) FILTER (WHERE s.incremental_off IS NOT NULL), '{}')
    FROM dbopt.matview_config g JOIN pg_class c ON c.oid = g.matview::oid
         LEFT JOIN dbopt._matview_state s ON s.matview = c.oid
$$;
COMMENT ON FUNCTION dbopt._matview_troubles() IS
    'internal: managed matviews that are older than they may be, and those that a self-check found wrong';
REVOKE EXECUTE ON FUNCTION dbopt._matview_troubles() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dbopt._matview_troubles() TO pg_monitor;

CREATE VIEW dbopt.matview_recommendations AS
SELECT m.matview, a.severity, a.recommendation, a.reason, a.command
FROM dbopt.matviews m, LATERAL (VALUES
    (NOT m.managed, 'notice', 'manage it', 'nobody refreshes it on schedule',
     format('SELECT dbopt.matview_manage(%L)', m.matview)),
    (NOT m.populated, 'warning', 'refresh it', 'it has never been populated',
     format('SELECT dbopt.matview_refresh(%L)', m.matview)),
    (m.managed AND m.populated AND m.stale, 'warning', 'refresh it',
     format('its content is %s old, more than %s',
            coalesce(date_trunc('second', m.staleness)::text, 'unknown time'), m.max_staleness),
     format('SELECT dbopt.matview_refresh(%L)', m.matview)),
    (m.failures > 0, 'warning', 'look at the failure', m.last_reason,
     format('SELECT * FROM dbopt.matview_refreshes WHERE matview = %L::regclass ORDER BY started DESC LIMIT 5',
            m.matview)),
    (m.managed AND m.unique_index IS NULL, 'notice', 'give it a unique index',
     'without one it cannot be refreshed concurrently',
     'SELECT * FROM dbopt.matview_explain(' || quote_literal(m.matview::text) || ')'),
    (m.incremental_off IS NOT NULL, 'critical', 'report the difference', m.incremental_off,
     format('SELECT dbopt.matview_verify(%L)', m.matview))
) AS a(applies, severity, recommendation, reason, command)
WHERE a.applies;
COMMENT ON VIEW dbopt.matview_recommendations IS
    'what to do about materialized views, and why, each with the command';
GRANT SELECT ON dbopt.matview_recommendations TO pg_monitor;

-- Partitions that were captured before they had a row, as they were then.
CREATE TABLE dbopt._matview_born (
    relation oid PRIMARY KEY,
    base oid NOT NULL,
    born xid8 NOT NULL,
    line text NOT NULL
);
COMMENT ON TABLE dbopt._matview_born IS
    'internal: partitions captured since they came, empty; they need no full refresh';

CREATE FUNCTION dbopt._matview_line(relation oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    -- A partitioned table has no rows, and a new version with its first partition.
    SELECT format('%s %s %s %s %s %s', c.relkind, pg_relation_filenode(c.oid), c.relrowsecurity, CASE WHEN c.relkind <> 'p' THEN c.xmin END,
                  (SELECT i.xmin FROM pg_inherits i WHERE i.inhrelid = c.oid LIMIT 1), -- attached again: another row
                  (SELECT string_agg(format('%s %s %s', t.oid, t.xmin, t.tgenabled), ' ' ORDER BY t.oid)
                   FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname LIKE 'dbopt\_capture\_%'))
    FROM pg_class c WHERE c.oid = $1
$$;
COMMENT ON FUNCTION dbopt._matview_line(oid) IS
    'internal: what tells that a partition and its triggers are as they were';

-- All that the content of a matview depends on besides rows. A row version (xmin) stands for a
-- definition: a trigger disabled and enabled again, a view or function replaced, leave a new one.
CREATE FUNCTION dbopt._matview_fingerprint(matview oid, sources oid[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE s AS MATERIALIZED (SELECT c.oid AS relation, c.relkind AS kind FROM pg_class c WHERE c.oid = ANY ($2)),
    -- Functions of users, and those whose names stand in their texts: the server keeps no list of these.
    calls(oid, xmin, prosrc) AS (
        SELECT p.oid, p.xmin::text, p.prosrc
        FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
             JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
        WHERE r.ev_class = $1 OR r.ev_class IN (SELECT relation FROM s WHERE kind = 'v')
      UNION
        SELECT p.oid, p.xmin::text, p.prosrc
        FROM calls c JOIN pg_proc p ON p.oid >= 16384 AND p.oid <> c.oid AND (strpos(c.prosrc, p.proname) > 0 OR EXISTS (
             SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = c.oid
             AND d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid))
    ),
    parts(line) AS (
        -- The row version of a table changes with ATTACH and every other ALTER, not with VACUUM.
        -- A matview gets a new file by every full refresh.
        SELECT format('%s %s %s %s %s', c.oid, c.relkind, pg_relation_filenode(c.oid), c.relrowsecurity,
                      CASE WHEN c.relkind <> 'm' THEN c.xmin END)
        FROM s JOIN pg_class c ON c.oid = s.relation
      UNION ALL
        SELECT format('rule %s %s', r.oid, r.xmin)
        FROM pg_rewrite r WHERE r.ev_class = $1 OR r.ev_class IN (SELECT relation FROM s WHERE kind = 'v')
      UNION ALL
        SELECT format('function %s %s', f.oid, f.xmin) FROM calls f
      UNION ALL
        SELECT format('trigger %s %s %s', t.oid, t.xmin, t.tgenabled)
        FROM s JOIN pg_trigger t ON t.tgrelid = s.relation
        WHERE t.tgname LIKE 'dbopt\_capture\_%'
      UNION ALL
        SELECT format('event %s %s %s', e.oid, e.xmin, e.evtenabled)
        FROM pg_event_trigger e WHERE e.evtname LIKE 'dbopt\_matview\_%'
      UNION ALL
        SELECT format('subscribed %s', r.srrelid)
        FROM s JOIN pg_subscription_rel r ON r.srrelid = s.relation
      UNION ALL
        -- A label may be renamed, and shows as text.
        SELECT format('label %s %s', l.oid, l.enumlabel) FROM pg_enum l
      UNION ALL
        SELECT format('setting %s', current_setting(v))
        FROM unnest('{TimeZone,DateStyle,IntervalStyle,extra_float_digits,bytea_output,lc_monetary,lc_numeric,lc_time}'::text[]) v
    )
    SELECT md5(string_agg(line, E'\n' ORDER BY line)) FROM parts
$$;
COMMENT ON FUNCTION dbopt._matview_fingerprint(oid, oid[]) IS
    'internal: digest of files, definitions, triggers, functions and settings a matview depends on';

CREATE FUNCTION dbopt._capture() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'dbopt_capture';
COMMENT ON FUNCTION dbopt._capture() IS
    'internal: writes the changes of a statement to the log of its relation, for incremental matviews';
REVOKE EXECUTE ON FUNCTION dbopt._capture() FROM PUBLIC;

CREATE FUNCTION dbopt._matview_refreshed() RETURNS event_trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'dbopt_matview_refreshed';
COMMENT ON FUNCTION dbopt._matview_refreshed() IS
    'internal: notices REFRESH MATERIALIZED VIEW by anybody';
REVOKE EXECUTE ON FUNCTION dbopt._matview_refreshed() FROM PUBLIC;

CREATE EVENT TRIGGER dbopt_matview_refresh ON ddl_command_end
    WHEN TAG IN ('REFRESH MATERIALIZED VIEW') EXECUTE FUNCTION dbopt._matview_refreshed();
ALTER EVENT TRIGGER dbopt_matview_refresh ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER dbopt_matview_refresh IS
    'dbopt: a refresh by other means is recorded, and the next one starts afresh';

CREATE FUNCTION dbopt._matview_partitioned() RETURNS event_trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'dbopt_matview_partitioned';
COMMENT ON FUNCTION dbopt._matview_partitioned() IS
    'internal: notices partitions as they come';
REVOKE EXECUTE ON FUNCTION dbopt._matview_partitioned() FROM PUBLIC;

CREATE EVENT TRIGGER dbopt_matview_partition ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE') EXECUTE FUNCTION dbopt._matview_partitioned();
ALTER EVENT TRIGGER dbopt_matview_partition ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER dbopt_matview_partition IS
    'dbopt: an empty partition is captured as it comes, which saves a full refresh';
