-- Sizes without locks are those of the server; nothing here waits for a table that is locked.
BEGIN;
SELECT plan(15);

CREATE TABLE b_plain (a int PRIMARY KEY, v text);
ALTER TABLE b_plain ALTER v SET STORAGE EXTERNAL;
INSERT INTO b_plain SELECT i, repeat('x', 4000) FROM generate_series(1, 500) i;
CREATE INDEX ON b_plain (v text_pattern_ops) WHERE a < 0;
CREATE TEMP TABLE b_temp AS SELECT * FROM generate_series(1, 5000) i;
CREATE UNLOGGED TABLE b_unlogged AS SELECT * FROM generate_series(1, 5000) i;
CREATE TABLE b_parent (a int) PARTITION BY RANGE (a);
CREATE VIEW b_view AS SELECT 1;

SELECT is(dbopt._bytes(r), pg_relation_size(r), r::text) FROM unnest('{b_plain,b_plain_pkey,b_temp,b_unlogged}'::regclass[]) r;
SELECT is(dbopt._bytes(r, true), pg_total_relation_size(r), r || ' in all') FROM unnest('{b_plain,b_temp,b_unlogged}'::regclass[]) r;
SELECT is(dbopt._bytes('b_parent'::regclass, true), 0::bigint, 'a partitioned parent has no storage');
SELECT is(dbopt._bytes('b_view'::regclass), 0::bigint, 'nor has a view');
SELECT is(dbopt._bytes(4294967295), NULL, 'what is gone has none');
SELECT is(dbopt._bytes('pg_class'::regclass), pg_relation_size('pg_class'), 'a mapped catalog');
SELECT is(dbopt._bytes('pg_database'::regclass), pg_relation_size('pg_database'), 'a shared one');

-- All at once, from the data folders.
SELECT cmp_ok(count(*), '>', 300::bigint, 'every relation with storage') FROM dbopt._relation_bytes();
SELECT is(count(*), 0::bigint, 'with the bytes that the server counts')
FROM dbopt._relation_bytes() r JOIN pg_class c ON c.oid = r.relation
WHERE c.relpersistence <> 't' AND c.relkind = 'r' AND c.oid < 16384 AND r.main_bytes <> pg_relation_size(c.oid);

-- Many relations: what was read of them must live as long as the loop over it.
DO $$ BEGIN FOR i IN 1 .. 1500 LOOP EXECUTE 'CREATE TABLE b_many' || i || ' (a int)'; END LOOP; END $$;
SELECT lives_ok('SELECT count(*) FROM dbopt.bloat_collect()', 'a round over a database of many relations');

SELECT * FROM finish();
ROLLBACK;
