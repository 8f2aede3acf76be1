-- Refreshes called from the middle of a statement that writes a base: rows are in the base whose changes are not
-- in the log yet. Nothing is counted twice, neither then nor later.
SET client_min_messages = error;
SELECT plan(34);
SELECT dbopt.pause('matview') IS NULL AS paused \gset
CREATE SCHEMA mvu;
SET search_path = mvu, public;
CREATE FUNCTION step(mv regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
    SELECT * INTO r FROM dbopt.matview_refresh(mv);
    RETURN r.mode || ' ' || dbopt.matview_verify(mv) || CASE WHEN r.status = 'failed' THEN ' ' || r.reason ELSE '' END;
END $$;
CREATE FUNCTION pair() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN step('mvu.counted') || ', ' || step('mvu.joined'); END $$;
CREATE TABLE a (id int PRIMARY KEY, k int, v int);
CREATE TABLE b (id int PRIMARY KEY, k int, w int);
CREATE TABLE other (id int);
INSERT INTO a SELECT i, i % 5, i FROM generate_series(1, 50) i;
INSERT INTO b SELECT i, i % 5, i FROM generate_series(1, 20) i;
CREATE MATERIALIZED VIEW counted AS SELECT a.k, count(*) AS n, sum(v * w) AS s FROM a JOIN b USING (k) GROUP BY a.k;
CREATE MATERIALIZED VIEW joined AS SELECT a.id, count(b.id) AS n, sum(w) AS s FROM a LEFT JOIN b USING (k) GROUP BY a.id;
SELECT count(*) AS managed FROM (VALUES ('counted'::regclass), ('joined')) v(mv), dbopt.matview_manage(mv, mode => 'incremental') \gset
SELECT is(pair(), 'full 0, full 0', 'first');

-- A row trigger, a statement trigger that fires before dbopt's, one that fires after it, and BEFORE triggers.
CREATE FUNCTION early() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dbopt.matview_refresh('mvu.counted'), dbopt.matview_refresh('mvu.joined');
    RETURN CASE WHEN TG_LEVEL = 'ROW' AND TG_WHEN = 'BEFORE' THEN coalesce(NEW, OLD) END;
END $$;
CREATE TEMP TABLE kinds AS SELECT * FROM (VALUES (1, 'aaa', 'AFTER', 'ROW'), (2, 'aab', 'AFTER', 'STATEMENT'), (3, 'zzz', 'AFTER', 'STATEMENT'), (4, 'aac', 'BEFORE', 'ROW'),
    (5, 'aad', 'BEFORE', 'STATEMENT')) v(nr, name, at, level);
CREATE FUNCTION pg_temp.with_trigger(number int) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE t kinds;
BEGIN
    SELECT * INTO t FROM kinds WHERE nr = number;
    EXECUTE format('CREATE TRIGGER %I %s INSERT OR UPDATE OR DELETE ON b FOR EACH %s EXECUTE FUNCTION early()', t.name, t.at, t.level);
    INSERT INTO a VALUES (100 + number, 2, 7);
    INSERT INTO b VALUES (100 + number, 2, 9), (200 + number, 3, 1);
    UPDATE b SET w = w + 1, k = (k + 1) % 5 WHERE id IN (3, 4, 100 + number);
    DELETE FROM b WHERE id = 200 + number;
    EXECUTE format('DROP TRIGGER %I ON b', t.name);
    RETURN NEXT is((SELECT dbopt.matview_verify('counted') >= 0), true, format('%s %s: verified inside', t.at, t.level));
END $$;
SELECT pg_temp.with_trigger(1);
SELECT matches(pair(), '^\w+ 0, \w+ 0$', 'after a row trigger');
SELECT pg_temp.with_trigger(2);
SELECT matches(pair(), '^\w+ 0, \w+ 0$', 'after a statement trigger that fires before the capture');
SELECT pg_temp.with_trigger(3);
SELECT matches(pair(), '^\w+ 0, \w+ 0$', 'after a statement trigger that fires after it');
SELECT pg_temp.with_trigger(4);
SELECT matches(pair(), '^\w+ 0, \w+ 0$', 'after a row trigger before the row');
SELECT pg_temp.with_trigger(5);
SELECT matches(pair(), '^\w+ 0, \w+ 0$', 'after a statement trigger before the rows');
INSERT INTO b VALUES (301, 2, 9);
SELECT is(pair(), 'incremental 0, incremental 0', 'without triggers: incremental');

-- WITH
BEGIN;
INSERT INTO a VALUES (110, 2, 7);
WITH i AS (INSERT INTO b VALUES (110, 2, 9), (111, 2, 9) RETURNING 1)
SELECT (SELECT status FROM dbopt.matview_refresh('counted')) || (SELECT status FROM dbopt.matview_refresh('joined')) AS refreshed FROM i LIMIT 1 \gset
COMMIT;
SELECT matches(pair(), '^\w+ 0, \w+ 0$', 'after a refresh beside INSERT in WITH');
WITH d AS (DELETE FROM b WHERE id = 111 RETURNING 1)
SELECT (SELECT row(mode, reason)::text FROM dbopt.matview_refresh('counted')) AS said FROM d \gset w_
SELECT is(:'w_said'::text, '(full,"a statement that writes ""mvu.b"" called it and has not ended")', 'DELETE in WITH, and the reason');
SELECT is((SELECT needs_full FROM dbopt.matviews WHERE matview = 'counted'::regclass), 'a statement that writes "mvu.b" called it and has not ended', 'which stands until');
SELECT is(pair(), 'full 0, incremental 0', 'the next refresh');
INSERT INTO b VALUES (302, 2, 9);
SELECT is(pair(), 'incremental 0, incremental 0', 'then incremental again');

-- A trigger of another table, and a cursor that only reads: nothing speaks against it.
CREATE FUNCTION calls() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE m text;
BEGIN
    SELECT mode INTO m FROM dbopt.matview_refresh('mvu.counted');
    INSERT INTO mvu.said VALUES (m);
    RETURN NULL;
END $$;
CREATE TABLE said (mode text);
CREATE TRIGGER refresh_it AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION calls();
INSERT INTO b VALUES (303, 2, 9);
INSERT INTO other VALUES (1);
SELECT is((SELECT string_agg(mode, ',') FROM said), 'incremental', 'a trigger of a table that is no base');
BEGIN;
INSERT INTO b VALUES (304, 2, 9);
INSERT INTO other VALUES (1);
COMMIT;
SELECT is((SELECT string_agg(mode, ',') FROM said), 'incremental,incremental', 'after a statement on the base that has ended');
SELECT is(pair(), 'skip 0, incremental 0', 'exact');
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM b ORDER BY id;
FETCH 2 FROM c \g /dev/null
SELECT is((SELECT status FROM dbopt.matview_refresh('joined')), 'skipped', 'a cursor on the base is open');
COMMIT;

-- Foreign keys: the rows that CASCADE removes belong to the statement that removed their parent.
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE, k int);
INSERT INTO parent SELECT generate_series(1, 9);
INSERT INTO child SELECT i, i % 9 + 1, i % 5 FROM generate_series(1, 60) i;
CREATE MATERIALIZED VIEW cascaded AS SELECT c.k, count(*) AS n, count(DISTINCT b.id) AS d FROM child c LEFT JOIN b USING (k) GROUP BY c.k;
SELECT count(*) AS managed FROM dbopt.matview_manage('cascaded', mode => 'incremental') \gset
SELECT is(step('cascaded'), 'full 0', 'first');
CREATE FUNCTION on_child() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM dbopt.matview_refresh('mvu.cascaded'); RETURN NULL; END $$;
CREATE TRIGGER aaa AFTER DELETE ON parent FOR EACH ROW EXECUTE FUNCTION on_child();
CREATE TRIGGER zzz AFTER DELETE ON child FOR EACH ROW EXECUTE FUNCTION on_child();
DELETE FROM parent WHERE id IN (2, 5);
SELECT matches(step('cascaded'), '^\w+ 0$', 'refreshed while rows cascade');
DROP TRIGGER aaa ON parent;
DROP TRIGGER zzz ON child;
DELETE FROM parent WHERE id = 7;
SELECT matches(step('cascaded'), '^\w+ 0$', 'and without');
DELETE FROM parent WHERE id = 8;
SELECT is(step('cascaded'), 'incremental 0', 'counted');

-- Partitions: the trigger stands at the leaf, the rows come through the root; COPY writes as well.
CREATE TABLE p (id int, k int) PARTITION BY LIST (k);
CREATE TABLE p_1 PARTITION OF p FOR VALUES IN (1);
CREATE TABLE p_2 PARTITION OF p DEFAULT;
INSERT INTO p SELECT i, i % 3 FROM generate_series(1, 30) i;
CREATE MATERIALIZED VIEW parted AS SELECT p.k, count(*) AS n, count(b.id) AS b FROM p LEFT JOIN b USING (k) GROUP BY p.k;
SELECT count(*) AS managed FROM dbopt.matview_manage('parted', mode => 'incremental') \gset
SELECT is(step('parted'), 'full 0', 'first');
CREATE FUNCTION on_leaf() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM dbopt.matview_refresh('mvu.parted'); RETURN NULL; END $$;
CREATE TRIGGER aaa AFTER INSERT ON p_1 FOR EACH ROW EXECUTE FUNCTION on_leaf();
INSERT INTO p VALUES (100, 1), (101, 2), (102, 1);
SELECT matches(step('parted'), '^\w+ 0$', 'a trigger of a leaf, rows through the root');
COPY p FROM PROGRAM 'printf "200\t1\n201\t2\n"';
SELECT matches(step('parted'), '^\w+ 0$', 'COPY');
INSERT INTO p_1 VALUES (103, 1);
SELECT matches(step('parted'), '^\w+ 0$', 'rows through the leaf');
DROP TRIGGER aaa ON p_1;
INSERT INTO p VALUES (104, 1);
SELECT matches(step('parted'), '^\w+ 0$', 'no trigger');
INSERT INTO p VALUES (105, 1);
SELECT is(step('parted'), 'incremental 0', 'counted');
-- A full refresh asked for in so many words is no ground to build on either.
CREATE FUNCTION in_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM dbopt.matview_refresh('mvu.parted', 'full'); RETURN NULL; END $$;
CREATE TRIGGER aaa AFTER INSERT ON p FOR EACH ROW EXECUTE FUNCTION in_full();
INSERT INTO p VALUES (106, 1), (107, 2);
DROP TRIGGER aaa ON p;
SELECT is(step('parted'), 'full 0', 'mode full from a trigger');
INSERT INTO p VALUES (108, 1);
SELECT is(step('parted'), 'incremental 0', 'counted again');
CREATE TABLE target (id int PRIMARY KEY);
CREATE TABLE late_fk (id int, t int REFERENCES target DEFERRABLE INITIALLY DEFERRED);
CREATE MATERIALIZED VIEW of_fk AS SELECT t, count(*) AS n FROM late_fk GROUP BY t;
SELECT count(*) AS managed FROM dbopt.matview_manage('of_fk', mode => 'incremental') \gset
SELECT step('of_fk') IS NULL AS first \gset
BEGIN;
INSERT INTO target VALUES (1);
INSERT INTO late_fk VALUES (1, 1);
SELECT is(step('of_fk'), 'incremental 0', 'a deferred constraint that waits is no statement under way');
COMMIT;
SELECT * FROM finish();
SELECT count(dbopt.matview_unmanage(matview)) AS unmanaged FROM dbopt.matviews WHERE managed \gset
SELECT dbopt.resume('matview') IS NULL AS resumed \gset
DROP SCHEMA mvu CASCADE;
