-- Incremental refreshes: exact for the supported views, and a full refresh with the reason otherwise.
SELECT plan(40);
SET client_min_messages = warning;
SET timezone = 'UTC';
SELECT dbopt.pause('matview') IS NULL AS paused \gset
CREATE SCHEMA mv;
SET search_path = mv, public;
CREATE TABLE u (id int PRIMARY KEY, name text);
CREATE TABLE e (id serial PRIMARY KEY, user_id int, course_id int, status text, progress numeric(5,2));
INSERT INTO u SELECT i, 'n' || i FROM generate_series(1, 100) i;
INSERT INTO e (user_id, course_id, status, progress)
SELECT (i * 7) % 80 + 1, (i * 13) % 40, (ARRAY['COMPLETED', 'ACTIVE', NULL])[i % 3 + 1], (i % 1000) / 10.0
FROM generate_series(1, 2000) i;
CREATE MATERIALIZED VIEW summary AS
SELECT u.id AS user_id, count(DISTINCT e.course_id) AS total,
       count(DISTINCT CASE WHEN e.status = 'COMPLETED' THEN e.course_id END) AS done,
       avg(CASE WHEN e.status = 'COMPLETED' THEN e.progress END) AS progress,
       round(least(100, count(DISTINCT e.course_id) * 2.5), 1) AS score
FROM u LEFT JOIN e ON e.user_id = u.id GROUP BY u.id;
CREATE UNIQUE INDEX ON summary (user_id);
CREATE MATERIALIZED VIEW plain AS SELECT u.name, e.course_id, e.status FROM u JOIN e ON e.user_id = u.id;
CREATE MATERIALIZED VIEW grouped AS
SELECT status, count(*) n, sum(progress) s, min(course_id) lo, max(course_id) hi FROM e GROUP BY status
HAVING count(*) > 5;
CREATE MATERIALIZED VIEW spread AS SELECT course_id, stddev(user_id) FROM e GROUP BY course_id;
CREATE MATERIALIZED VIEW child AS SELECT sum(total) AS total FROM summary;

CREATE FUNCTION pg_temp.mode(m regclass, wanted text DEFAULT 'auto') RETURNS text LANGUAGE sql AS
$$ SELECT mode || ' ' || status FROM dbopt.matview_refresh(m, wanted) $$;
CREATE FUNCTION pg_temp.reason(m regclass) RETURNS text LANGUAGE sql AS
$$ SELECT reason FROM dbopt.matview_refresh(m) $$;

SELECT is((SELECT string_agg(action || ' ' || status, ', ') FROM dbopt.matview_manage('summary')), 'manage done, capture done', 'managed and captured');
SELECT is((SELECT string_agg(status, ', ') FROM dbopt.matview_manage('plain')), 'done, done', 'a join');
SELECT is((SELECT string_agg(status, ', ') FROM dbopt.matview_manage('grouped')), 'done, done', 'groups');
SELECT is((SELECT string_agg(status, ', ') FROM dbopt.matview_manage('spread')), 'done, done', 'groups to be recomputed');
SELECT is((SELECT string_agg(status, ', ') FROM dbopt.matview_manage('child')), 'done, done', 'a matview on a matview');
SELECT is((SELECT status FROM dbopt.matview_manage('child', '1 hour') LIMIT 1), 'skipped', 'identical is skipped');
SELECT is((SELECT action || ' ' || status FROM dbopt.matview_manage('child', '2 hours') LIMIT 1), 'change done', 'a change is reported');
SELECT throws_ok($$SELECT dbopt.matview_manage('u')$$, '42809', NULL, 'a table is refused');
SELECT throws_ok($$SELECT dbopt.matview_manage('child', mode => 'fast')$$, '22023', NULL, 'an unknown mode is refused');
SELECT throws_ok($$SELECT dbopt.matview_manage('child', every => '-1 hour')$$, '22023', NULL, 'a negative interval is refused');

SELECT is((SELECT count(*) FROM dbopt.matview_refresh_all() WHERE status = 'done'), 5::bigint, 'the first refresh is a full one');
SELECT is((SELECT string_agg(DISTINCT mode, ',') FROM dbopt.matview_refresh_all()), 'skip', 'then nothing has changed');

INSERT INTO e (user_id, course_id, status, progress) VALUES (99, 1, 'COMPLETED', 77), (99, 1, 'ACTIVE', 99), (3, NULL, 'X', 1);
UPDATE e SET status = 'COMPLETED' WHERE id BETWEEN 10 AND 30;
DELETE FROM e WHERE user_id = 5;
UPDATE u SET name = 'zz' WHERE id = 9;
DELETE FROM u WHERE id = 77;
SELECT is(pg_temp.mode('summary'), 'incremental done', 'left join with distinct counts');
SELECT is(dbopt.matview_verify('summary'), 0::bigint, '… exact');
SELECT is(pg_temp.mode('plain'), 'incremental done', 'join');
SELECT is(dbopt.matview_verify('plain'), 0::bigint, '… exact');
SELECT is(pg_temp.mode('grouped'), 'incremental done', 'having, min, max');
SELECT is(dbopt.matview_verify('grouped'), 0::bigint, '… exact');
SELECT is(pg_temp.mode('spread'), 'incremental done', 'stddev by group');
SELECT is(dbopt.matview_verify('spread'), 0::bigint, '… exact');
SELECT is(pg_temp.mode('child'), 'incremental done', 'the parent''s refresh handed its changes on');
SELECT is(dbopt.matview_verify('child'), 0::bigint, '… exact');

BEGIN;
UPDATE e SET progress = 1 WHERE id = 100;
SAVEPOINT s;
DELETE FROM e WHERE id < 50;
ROLLBACK TO s;
COMMIT;
SELECT is(pg_temp.mode('summary'), 'incremental done', 'after a savepoint');
SELECT is(dbopt.matview_verify('summary'), 0::bigint, '… exact');

BEGIN;
DELETE FROM e WHERE id BETWEEN 200 AND 220;
SELECT is(pg_temp.mode('summary'), 'incremental done', 'in the writer''s own transaction');
SELECT is(dbopt.matview_verify('summary'), 0::bigint, '… exact');
DELETE FROM e WHERE id BETWEEN 220 AND 240;
COMMIT;
SELECT is(pg_temp.reason('summary'), '20 changed base rows', 'the next one sees what came after it');
SELECT is(dbopt.matview_verify('summary'), 0::bigint, '… exact');

TRUNCATE e;
SELECT alike(pg_temp.reason('summary'), '%file%', 'TRUNCATE is seen');
SELECT is(dbopt.matview_verify('summary'), 0::bigint, '… exact');
SET session_replication_role = replica;
INSERT INTO e (user_id, course_id, status, progress) VALUES (1, 1, 'COMPLETED', 5);
RESET session_replication_role;
SELECT is(pg_temp.mode('summary'), 'incremental done', 'session_replication_role = replica does not hide changes');
SELECT is(dbopt.matview_verify('summary'), 0::bigint, '… exact');
ALTER TABLE e DISABLE TRIGGER dbopt_capture_ins;
INSERT INTO e (user_id, course_id, status, progress) VALUES (2, 1, 'COMPLETED', 5);
ALTER TABLE e ENABLE ALWAYS TRIGGER dbopt_capture_ins;
SELECT alike(pg_temp.reason('summary'), 'a definition%', 'a trigger that was off for a while is noticed');
SELECT is(dbopt.matview_verify('summary'), 0::bigint, '… exact');
REFRESH MATERIALIZED VIEW summary;
SELECT alike(pg_temp.reason('summary'), '%another command', 'a plain REFRESH is noticed');
SELECT is((SELECT reason FROM dbopt.matview_refreshes WHERE reason LIKE 'REFRESH%'), 'REFRESH MATERIALIZED VIEW', 'and recorded');
SELECT is((SELECT verdict FROM dbopt.matview_explain('summary') WHERE aspect = 'incremental'), 'yes', 'explained');
CREATE MATERIALIZED VIEW clock AS SELECT id, now() AS t FROM u;
SELECT alike((SELECT detail FROM dbopt.matview_explain('clock') WHERE aspect = 'incremental'), '%now()%', 'now() cannot be incremental');
SELECT lives_ok($$SELECT dbopt.matview_unmanage(m) FROM unnest('{summary,plain,grouped,spread,child}'::regclass[]) m$$, 'unmanaged');
SELECT is((SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'dbopt\_capture%'), 0::bigint, 'no trigger is left');
SELECT * FROM finish();
SELECT dbopt.resume('matview') IS NULL AS resumed \gset
DROP SCHEMA mv CASCADE;
