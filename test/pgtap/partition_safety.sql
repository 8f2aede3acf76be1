-- Conversions and drains lose nothing, leave nothing, end, and run nobody's functions but the server's.
\set VERBOSITY terse
\set ON_ERROR_STOP off
SET client_min_messages = error;
SET timezone = 'UTC';
SELECT plan(34);

-- ---- functions and operators of a schema in the search_path ----
CREATE SCHEMA safe;
CREATE SCHEMA evil;
CREATE TABLE safe.called (what text);
CREATE FUNCTION evil.eq(oid, regclass) RETURNS bool LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO safe.called VALUES ('='); RETURN $1 OPERATOR(pg_catalog.=) $2::oid; END $$;
CREATE OPERATOR evil.= (leftarg = oid, rightarg = regclass, function = evil.eq);
CREATE FUNCTION evil.quote_ident(name) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO safe.called VALUES ('quote_ident'); RETURN pg_catalog.quote_ident($1::text); END $$;
CREATE FUNCTION evil.cat(text, oid) RETURNS text LANGUAGE plpgsql AS
    $$ DECLARE c text; BEGIN GET DIAGNOSTICS c = PG_CONTEXT; INSERT INTO safe.called VALUES (c); RETURN pg_catalog.concat($1, $2); END $$;
CREATE OPERATOR evil.|| (leftarg = text, rightarg = oid, function = evil.cat);
CREATE FUNCTION evil.format(text, text, text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO safe.called VALUES ('format'); RETURN pg_catalog.concat($2, '.', $3); END $$;
CREATE TABLE safe.t (id bigint PRIMARY KEY, k date NOT NULL);
CREATE VIEW safe.v AS SELECT * FROM safe.t;
INSERT INTO safe.t SELECT g, '2026-01-01'::date + g % 90 FROM generate_series(1, 300) g;
SET search_path = evil, safe, public;
SELECT lives_ok($$SELECT * FROM dbopt.partition_convert_plan('t', 'k', '1 month')$$, 'a plan under a hostile search_path');
CALL dbopt.partition_convert('t', 'k', '1 month', accept_lost_constraints => true);
SELECT is((SELECT relkind FROM pg_class WHERE oid OPERATOR(pg_catalog.=) 'safe.t'::regclass::oid), 'p', 'a conversion under a hostile search_path');
SELECT ok((SELECT sum(partitions) > 1 FROM dbopt.partition_pruning('SELECT * FROM t')), 'a query to look at is read with the names of the caller');
SELECT lives_ok($$SELECT * FROM dbopt.partition_check('t')$$, 'a check under a hostile search_path');
SELECT lives_ok($$SELECT * FROM dbopt.partition_maintain('t')$$, 'a round under a hostile search_path');
CALL dbopt.partition_convert_abort('t');
SELECT is((SELECT relkind FROM pg_class WHERE oid OPERATOR(pg_catalog.=) 'safe.t'::regclass::oid), 'r', 'and the way back');
SELECT is(current_setting('search_path'), 'evil, safe, public', 'the search_path of the session is as before');
SELECT lives_ok($$SELECT * FROM dbopt.matview_recommendations$$, 'other rooms, too');
SELECT lives_ok($$SELECT * FROM dbopt.maintenance_plan()$$, 'the plan of maintenance');
SELECT lives_ok($$SELECT * FROM dbopt.health()$$, 'health');
SELECT lives_ok($$SELECT * FROM dbopt.bloat_collect()$$, 'bloat');
SELECT lives_ok($$SELECT * FROM dbopt.setup()$$, 'setup');
SELECT lives_ok($$SELECT * FROM dbopt.schedule_defaults()$$, 'jobs');
RESET search_path;
-- pgTAP's own functions run under the path, too.
SELECT is((SELECT string_agg(DISTINCT what, ' ') FROM safe.called WHERE what !~ 'function (ok|_set|_add)\('), NULL, 'none of its functions was called');

-- ---- max_lock ----
CREATE TABLE safe.m (id bigint PRIMARY KEY, v text);
INSERT INTO safe.m SELECT g, 'v' FROM generate_series(1, 1000) g;
SELECT throws_ok($$SELECT dbopt.partition_convert_plan('safe.m', 'id', '100', max_lock => '0 s')$$, '22023', NULL, 'no max_lock of zero');
SELECT throws_ok($$SELECT dbopt.partition_convert_plan('safe.m', 'id', '100', max_lock => '-1 s')$$, '22023', NULL, 'nor below');
CALL dbopt.partition_convert('safe.m', 'id', '100', max_lock => '1 ms');
SELECT is(:'LAST_ERROR_SQLSTATE'::text, '53400', 'a max_lock that is always missed ends the call');
SELECT is((SELECT phase FROM dbopt.partition_work WHERE source = 'safe.m'::regclass), 'swap', 'and the work is kept');

-- ---- DROP EXTENSION meanwhile ----
DROP EXTENSION dbopt;
SELECT is((SELECT count(*)::int FROM pg_trigger WHERE tgrelid = 'safe.m'::regclass), 0, 'the triggers go with the extension');
SELECT is((SELECT count(*)::int FROM pg_class WHERE relname ~ '^_dbopt_(log|batch)'), 0, 'and so do the log tables');
CREATE EXTENSION dbopt;
CALL dbopt.partition_convert_abort('safe.m');
SELECT is((SELECT count(*)::int FROM pg_class WHERE relname LIKE '\_dbopt\_new%'), 0, 'the copy of a conversion that nobody knows is removed');
CALL dbopt.partition_convert('safe.m', 'id', '100');
SELECT is((SELECT relkind FROM pg_class WHERE oid = 'safe.m'::regclass), 'p', 'and the table can be converted');
SELECT is((SELECT count(*)::int FROM safe.m), 1000, 'with all its rows');

-- ---- the way back by hand ----
DROP TABLE safe.m;
ALTER TABLE safe.m_old RENAME TO m;
CALL dbopt.partition_convert('safe.m', 'id', '100');
SELECT is((SELECT relkind FROM pg_class WHERE oid = 'safe.m'::regclass), 'p', 'converted again after a way back by hand');
DROP TABLE safe.m, safe.m_old;

-- ---- publications of all tables ----
CREATE TABLE safe.p (id bigint PRIMARY KEY, v text);
CREATE PUBLICATION safe_all FOR ALL TABLES;
SELECT is((SELECT kind FROM dbopt.partition_convert_plan('safe.p', 'id', '100') WHERE item = 'safe_all'), 'obstacle', 'a publication of all tables is named');
DROP PUBLICATION safe_all;
SELECT is((SELECT count(*)::int FROM dbopt.partition_convert_plan('safe.p', 'id', '100') WHERE kind = 'obstacle'), 0, 'and without it nothing is in the way');

-- ---- ends of the types ----
CREATE TABLE safe.i4 (id int PRIMARY KEY);
INSERT INTO safe.i4 VALUES (2147483647), (2147483000);
CALL dbopt.partition_convert('safe.i4', 'id', '100');
SELECT is((SELECT count(*)::int FROM safe.i4 WHERE tableoid <> 'safe.i4'::regclass), 2, 'the last int');
CREATE TABLE safe.i2 (id smallint PRIMARY KEY);
INSERT INTO safe.i2 VALUES (-32768), (5);
CALL dbopt.partition_convert('safe.i2', 'id', '1000');
SELECT is((SELECT relkind FROM pg_class WHERE oid = 'safe.i2'::regclass), 'p', 'the first smallint');
CREATE TABLE safe.n (id numeric PRIMARY KEY);
INSERT INTO safe.n VALUES ('NaN'), ('Infinity'), (1e30), (9223372036854775806), (1), (250);
CALL dbopt.partition_convert('safe.n', 'id', '100');
SELECT is((SELECT count(*)::int FROM ONLY safe.n_default), 4, 'ids far off go into the default partition');
CREATE TABLE safe.a (id bigint PRIMARY KEY);
INSERT INTO safe.a VALUES (9223372036854775807), (1);
CALL dbopt.partition_convert('safe.a', 'id', '100', method => 'adopt');
SELECT is(:'LAST_ERROR_SQLSTATE'::text, '55000', 'no bound is above the last bigint');

-- ---- what belongs to the default partition alone ----
CREATE SCHEMA safe2;
CREATE TABLE safe.d (id bigint, k timestamptz NOT NULL, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
CREATE TABLE safe2.dflt PARTITION OF safe.d DEFAULT;
SELECT count(*) FROM dbopt.partition_manage('safe.d', '1 week', start_at => '2026-11-02');
INSERT INTO safe.d VALUES (1, 'infinity'), (2, '2026-10-01');
SELECT is((SELECT severity FROM dbopt.partition_check('safe.d') WHERE problem = 'rows in default'), 'warning', 'rows that a drain moves');
CALL dbopt.partition_drain_default('safe.d');
SELECT is((SELECT count(*)::int FROM ONLY safe2.dflt), 1, 'drained; the default stays in its schema');
SELECT is((SELECT severity FROM dbopt.partition_check('safe.d') WHERE problem = 'rows in default'), 'notice', 'rows that stay are no reason to drain again');

-- ---- identity of a type whose operators are elsewhere ----
CREATE SCHEMA elsewhere;
CREATE EXTENSION ltree SCHEMA elsewhere;
CREATE TABLE safe.l (p elsewhere.ltree, id int, PRIMARY KEY (p, id));
INSERT INTO safe.l SELECT ('a.' || g)::elsewhere.ltree, g FROM generate_series(1, 50) g;
CALL dbopt.partition_convert('safe.l', 'id', '10');
SELECT is((SELECT count(*)::int FROM safe.l), 50, 'a key of ltree');
SELECT * FROM finish();
