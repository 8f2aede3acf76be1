-- Sizes in the exposition and the report: those of a young snapshot, with what came since; measured where
-- there is none. The server's own functions are the truth.
BEGIN;
SELECT plan(14);
SELECT pg_advisory_xact_lock(1684434804, 2); -- the worker's round waits
DELETE FROM dbopt.history;
SELECT dbopt._history_partition(now() - make_interval(days => d)) FROM generate_series(0, 1) d;
CREATE TABLE sizes_a (id int PRIMARY KEY, v text);
ALTER TABLE sizes_a ALTER v SET STORAGE EXTERNAL;
INSERT INTO sizes_a SELECT g, repeat('x', 5000) FROM generate_series(1, 100) g;
CREATE INDEX ON sizes_a ((id + 1));
CREATE MATERIALIZED VIEW sizes_mv AS SELECT * FROM sizes_a;

CREATE VIEW told AS SELECT labels ->> 'relation' AS name, value FROM dbopt.metrics() WHERE metric = 'dbopt_table_bytes';
CREATE VIEW truth AS SELECT c.relname AS name, pg_total_relation_size(c.oid)::float8 AS bytes FROM pg_class c WHERE c.relname IN ('sizes_a', 'sizes_b', 'sizes_mv');

SELECT results_eq('SELECT t.name::text, t.bytes FROM truth t JOIN told USING (name) WHERE t.bytes = told.value ORDER BY 1', 'SELECT name::text, bytes FROM truth ORDER BY 1',
    'without a snapshot: measured, with indexes and toast');
SELECT doesnt_match(dbopt.report(), 'sizes of \d{4}', 'the report measures, too');
SELECT dbopt.snapshot();
SELECT results_eq('SELECT t.name::text, t.bytes FROM truth t JOIN told USING (name) WHERE t.bytes = told.value ORDER BY 1', 'SELECT name::text, bytes FROM truth ORDER BY 1',
    'from the snapshot: the same');
-- (the snapshot itself has made dbopt's history grow)
SELECT ok((SELECT abs(sum(value) / (SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c WHERE c.relkind IN ('r', 'm') AND c.oid >= 16384) - 1) < 0.05 FROM told),
    'all tables and "other" together are everything');
SELECT matches(dbopt.report(), 'sizes of \d{4}-', 'the report says of when');
SELECT matches(dbopt.report(), 'sizes_a', 'and lists it');

-- what comes later is measured
CREATE TABLE sizes_b (id int PRIMARY KEY, v text);
ALTER TABLE sizes_b ALTER v SET STORAGE EXTERNAL;
INSERT INTO sizes_b SELECT g, repeat('x', 9000) FROM generate_series(1, 200) g;
SELECT is((SELECT value FROM told WHERE name = 'sizes_b'), (SELECT bytes FROM truth WHERE name = 'sizes_b'), 'a new table is measured with all that belongs to it');
CREATE INDEX sizes_new ON sizes_a (v) WHERE false;
SELECT is((SELECT value FROM told WHERE name = 'sizes_a'), (SELECT bytes FROM truth WHERE name = 'sizes_a'), 'a new index of a known table, too');
SELECT matches(dbopt.report(), 'sizes_b', 'the report has it');
INSERT INTO sizes_b SELECT g, repeat('x', 9000) FROM generate_series(201, 2000) g;
SELECT is((SELECT value FROM told WHERE name = 'sizes_b'), (SELECT bytes FROM truth WHERE name = 'sizes_b'), 'and grows');
DROP TABLE sizes_b;
SELECT is((SELECT count(*) FROM told WHERE name = 'sizes_b'), 0::bigint, 'what is gone is not listed');

-- an old snapshot, or one from the future, is of no use
UPDATE dbopt.history SET taken_at = taken_at - interval '1 hour';
INSERT INTO sizes_a SELECT g, repeat('x', 5000) FROM generate_series(101, 300) g;
SELECT is((SELECT value FROM told WHERE name = 'sizes_a'), (SELECT bytes FROM truth WHERE name = 'sizes_a'), 'an hour old: measured');
UPDATE dbopt.history SET taken_at = taken_at + interval '61 minutes';
SELECT is((SELECT value FROM told WHERE name = 'sizes_a'), (SELECT bytes FROM truth WHERE name = 'sizes_a'), 'from the future: measured');
SELECT cmp_ok((SELECT value FROM dbopt.metrics() WHERE metric = 'dbopt_database_bytes'), '>', 5e6::float8, 'the whole database has a size');
SELECT * FROM finish();
ROLLBACK;
