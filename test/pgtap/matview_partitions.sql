-- Partitions that come and go below an incremental matview: empty ones are captured as they come and cost
-- nothing; whatever may have had rows before makes the next refresh a full one. Exact after each step.
SET client_min_messages = error;
SELECT plan(43);
SELECT dbopt.pause('matview') IS NULL AS paused \gset
CREATE SCHEMA mvb;
SET search_path = mvb, public;
CREATE FUNCTION pg_temp.step(mv regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
    SELECT * INTO r FROM dbopt.matview_refresh(mv);
    RETURN r.mode || ' ' || dbopt.matview_verify(mv) || CASE WHEN r.status = 'failed' OR r.reason LIKE '%gave up%' THEN ' ' || r.reason ELSE '' END;
END $$;
CREATE TABLE ev (id int, at int NOT NULL, g int, s text) PARTITION BY RANGE (at);
CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM (0) TO (100);
INSERT INTO ev SELECT i, i, i % 4, 'x' FROM generate_series(0, 99) i;
CREATE MATERIALIZED VIEW m AS SELECT g, count(*) AS n, count(DISTINCT id) AS d, sum(at) AS s FROM ev GROUP BY g;
CREATE MATERIALIZED VIEW bag AS SELECT id, at, g FROM ev WHERE at % 2 = 0;
SELECT count(*) AS managed FROM (VALUES ('m'::regclass), ('bag')) v(mv), dbopt.matview_manage(mv, mode => 'incremental') \gset
SELECT is(pg_temp.step('m'), 'full 0', 'the first refresh is full');
SELECT is(pg_temp.step('bag'), 'full 0', 'of both');

-- ---- empty ----
CREATE TABLE ev_2 PARTITION OF ev FOR VALUES FROM (100) TO (200);
SELECT is(pg_temp.step('m'), 'skip 0', 'an empty partition is no change');
INSERT INTO ev SELECT 1000 + i, 100 + i, i % 5, 'y' FROM generate_series(0, 40) i;
SELECT is(pg_temp.step('m'), 'incremental 0', 'rows in it are');
SELECT is(pg_temp.step('bag'), 'incremental 0', 'for a matview that was not refreshed in between, too');
UPDATE ev_2 SET g = 9 WHERE id % 3 = 0;
DELETE FROM ev WHERE at BETWEEN 95 AND 105;
UPDATE ev SET at = at + 100 WHERE at BETWEEN 50 AND 60;
SELECT is(pg_temp.step('m'), 'incremental 0', 'written directly and through the parent, moved from one to the other');
SELECT is(pg_temp.step('bag'), 'incremental 0', 'for both');

BEGIN;
CREATE TABLE ev_3 PARTITION OF ev FOR VALUES FROM (200) TO (300);
INSERT INTO ev VALUES (2000, 200, 1, 'z');
SAVEPOINT s;
CREATE TABLE ev_4 PARTITION OF ev FOR VALUES FROM (300) TO (400);
INSERT INTO ev VALUES (3000, 300, 1, 'z');
ROLLBACK TO s;
INSERT INTO ev_3 VALUES (2001, 201, 2, 'z');
COMMIT;
SELECT is(pg_temp.step('m'), 'incremental 0', 'created and filled in one transaction, another one rolled back');
SELECT is(pg_temp.step('bag'), 'incremental 0', 'for both');
BEGIN;
CREATE TABLE ev_4 PARTITION OF ev FOR VALUES FROM (300) TO (400);
INSERT INTO ev VALUES (3000, 300, 1, 'z');
SELECT is(pg_temp.step('m'), 'incremental 0', 'refreshed in the transaction that makes it');
COMMIT;
SELECT matches(pg_temp.step('m'), '^(full|skip|incremental) 0$', 'and after it');
INSERT INTO ev VALUES (3001, 301, 1, 'z');
SELECT is(pg_temp.step('m'), 'incremental 0', 'goes on');
SELECT is(pg_temp.step('bag'), 'incremental 0', 'for both');

-- Columns in another order, a partition of partitions, names that need quotes.
CREATE TABLE "Ev ""5""" (s text, g int, gone int, at int NOT NULL, id int);
ALTER TABLE "Ev ""5""" DROP COLUMN gone;
ALTER TABLE ev ATTACH PARTITION "Ev ""5""" FOR VALUES FROM (400) TO (500);
CREATE TABLE ev_6 PARTITION OF ev FOR VALUES FROM (500) TO (700) PARTITION BY LIST (g);
CREATE TABLE ev_6_1 PARTITION OF ev_6 FOR VALUES IN (1, 2);
CREATE TABLE ev_6_2 (LIKE ev_6);
ALTER TABLE ev_6 ATTACH PARTITION ev_6_2 DEFAULT;
INSERT INTO ev SELECT 5000 + i, 400 + i, i % 5, 'y' FROM generate_series(0, 299) i;
DELETE FROM ev_6 WHERE at % 7 = 0;
SELECT is(pg_temp.step('m'), 'incremental 0', 'attached empty, and below a partition');
SELECT is(pg_temp.step('bag'), 'incremental 0', 'for both');
CREATE TABLE had_rows (LIKE ev);
INSERT INTO had_rows VALUES (1, 750, 1, 'gone');
DELETE FROM had_rows;
ALTER TABLE ev ATTACH PARTITION had_rows FOR VALUES FROM (700) TO (800);
INSERT INTO ev VALUES (7000, 777, 1, 'new');
SELECT is(pg_temp.step('m'), 'incremental 0', 'a table whose rows are all gone is empty');
CREATE INDEX ON had_rows (id);
ANALYZE had_rows;
SELECT is(pg_temp.step('bag'), 'incremental 0', 'an index and statistics of it change nothing');

-- ---- not empty ----
CREATE TABLE full_one (LIKE ev);
INSERT INTO full_one VALUES (1, 850, 1, 'before'), (2, 851, 7, 'before');
ALTER TABLE ev ATTACH PARTITION full_one FOR VALUES FROM (800) TO (900);
SELECT is(pg_temp.step('m'), 'full 0', 'a partition with rows');
INSERT INTO ev VALUES (8000, 860, 1, 'new');
SELECT is(pg_temp.step('m'), 'incremental 0', 'which are in it now');
SELECT is(pg_temp.step('bag'), 'full 0', 'the other matview has not seen them');
BEGIN;
CREATE TABLE full_two (LIKE ev);
INSERT INTO full_two VALUES (1, 950, 1, 'same transaction');
ALTER TABLE ev ATTACH PARTITION full_two FOR VALUES FROM (900) TO (1000);
COMMIT;
SELECT is(pg_temp.step('m'), 'full 0', 'rows of the attaching transaction itself');
SELECT is(pg_temp.step('bag'), 'full 0', 'for both');
-- Attached, emptied, written: what came before it was captured may not be forgotten.
CREATE TABLE full_three (LIKE ev);
INSERT INTO full_three VALUES (1, 1050, 1, 'before');
ALTER TABLE ev ATTACH PARTITION full_three FOR VALUES FROM (1000) TO (1100);
DELETE FROM full_three;
INSERT INTO full_three VALUES (2, 1051, 1, 'after');
SELECT is(pg_temp.step('m'), 'full 0', 'emptied after it came');

-- ---- going, and coming back ----
ALTER TABLE ev DETACH PARTITION ev_2;
SELECT is(pg_temp.step('m'), 'full 0', 'detached with its rows');
DELETE FROM ev_2;
ALTER TABLE ev ATTACH PARTITION ev_2 FOR VALUES FROM (100) TO (200);
INSERT INTO ev VALUES (1, 101, 3, 'back');
SELECT matches(pg_temp.step('m'), '^(full|incremental) 0', 'emptied outside and attached again');
SELECT is(pg_temp.step('bag'), 'full 0', 'the other one knew its rows');
DROP TABLE ev_3;
CREATE TABLE ev_3 PARTITION OF ev FOR VALUES FROM (200) TO (300);
INSERT INTO ev VALUES (1, 201, 3, 'new');
SELECT is(pg_temp.step('m'), 'full 0', 'dropped and made again');
INSERT INTO ev_3 VALUES (2, 202, 3, 'new');
SELECT is(pg_temp.step('m'), 'incremental 0', 'captured all the same');
TRUNCATE ev_3;
SELECT is(pg_temp.step('m'), 'full 0', 'truncated');

-- ---- came, was filled and has gone before anybody looked: its rows are in the log only ----
SELECT pg_temp.step('m') = pg_temp.step('bag') AS both \gset
CREATE TABLE ev_c PARTITION OF ev FOR VALUES FROM (5000) TO (5100);
INSERT INTO ev VALUES (1, 5001, 3, 'lost');
DROP TABLE ev_c;
SELECT is(pg_temp.step('m'), 'full 0', 'dropped');
CREATE TABLE ev_c PARTITION OF ev FOR VALUES FROM (5000) TO (5100);
INSERT INTO ev VALUES (1, 5002, 3, 'lost');
ALTER TABLE ev DETACH PARTITION ev_c;
SELECT is(pg_temp.step('m'), 'full 0', 'detached');
SELECT is(pg_temp.step('bag'), 'full 0', 'for the one that saw neither');

-- ---- altered after it came ----
SELECT pg_temp.step('m') = pg_temp.step('bag') AS both \gset
CREATE TABLE ev_7 PARTITION OF ev FOR VALUES FROM (1100) TO (1200);
ALTER TABLE ev_7 DISABLE TRIGGER dbopt_capture_ins;
INSERT INTO ev VALUES (1, 1101, 1, 'unseen');
INSERT INTO ev_7 VALUES (2, 1102, 1, 'unseen');
ALTER TABLE ev_7 ENABLE ALWAYS TRIGGER dbopt_capture_ins;
SELECT is(pg_temp.step('m'), 'full 0', 'its triggers were off for a while');
CREATE TABLE ev_8 PARTITION OF ev FOR VALUES FROM (1200) TO (1300);
ALTER TABLE ev_8 DROP CONSTRAINT IF EXISTS nothing, SET (fillfactor = 50);
INSERT INTO ev VALUES (1, 1201, 1, 'seen');
SELECT matches(pg_temp.step('m'), '^(full|incremental) 0', 'an option was set');
CREATE UNLOGGED TABLE ev_9 PARTITION OF ev FOR VALUES FROM (1300) TO (1400);
INSERT INTO ev VALUES (1, 1301, 1, 'unlogged');
SELECT matches(pg_temp.step('m'), '^full 0', 'an unlogged one');
SELECT is((SELECT verdict FROM dbopt.matview_explain('m') WHERE aspect = 'incremental'), 'no', 'ends incremental refreshes');
DROP TABLE ev_9;
SELECT is(pg_temp.step('m'), 'full 0', 'which begin again');

-- ---- event triggers off: a full refresh, as ever ----
SELECT pg_temp.step('bag') IS NULL AS both \gset
ALTER EVENT TRIGGER dbopt_matview_partition DISABLE;
CREATE TABLE ev_10 PARTITION OF ev FOR VALUES FROM (1400) TO (1500);
INSERT INTO ev VALUES (1, 1401, 1, 'not captured');
ALTER EVENT TRIGGER dbopt_matview_partition ENABLE ALWAYS;
SELECT is(pg_temp.step('m'), 'full 0', 'a partition that nobody noticed');
INSERT INTO ev VALUES (1, 1402, 1, 'captured');
SELECT is(pg_temp.step('m'), 'incremental 0', 'is captured from then on');

-- ---- another owner: a stranger's partition is captured with nobody's rights but the extension's ----
CREATE ROLE mvb_owner;
GRANT USAGE, CREATE ON SCHEMA mvb TO mvb_owner;
ALTER TABLE ev OWNER TO mvb_owner;
ALTER MATERIALIZED VIEW m OWNER TO mvb_owner;
SELECT matches(pg_temp.step('m'), '^full 0', 'another owner');
SET ROLE mvb_owner;
CREATE TABLE ev_11 PARTITION OF ev FOR VALUES FROM (1500) TO (1600);
INSERT INTO ev VALUES (1, 1501, 1, 'theirs');
RESET ROLE;
SELECT is(pg_temp.step('m'), 'incremental 0', 'makes a partition');
SELECT is((SELECT count(*) FROM dbopt._matview_born b WHERE b.relation = 'ev_11'::regclass), 1::bigint, 'which is known');
SELECT count(dbopt.matview_unmanage(mv)) AS unmanaged FROM (VALUES ('m'::regclass), ('bag')) v(mv) \gset
CREATE TABLE ev_12 PARTITION OF ev FOR VALUES FROM (1600) TO (1700);
SELECT is((SELECT count(*) FROM pg_trigger WHERE tgrelid = 'ev_12'::regclass), 0::bigint, 'no matview, no triggers');
SELECT * FROM finish();
SELECT dbopt.resume('matview') IS NULL AS resumed \gset
DROP SCHEMA mvb CASCADE;
DROP ROLE mvb_owner;
