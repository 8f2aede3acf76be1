-- Connection pools: the list, what PgBouncers said, views, advice, profiles.

CREATE TABLE dbopt.pool (
    name             text PRIMARY KEY CHECK (name <> ''),
    conninfo         text,
    application_name text,
    max_size         int CHECK (max_size > 0),
    failures         int NOT NULL DEFAULT 0,
    retry_at         timestamptz,
    polled_at        timestamptz,
    error            text,
    CHECK ((conninfo IS NULL) <> (application_name IS NULL))
);
COMMENT ON TABLE dbopt.pool IS 'pools that are watched: pool_add, pool_remove; read the view dbopt.pools';
SELECT pg_catalog.pg_extension_config_dump('dbopt.pool', '');
REVOKE ALL ON dbopt.pool FROM PUBLIC;
GRANT SELECT (name, application_name, max_size, failures, retry_at, polled_at, error) ON dbopt.pool TO pg_monitor;

-- libpq reads files and opens connections as the server's user: such a string may come only from
-- those who may do so anyway.
CREATE FUNCTION dbopt._pool_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.conninfo IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.conninfo IS DISTINCT FROM OLD.conninfo)
        AND NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) THEN
        RAISE insufficient_privilege USING MESSAGE = 'only superusers may add a PgBouncer',
            HINT = 'The connection is made by the server: it could reach files and hosts that you cannot.';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION dbopt._pool_guard() IS 'internal: connection strings come from superusers only';
CREATE TRIGGER pool_guard BEFORE INSERT OR UPDATE ON dbopt.pool FOR EACH ROW EXECUTE FUNCTION dbopt._pool_guard();

CREATE TABLE dbopt.pool_sample (
    name           text NOT NULL REFERENCES dbopt.pool ON DELETE CASCADE,
    at             timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    version        int NOT NULL,
    used           int NOT NULL,
    free           int NOT NULL,
    waiting        int NOT NULL,
    clients_active int NOT NULL,
    max_size       int NOT NULL,
    max_wait_ms    float8 NOT NULL,
    xact_count     float8 NOT NULL,
    xact_time_us   float8 NOT NULL,
    wait_time_us   float8 NOT NULL,
    paused         int NOT NULL DEFAULT 0,
    PRIMARY KEY (name, at)
);
COMMENT ON TABLE dbopt.pool_sample IS 'what each PgBouncer said during the last hour, every 10 seconds';
REVOKE ALL ON dbopt.pool_sample FROM PUBLIC;
GRANT SELECT ON dbopt.pool_sample TO pg_monitor;

CREATE FUNCTION dbopt._check_conninfo(conninfo text) RETURNS void LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'dbopt_check_conninfo';
COMMENT ON FUNCTION dbopt._check_conninfo(text) IS 'internal: raises 22023 for a bad connection string or one with a password';

CREATE FUNCTION dbopt.pool_poll(pool_name text DEFAULT NULL, OUT name text, OUT status text, OUT detail text)
RETURNS SETOF record LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dbopt_pool_poll';
COMMENT ON FUNCTION dbopt.pool_poll(text) IS
    'asks the PgBouncers now (timeout 1 s); the worker does it every 10 seconds. One that does not answer is left alone for a while, unless it is named';

CREATE FUNCTION dbopt.pool_add(name text, conninfo text DEFAULT NULL, application_name text DEFAULT NULL, max_size int DEFAULT NULL,
    OUT pool text, OUT status text, OUT detail text)
RETURNS SETOF record LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    known dbopt.pool;
BEGIN
    IF coalesce(name, '') = '' OR (conninfo IS NULL) = (application_name IS NULL) THEN
        RAISE invalid_parameter_value USING MESSAGE = 'a pool needs a name and either conninfo or application_name',
            HINT = 'conninfo for a PgBouncer, application_name for an application''s own pool.';
    END IF;
    PERFORM dbopt._check_conninfo(conninfo);
    SELECT * INTO known FROM dbopt.pool p WHERE p.name = pool_add.name;
    IF known.name IS NOT NULL AND known.conninfo IS NOT DISTINCT FROM conninfo
        AND known.application_name IS NOT DISTINCT FROM application_name AND known.max_size IS NOT DISTINCT FROM max_size THEN
        pool := name; status := 'skipped'; detail := 'known as it is';
        RETURN NEXT;
        RETURN;
    END IF;
    DELETE FROM dbopt.pool p WHERE p.name = pool_add.name;
    INSERT INTO dbopt.pool (name, conninfo, application_name, max_size) VALUES (name, conninfo, application_name, max_size);
    IF conninfo IS NOT NULL THEN
        RETURN QUERY SELECT p.name, p.status, p.detail FROM dbopt.pool_poll(name) p;
    ELSE
        pool := name; status := 'done';
        detail := format('%s sessions with this application_name', (SELECT count(*) FROM pg_stat_activity a WHERE a.application_name = pool_add.application_name));
        RETURN NEXT;
    END IF;
END $$;
COMMENT ON FUNCTION dbopt.pool_add(text, text, text, int) IS
    'watches a PgBouncer (conninfo of its console, user from stats_users) or an application''s own pool (application_name and its max_size)';

CREATE FUNCTION dbopt.pool_remove(name text) RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM dbopt.pool p WHERE p.name = pool_remove.name;
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('pool "%s" does not exist', name), HINT = 'SELECT name FROM dbopt.pools lists them.';
    END IF;
END $$;
COMMENT ON FUNCTION dbopt.pool_remove(text) IS 'watches this pool no more';

CREATE FUNCTION dbopt._pool_states(OUT name text, OUT kind text, OUT used int, OUT free int, OUT waiting int, OUT max_size int,
    OUT utilization_pct float8, OUT max_wait_ms float8, OUT idle_in_transaction int, OUT leaked int, OUT health text, OUT detail text)
RETURNS SETOF record LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH app AS (
        SELECT p.name, 'application'::text AS kind,
               count(a.pid) FILTER (WHERE a.state <> 'idle')::int AS used, count(a.pid) FILTER (WHERE a.state = 'idle')::int AS free,
               0 AS waiting, p.max_size, NULL::float8 AS max_wait_ms,
               count(a.pid) FILTER (WHERE a.state LIKE 'idle in transaction%')::int AS idle_tx,
               count(a.pid) FILTER (WHERE a.state LIKE 'idle in transaction%' AND a.state_change < clock_timestamp() - interval '5 minutes')::int AS leaked,
               NULL::text AS error, false AS stale, true AS seen, 0 AS paused
        FROM dbopt.pool p LEFT JOIN pg_stat_activity a ON a.application_name = p.application_name AND a.backend_type = 'client backend'
        WHERE p.application_name IS NOT NULL GROUP BY p.name, p.max_size),
    bouncer AS (
        SELECT p.name, 'pgbouncer'::text, s.used, s.free, s.waiting, coalesce(p.max_size, s.max_size), s.max_wait_ms, NULL::int, NULL::int,
               p.error, s.at < clock_timestamp() - interval '60 seconds', s.at IS NOT NULL, coalesce(s.paused, 0)
        FROM dbopt.pool p LEFT JOIN LATERAL (SELECT * FROM dbopt.pool_sample s WHERE s.name = p.name ORDER BY s.at DESC LIMIT 1) s ON true
        WHERE p.conninfo IS NOT NULL),
    b AS (SELECT * FROM app UNION ALL SELECT * FROM bouncer),
    u AS (SELECT b.*, CASE WHEN error IS NULL AND NOT stale THEN 100.0 * used / nullif(max_size, 0) END::float8 AS pct FROM b)
    SELECT u.name, u.kind, u.used, u.free, u.waiting, u.max_size, u.pct, u.max_wait_ms, u.idle_tx, u.leaked,
           CASE WHEN u.error IS NOT NULL THEN 'unreachable' WHEN u.stale OR NOT u.seen THEN 'unknown'
                WHEN u.pct >= 90 OR u.waiting >= 20 THEN 'critical' WHEN u.pct >= 80 OR u.waiting > 0 OR u.leaked > 0 OR u.paused > 0 THEN 'degraded' ELSE 'healthy' END,
           CASE WHEN u.error IS NOT NULL THEN u.error WHEN u.stale THEN 'no reading for a minute: are the workers alive?'
                WHEN NOT u.seen THEN 'not read yet' WHEN u.paused > 0 THEN format('%s databases are paused: RESUME on its console', u.paused)
                WHEN u.leaked > 0 THEN format('%s connections idle in a transaction for more than 5 minutes', u.leaked)
                WHEN u.max_size IS NULL THEN 'max_size is not known: dbopt.pool_add(..., max_size => ...)' END
    FROM u ORDER BY 1 $$;
COMMENT ON FUNCTION dbopt._pool_states() IS 'internal: pools as they are now';

CREATE VIEW dbopt.pools AS SELECT * FROM dbopt._pool_states();
COMMENT ON VIEW dbopt.pools IS
    'pools now: used, free, waiting, utilisation and health (healthy, degraded, critical, unreachable, unknown)';

CREATE FUNCTION dbopt._pool_sizes(OUT name text, OUT pool_size int, OUT busy_servers float8, OUT mean_wait_ms float8, OUT suggested_size int, OUT reason text)
RETURNS SETOF record LANGUAGE c STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dbopt_pool_sizes';
COMMENT ON FUNCTION dbopt._pool_sizes() IS 'internal: PgBouncers'' sizes judged by their counters';

CREATE VIEW dbopt.pool_advice AS
SELECT s.name, s.pool_size, s.busy_servers, s.mean_wait_ms, s.suggested_size, s.reason,
       CASE WHEN s.suggested_size <> s.pool_size THEN 'default_pool_size = ' || s.suggested_size || ' in pgbouncer.ini, then RELOAD' END AS command
FROM dbopt._pool_sizes() s
UNION ALL
SELECT p.name, p.max_size, p.used::float8, NULL,
       CASE WHEN p.utilization_pct >= 80 THEN ceil(1.25 * p.used)::int WHEN p.utilization_pct < 20 AND p.free > 5 THEN greatest(2, ceil(p.max_size / 2.0)::int) ELSE p.max_size END,
       CASE WHEN p.leaked > 0 THEN p.leaked || ' connections look leaked: end their transactions first'
            WHEN p.utilization_pct >= 80 THEN 'nearly full' WHEN p.utilization_pct < 20 AND p.free > 5 THEN 'most connections are idle' ELSE 'the size fits' END,
       NULL
FROM dbopt._pool_states() p WHERE p.kind = 'application' AND p.max_size IS NOT NULL;
COMMENT ON VIEW dbopt.pool_advice IS 'what size each pool should have, by the connections that were busy and the clients that waited';

CREATE FUNCTION dbopt.pool_profile(environment text, OUT setting text, OUT value text, OUT reason text)
RETURNS SETOF record LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'dbopt_pool_profile';
COMMENT ON FUNCTION dbopt.pool_profile(text) IS
    'pool settings for development, test, staging, production or high-load on this machine, with reasons, also as DATABASE_URL, node-postgres, SQLAlchemy, Knex and pgbouncer.ini';

REVOKE ALL ON FUNCTION dbopt.pool_poll(text), dbopt.pool_add(text, text, text, int), dbopt.pool_remove(text),
    dbopt._pool_states(), dbopt._pool_sizes(), dbopt.pool_profile(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dbopt._pool_states(), dbopt._pool_sizes(), dbopt.pool_profile(text) TO pg_monitor;
GRANT SELECT ON dbopt.pools, dbopt.pool_advice TO pg_monitor;
