-- What refreshes say, and what they must not depend on: the caller's search_path, names of objects as text,
-- functions behind functions, NaN that nobody sums.
SET client_min_messages = error;
SELECT plan(37);
SELECT dbopt.pause('matview') IS NULL AS paused \gset
CREATE SCHEMA mvy;
SET search_path = mvy, public;
CREATE FUNCTION step(mv regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
    SELECT * INTO r FROM dbopt.matview_refresh(mv);
    RETURN r.mode || ' ' || dbopt.matview_verify(mv) || CASE WHEN r.status = 'failed' OR r.reason LIKE '%gave up%' THEN ' ' || r.reason ELSE '' END;
END $$;
CREATE FUNCTION why_not(mv regclass) RETURNS text LANGUAGE sql AS $$ SELECT verdict || ': ' || detail FROM dbopt.matview_explain(mv) WHERE aspect = 'incremental' $$;

-- ---- NaN ----
CREATE TABLE t (id int PRIMARY KEY, g text, n numeric, f numeric(6,2));
INSERT INTO t SELECT i, 'g' || i % 3, i / 4.0, i FROM generate_series(1, 40) i;
CREATE MATERIALIZED VIEW counts AS SELECT g, count(DISTINCT n) AS c, count(n) AS n FROM t GROUP BY g;
CREATE MATERIALIZED VIEW lowest AS SELECT g, min(id) AS c, count(DISTINCT n) AS n, count(n) AS all FROM t GROUP BY g;
CREATE MATERIALIZED VIEW sums AS SELECT g, min(id) AS c, sum(f) AS s FROM t GROUP BY g;
SELECT count(*) AS managed FROM (VALUES ('counts'::regclass), ('lowest'), ('sums')) v(mv), dbopt.matview_manage(mv, mode => 'incremental') \gset
SELECT is(step('counts') || ', ' || step('lowest') || ', ' || step('sums'), 'full 0, full 0, full 0', 'first');
INSERT INTO t VALUES (101, 'g1', 'NaN', 1), (102, 'g1', 'NaN', 2), (103, 'g2', 'Infinity', 3);
SELECT is(step('counts') || ', ' || step('lowest') || ', ' || step('sums'), 'incremental 0, incremental 0, incremental 0', 'NaN where nothing is summed');
DELETE FROM t WHERE id IN (101, 103);
SELECT is(step('counts') || ', ' || step('lowest'), 'incremental 0, incremental 0', 'and out again');
INSERT INTO t VALUES (104, 'g1', 1, 'NaN');
SELECT matches(step('sums'), '^full 0 .*NaN or an infinity cannot be summed back', 'NaN where something is');

-- ---- search_path ----
CREATE TABLE sp (x int);
CREATE TABLE rd (id int PRIMARY KEY, c regclass, a regclass[], v int);
INSERT INTO rd SELECT i, 'mvy.sp', '{mvy.sp}', i FROM generate_series(1, 4) i;
CREATE TYPE named AS (n int, c regclass);
CREATE MATERIALIZED VIEW as_concat AS SELECT concat('x', c) AS ct, sum(v) AS s FROM rd GROUP BY 1;
CREATE MATERIALIZED VIEW as_array AS SELECT a::text AS ct, count(*) AS n FROM rd GROUP BY 1;
CREATE MATERIALIZED VIEW as_row AS SELECT format('%s', ROW(v, c)) AS ct, count(*) AS n FROM rd GROUP BY 1;
CREATE MATERIALIZED VIEW as_type AS SELECT ROW(v, c)::named::text AS ct, count(*) AS n FROM rd GROUP BY 1;
CREATE MATERIALIZED VIEW as_json AS SELECT v, jsonb_agg(c) AS j FROM rd GROUP BY v;
CREATE MATERIALIZED VIEW as_number AS SELECT c, v, count(*) AS n, concat('x', v) AS x FROM rd GROUP BY c, v;
SELECT is(why_not(m::regclass), 'no: it calls the name of a database object as text, whose result changes by itself', m || ' is refused')
FROM unnest('{as_concat,as_array,as_row,as_type,as_json}'::text[]) m;
SELECT matches(why_not('as_number'), '^yes: ', 'an object that stays a number is not');
SELECT count(*) AS managed FROM (VALUES ('as_concat'::regclass), ('as_array'), ('as_number')) v(mv), dbopt.matview_manage(mv) \gset
SELECT is(step('as_concat') || ', ' || step('as_array') || ', ' || step('as_number'), 'full 0, full 0, full 0', 'first');
UPDATE rd SET v = v + 1 WHERE id = 2;
INSERT INTO rd VALUES (6, 'mvy.sp', '{mvy.sp}', 1);
SELECT is(step('as_concat') || ', ' || step('as_array') || ', ' || step('as_number'), 'full 0, full 0, incremental 0', 'the same under any path');
SELECT is((SELECT string_agg(ct || s, ' ') FROM as_concat), 'xmvy.sp12', 'one group');
CREATE FUNCTION whoami(int) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT current_setting('search_path') || $1 $$;
CREATE MATERIALIZED VIEW pathed AS SELECT whoami(v) AS w, count(*) AS n FROM rd GROUP BY 1;
SELECT count(*) AS managed FROM dbopt.matview_manage('pathed', mode => 'incremental') \gset
SELECT is(step('pathed'), 'full 0', 'a full refresh has the path of the others');
INSERT INTO rd VALUES (7, 'mvy.sp', '{}', 1);
SELECT is(step('pathed'), 'incremental 0', 'an incremental one as well');
SELECT is(current_setting('search_path'), 'mvy, public', 'the session keeps its own');

-- ---- functions behind functions ----
CREATE FUNCTION inner_f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION middle_f(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN mvy.inner_f($1); END';
CREATE FUNCTION outer_f(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN mvy.middle_f($1) + 1; END';
CREATE MATERIALIZED VIEW calls AS SELECT g, sum(outer_f(id)) AS s FROM t GROUP BY g;
SELECT count(*) AS managed FROM dbopt.matview_manage('calls') \gset
SELECT is(step('calls'), 'full 0', 'first');
SELECT is(step('calls'), 'skip 0', 'nothing changed');
CREATE OR REPLACE FUNCTION inner_f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 2';
SELECT is(step('calls'), 'full 0', 'a function that a function of a function calls was replaced');
CREATE FUNCTION unrelated(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 2';
SELECT is(step('calls'), 'skip 0', 'another one does not matter');

-- ---- json, GROUPING ----
CREATE MATERIALIZED VIEW listed AS SELECT g, json_agg(id ORDER BY id) AS j, jsonb_agg(id ORDER BY id) AS b, json_build_object('n', count(*)) AS o FROM t GROUP BY g;
CREATE MATERIALIZED VIEW placed AS SELECT id, point(id, id) AS p, box(point(0, 0), point(id, 1)) AS b, circle(point(0, 0), id) AS c FROM t;
CREATE MATERIALIZED VIEW grouped AS SELECT g, count(*) AS n, grouping(g) AS s FROM t GROUP BY g;
SELECT matches(why_not('listed'), '^yes: groups that changes touch', 'groups listed as json');
SELECT count(*) AS managed FROM (VALUES ('listed'::regclass), ('placed')) v(mv), dbopt.matview_manage(mv, mode => 'incremental') \gset
SELECT is(step('listed') || ', ' || step('placed'), 'full 0, full 0', 'first');
INSERT INTO t VALUES (200, 'g1', 1, 1);
SELECT is(step('listed'), 'incremental 0', 'follow changes');
SELECT is(step('placed'), 'full 0', 'a type without equality is verified as text');
SELECT is(why_not('grouped'), 'no: it calls GROUPING()', 'GROUPING without grouping sets');

-- ---- labels of enums; types that cannot be compared ----
CREATE TYPE en AS ENUM ('a', 'b');
CREATE TABLE labelled (id int PRIMARY KEY, e en, x int);
INSERT INTO labelled SELECT i, (ARRAY['a', 'b'])[1 + i % 2]::en, i FROM generate_series(1, 10) i;
CREATE MATERIALIZED VIEW labels AS SELECT e::text AS et, sum(x) AS s FROM labelled GROUP BY 1;
CREATE MATERIALIZED VIEW points AS SELECT x % 3 AS k, point(sum(x)::float8, count(*)::float8) AS p, '{}'::json AS j FROM labelled GROUP BY 1;
SELECT count(*) AS managed FROM (VALUES ('labels'::regclass), ('points')) v(mv), dbopt.matview_manage(mv, mode => 'incremental') \gset
SELECT is(step('labels') || ', ' || step('points'), 'full 0, full 0', 'first');
ALTER TYPE en RENAME VALUE 'a' TO 'zz';
SELECT is(step('labels'), 'full 0', 'a label was renamed');
INSERT INTO labelled VALUES (101, 'zz', 5);
SELECT is(step('labels'), 'incremental 0', 'one group of one name');
SELECT matches(step('points'), '^(full|incremental) 0', 'points follow');
SET dbopt.matview_check_interval = 1;
SELECT pg_sleep(1.2) IS NULL AS slept \gset
INSERT INTO labelled VALUES (102, 'b', 5);
SELECT is(step('points'), 'incremental 0', 'a self-check that is not possible stops nobody');
INSERT INTO labelled VALUES (103, 'b', 5);
SELECT is(step('points'), 'incremental 0', 'nor the next');
RESET dbopt.matview_check_interval;

-- ---- messages ----
SELECT step('counts') IS NULL AS refreshed \gset
INSERT INTO t VALUES (201, 'g1', 1, 1);
SELECT is((SELECT string_agg(action || ' ' || status || ' ' || detail, '; ') FROM dbopt.matview_manage('counts', mode => 'incremental')),
    'manage skipped already managed: every 01:00:00, mode incremental, stale after 04:00:00; capture skipped changes of mvy.t are captured already', 'managed again');
SELECT is(step('counts'), 'incremental 0', 'which changed nothing');
SELECT throws_ok($$ SELECT * FROM dbopt.matview_refresh_all('bogus') $$, '22023', 'unknown refresh mode "bogus"', 'a mode that there is not');
SELECT throws_ok($$ SELECT * FROM dbopt.matview_refresh_all('bogus', true) $$, '22023', 'unknown refresh mode "bogus"', 'in a dry run, too');
BEGIN READ ONLY;
SELECT throws_ok($$ SELECT * FROM dbopt.matview_refresh('counts') $$, '25006', 'a materialized view cannot be refreshed in a read-only transaction', 'a transaction that only reads');
SELECT throws_ok($$ SELECT * FROM dbopt.matview_manage('counts') $$, '25006', 'nothing is managed in a read-only transaction', 'manages nothing');
COMMIT;
SELECT * FROM finish();
SELECT count(dbopt.matview_unmanage(matview)) AS unmanaged FROM dbopt.matviews WHERE managed \gset
SELECT dbopt.resume('matview') IS NULL AS resumed \gset
DROP SCHEMA mvy CASCADE;
