-- Maintenance as a user meets it.
SET client_min_messages = warning;
CREATE TABLE parts (id int PRIMARY KEY, v text) WITH (autovacuum_enabled = off);
INSERT INTO parts SELECT g, md5(g::text) FROM generate_series(1, 20000) g;
CREATE INDEX parts_v ON parts (v);
ANALYZE parts;
DELETE FROM parts WHERE id % 3 = 0;
SELECT pg_sleep(1.5) IS NOT NULL AS statistics_have_arrived;
SELECT relation, action, command, blocker IS NULL AS free FROM dbopt.maintenance_plan()
WHERE relation IN ('parts'::regclass, 'parts_v') AND action IN ('vacuum', 'reindex') ORDER BY priority;
-- by name, needed or not; CALL waits until it is done
CALL dbopt.maintenance_run('{analyze}', '{parts}');
SELECT relation, action, command, status FROM dbopt.maintenance_runs WHERE relation = 'public.parts' ORDER BY id DESC LIMIT 1;
-- mistakes
CALL dbopt.maintenance_run('{tidy}');
CALL dbopt.maintenance_run(max_duration => '0 s');
BEGIN;
CALL dbopt.maintenance_run('{analyze}', '{parts}');
ROLLBACK;
SELECT kind, holder FROM dbopt.xmin_holders WHERE holder = 'nobody';
DROP TABLE parts;
