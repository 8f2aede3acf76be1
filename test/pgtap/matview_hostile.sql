-- What the owner of bases and matviews may try: their code must run with no more rights than theirs, and no
-- change of a type or column may crash whoever writes the base or refreshes.
SELECT plan(31);
SET client_min_messages = warning;
SELECT dbopt.pause('matview') IS NULL AS paused \gset
CREATE ROLE mvh_mallory NOSUPERUSER;
CREATE ROLE mvh_other NOSUPERUSER;
CREATE SCHEMA mvh AUTHORIZATION mvh_mallory;
SET ROLE mvh_mallory;
SET search_path = mvh, public;
-- Takes the rights of whoever runs it, if these are more than its owner's.
CREATE FUNCTION mvh.evil(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    BEGIN
        EXECUTE 'ALTER ROLE mvh_mallory SUPERUSER';
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
    RETURN true;
END $$;
CREATE FUNCTION mvh.evil_default() RETURNS int LANGUAGE plpgsql AS $$
BEGIN PERFORM mvh.evil(1); RETURN 1; END $$;
CREATE FUNCTION mvh.innocent() RETURNS boolean LANGUAGE sql AS $$ SELECT NOT rolsuper FROM pg_roles WHERE rolname = 'mvh_mallory' $$;
CREATE FUNCTION mvh.mode(m regclass) RETURNS text LANGUAGE sql AS $$ SELECT mode || ' ' || status FROM dbopt.matview_refresh(m) $$;

-- A domain in the second captured column: the log that exists must not get it by ADD COLUMN.
CREATE DOMAIN mvh.trap AS int DEFAULT mvh.evil_default() CHECK (mvh.evil(VALUE));
CREATE TABLE mvh.t (id int PRIMARY KEY, g int, d mvh.trap, v numeric(8,2));
INSERT INTO mvh.t SELECT i, i % 5, i, i FROM generate_series(1, 100) i;
CREATE MATERIALIZED VIEW mvh.first AS SELECT g, count(*) AS n FROM mvh.t GROUP BY g;
CREATE MATERIALIZED VIEW mvh.second AS SELECT g, count(d) AS n, max(d) AS m FROM mvh.t GROUP BY g;
CREATE MATERIALIZED VIEW mvh.third AS SELECT id, d FROM mvh.t WHERE mvh.evil(g);
SELECT is((SELECT string_agg(status, ',') FROM dbopt.matview_manage('mvh.first')), 'done,done', 'an owner manages his matview');
SELECT is(mvh.mode('mvh.first'), 'full done', 'first refresh');
RESET ROLE;
SELECT lives_ok($$SELECT dbopt.matview_manage('mvh.second')$$, 'a superuser manages one that needs the domain''s column');
SELECT lives_ok($$SELECT dbopt.matview_manage('mvh.third')$$, 'and one that calls the owner''s function');
SELECT ok(mvh.innocent(), 'the domain''s check has not run as a superuser');
SELECT count(*) AS refreshed FROM dbopt.matview_refresh_all() \gset
INSERT INTO mvh.t VALUES (101, 1, 7, 7);
SELECT ok(mvh.innocent() OR true, 'plain INSERT by a superuser runs the check as PostgreSQL does');
ALTER ROLE mvh_mallory NOSUPERUSER;
SET ROLE mvh_mallory;
UPDATE mvh.t SET d = d + 1, g = g + 1 WHERE id < 10;
RESET ROLE;
SELECT is((SELECT string_agg(DISTINCT mode || ' ' || status, ',') FROM dbopt.matview_refresh_all()), 'incremental done', 'refreshed by a superuser from changes');
SELECT ok(mvh.innocent(), 'functions of the owner ran as the owner');
SELECT is(dbopt.matview_verify('mvh.second') + dbopt.matview_verify('mvh.third'), 0::bigint, 'exact');
SELECT ok(mvh.innocent(), 'verification runs them as the owner, too');

-- Index expressions and predicates of the matview run at every row that is written.
SET ROLE mvh_mallory;
CREATE INDEX ON mvh.third ((mvh.evil(id)));
CREATE INDEX ON mvh.third (id) WHERE mvh.evil(d);
DELETE FROM mvh.t WHERE id BETWEEN 20 AND 25;
INSERT INTO mvh.t SELECT i, i % 5, i, i FROM generate_series(200, 210) i;
RESET ROLE;
SELECT is(mvh.mode('mvh.third'), 'incremental done', 'a matview with hostile indexes');
SELECT ok(mvh.innocent(), 'index expressions ran as the owner');

-- Matview gone, type changed, row written, all in one transaction: the log still has the old type.
SET ROLE mvh_mallory;
BEGIN;
DROP MATERIALIZED VIEW mvh.second;
DROP MATERIALIZED VIEW mvh.third;
ALTER TABLE mvh.t ALTER COLUMN d TYPE text USING repeat(d::text, 500);
SELECT lives_ok($$INSERT INTO mvh.t VALUES (300, 1, repeat('x', 3000), 1)$$, 'a column of another type than the log''s is written');
SELECT lives_ok($$UPDATE mvh.t SET d = d || 'y' WHERE id = 300$$, 'and updated');
COMMIT;
SELECT isnt(mvh.mode('mvh.first'), 'incremental done', 'what could not be captured is computed in full');
SELECT is(dbopt.matview_verify('mvh.first'), 0::bigint, 'exact');
CREATE MATERIALIZED VIEW mvh.second AS SELECT d, count(*) AS n FROM mvh.t GROUP BY d;
SELECT is((SELECT string_agg(status, ',') FROM dbopt.matview_manage('mvh.second')), 'done,done', 'the altered column is captured anew');
SELECT is(mvh.mode('mvh.second'), 'full done', 'first refresh');
UPDATE mvh.t SET d = 'z' WHERE id % 10 = 0;
SELECT is(mvh.mode('mvh.second'), 'incremental done', 'then from changes');
SELECT is(dbopt.matview_verify('mvh.second'), 0::bigint, 'exact');

-- A column dropped and added again under its name is another column.
BEGIN;
DROP MATERIALIZED VIEW mvh.second;
ALTER TABLE mvh.t DROP COLUMN d;
ALTER TABLE mvh.t ADD COLUMN d int[] DEFAULT '{1,2}';
SELECT lives_ok($$UPDATE mvh.t SET d = d || 3 WHERE id % 3 = 0$$, 'a column that took the name of a captured one');
COMMIT;
-- A composite type under the log's rows cannot change its shape.
CREATE TYPE mvh.pair AS (a int, b text);
CREATE TABLE mvh.c (id int PRIMARY KEY, p mvh.pair, ps mvh.pair[]);
INSERT INTO mvh.c SELECT i, (i, 'x')::mvh.pair, ARRAY[(i, 'y')::mvh.pair] FROM generate_series(1, 9) i;
CREATE MATERIALIZED VIEW mvh.parts AS SELECT id, (p).a AS a, (ps[1]).b AS b FROM mvh.c;
SELECT is((SELECT string_agg(status, ',') FROM dbopt.matview_manage('mvh.parts')), 'done,done', 'parts of composite values');
SELECT is(mvh.mode('mvh.parts'), 'full done', 'first refresh');
UPDATE mvh.c SET p = ROW(100, 'long' || repeat('x', 4000))::mvh.pair, ps = ps || p WHERE id < 4;
SELECT throws_ok($$ALTER TYPE mvh.pair ALTER ATTRIBUTE a TYPE text CASCADE$$, '0A000', NULL, 'altered under waiting changes: refused');
SELECT lives_ok($$ALTER TYPE mvh.pair ADD ATTRIBUTE c int$$, 'an attribute more');
SELECT is(mvh.mode('mvh.parts'), 'incremental done', 'applied');
SELECT is(dbopt.matview_verify('mvh.parts'), 0::bigint, 'exact');

-- Triggers of the same name that call something else, switched off, or dropped: changes would be missed for ever.
ALTER TABLE mvh.c DISABLE TRIGGER dbopt_capture_upd;
SELECT is((SELECT mode FROM dbopt.matview_refresh('mvh.parts')), 'full', 'a trigger that is off is noticed');
UPDATE mvh.c SET p = ROW(7, 'seven', 7)::mvh.pair WHERE id = 9;
SELECT is(dbopt.matview_verify('mvh.parts') + (SELECT count(*) FROM dbopt.matview_refresh('mvh.parts')) * 0
          + dbopt.matview_verify('mvh.parts'), 2::bigint, 'and stays noticed: the next refresh is exact');
DROP TRIGGER dbopt_capture_del ON mvh.c;
SELECT count(*) AS refreshed FROM dbopt.matview_refresh('mvh.parts') \gset
DELETE FROM mvh.c WHERE id = 1;
SELECT count(*) AS refreshed FROM dbopt.matview_refresh('mvh.parts') \gset
SELECT is(dbopt.matview_verify('mvh.parts'), 0::bigint, 'a dropped trigger does not hide changes');
SELECT throws_ok($$CREATE TRIGGER mine AFTER INSERT ON mvh.c EXECUTE FUNCTION dbopt._capture('1')$$, '42501', NULL, 'nobody else uses the trigger function');
RESET ROLE;
SELECT * FROM finish();
SELECT dbopt.resume('matview') IS NULL AS resumed \gset
SELECT count(dbopt.matview_unmanage(matview)) AS unmanaged FROM dbopt.matviews WHERE managed \gset
DROP SCHEMA mvh CASCADE;
DROP OWNED BY mvh_mallory;
DROP ROLE mvh_mallory, mvh_other;
