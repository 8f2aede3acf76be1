-- Tables of another access method than heap: what cannot be measured says so, and the rest goes on.
BEGIN;
SELECT plan(18);
SET LOCAL search_path = public, pg_catalog;
CREATE ACCESS METHOD other_method TYPE TABLE HANDLER like_heap;
CREATE TABLE foreign_pages (id int NOT NULL, v text) USING other_method;
INSERT INTO foreign_pages SELECT g, repeat('x', 300) FROM generate_series(1, 20000) g;
CREATE TABLE plain (id int PRIMARY KEY, v text);
INSERT INTO plain SELECT g, repeat('x', 300) FROM generate_series(1, 20000) g;
CREATE MATERIALIZED VIEW foreign_matview USING other_method AS SELECT id FROM plain;

SELECT is(b.status || ': ' || b.detail, 'skipped: its access method is not heap', 'a table, ' || m)
FROM unnest('{sample,exact}'::text[]) m, dbopt.table_bloat('foreign_pages', m) b;
SELECT is(b.status || ': ' || b.detail, 'skipped: its access method is not heap', 'a materialized view')
FROM dbopt.table_bloat('foreign_matview') b;
SELECT ok(b.pages = 0 AND b.dead_pct IS NULL AND b.reclaimable_pct IS NULL, 'no figures for what was not read')
FROM dbopt.table_bloat('foreign_pages') b;
SELECT is(b.status, 'done', 'a heap beside it') FROM dbopt.table_bloat('plain') b;

-- One partition of another method: left out, and named.
CREATE TABLE tree (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE tree_heap PARTITION OF tree FOR VALUES FROM (0) TO (10000);
CREATE TABLE tree_other PARTITION OF tree FOR VALUES FROM (10000) TO (100000) USING other_method;
INSERT INTO tree SELECT g, repeat('x', 100) FROM generate_series(1, 19999) g;
SELECT is(b.detail, 'sum of 1 partitions, 1 left out (public.tree_other: its access method is not heap)', 'a partition tree')
FROM dbopt.table_bloat('tree') b;
SELECT is(b.pages, pg_relation_size('tree_heap') / 8192, 'is the sum of the others') FROM dbopt.table_bloat('tree') b;
DROP TABLE tree_heap;
SELECT is(b.status || ': ' || b.detail, 'skipped: public.tree_other: its access method is not heap', 'a tree without a heap in it')
FROM dbopt.table_bloat('tree') b;

-- An index over such a table is read; the rows behind its entries are not looked up. (A copy of the heap's
-- routine cannot build one: the server checks.)
CREATE TABLE turned (id int, v text);
INSERT INTO turned SELECT g, repeat('x', 100) FROM generate_series(1, 20000) g;
CREATE INDEX turned_btree ON turned (id);
CREATE INDEX turned_hash ON turned USING hash (id);
CREATE INDEX turned_gist ON turned USING gist (point(id, id));
CREATE INDEX turned_gin ON turned USING gin (to_tsvector('simple', v));
CREATE INDEX turned_spgist ON turned USING spgist (v);
CREATE INDEX turned_brin ON turned USING brin (id);
DELETE FROM turned WHERE id % 2 = 0;
UPDATE pg_class SET relam = (SELECT oid FROM pg_am WHERE amname = 'other_method') WHERE oid = 'turned'::regclass;
SELECT is(b.status || coalesce(': ' || b.detail, ''), 'done', b.access_method || ' index of such a table')
FROM unnest('{turned_btree,turned_hash,turned_gist,turned_gin,turned_spgist,turned_brin}'::regclass[]) i, dbopt.index_bloat(i) b;

-- Rounds and plans go on.
SELECT is((SELECT string_agg(relation::text || ' ' || status, ',' ORDER BY relation::text) FROM dbopt.bloat_collect(min_bytes => 0)
           WHERE relation::text IN ('foreign_pages', 'foreign_matview', 'plain', 'plain_pkey')),
          'foreign_matview skipped,foreign_pages skipped,plain done,plain_pkey done', 'bloat_collect skips them and goes on');
SELECT is_empty($$SELECT * FROM dbopt.bloat WHERE relation = 'foreign_pages'::regclass$$, 'and stores nothing for them');
SELECT lives_ok('SELECT * FROM dbopt.maintenance_plan()', 'maintenance_plan lives beside them');
SELECT is_empty($$SELECT * FROM dbopt.maintenance_plan() WHERE relation = 'foreign_pages'::regclass AND command LIKE '%FULL%'$$,
    'and advises no rewrite of what it could not measure');
UPDATE pg_class SET relam = (SELECT oid FROM pg_am WHERE amname = 'heap') WHERE oid = 'turned'::regclass;
SELECT * FROM finish();
ROLLBACK;
