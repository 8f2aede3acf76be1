-- A partition tree is sampled as one relation: each leaf gets its part of the pages, and the interval holds for
-- the sum. The seeds are fixed.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgstattuple;
SELECT plan(15);
SET LOCAL search_path = public, pg_catalog;
CREATE TABLE tree (id int, v text) PARTITION BY RANGE (id);
DO $$ BEGIN FOR i IN 0 .. 23 LOOP
    EXECUTE format('CREATE TABLE leaf_%s PARTITION OF tree FOR VALUES FROM (%s) TO (%s)', i, i * 4000, (i + 1) * 4000);
END LOOP; END $$;
INSERT INTO tree SELECT g, repeat('x', 350) FROM generate_series(0, 95999) g;
DELETE FROM tree WHERE hashint4(id) % 10 < id / 12000;
-- One large leaf among small ones.
CREATE TABLE large_leaf PARTITION OF tree FOR VALUES FROM (96000) TO (200000);
INSERT INTO tree SELECT g, repeat('x', 350) FROM generate_series(96000, 180000) g;
DELETE FROM tree WHERE id > 96000 AND id % 4 = 0;

CREATE TEMP TABLE truth AS
SELECT sum(pg_relation_size(r) / 8192) AS pages, 100 * sum(p.dead_tuple_len) / sum(p.table_len) AS dead,
    100 * sum(p.free_space) / sum(p.table_len) AS free
FROM (SELECT inhrelid AS r FROM pg_inherits WHERE inhparent = 'tree'::regclass) l, pgstattuple(l.r) p;
SELECT unnest(ARRAY[is(b.pages, t.pages::bigint, 'exact: all pages of all leaves'),
    is(b.sampled_pages, b.pages, 'exact: each read'),
    cmp_ok(abs(b.dead_pct - t.dead), '<', 0.01::float8, 'exact: dead as pgstattuple, weighted by size'),
    cmp_ok(abs(b.free_pct - t.free), '<', 0.01::float8, 'exact: free likewise'),
    is(left(b.detail, 20), 'sum of 25 partitions', 'exact: says of how many')])
FROM dbopt.table_bloat('tree', 'exact') b, truth t;

CREATE TEMP TABLE found AS SELECT s, b.* FROM generate_series(1, 60) s, dbopt.table_bloat('tree', seed => s) b;
SELECT cmp_ok(max(sampled_pages), '<', min(pages) * 2 / 3, 'small leaves are sampled, too') FROM found;
SELECT cmp_ok(max(dead_pct_high - dead_pct_low) / 2, '<=', 0.5::float8, 'within max_error of the whole') FROM found;
SELECT cmp_ok(max(reclaimable_pct_high - reclaimable_pct_low) / 2, '<=', 0.5::float8, 'so is what a rewrite gives back') FROM found;
SELECT cmp_ok(count(*), '>=', 53::bigint, 'dead_pct covered in 53 of 60 samples or more')
FROM found f, truth t WHERE t.dead BETWEEN f.dead_pct_low - 0.005 AND f.dead_pct_high + 0.005;
SELECT cmp_ok(count(*), '>=', 53::bigint, 'reclaimable covered likewise')
FROM found f, (SELECT reclaimable_pct AS r FROM dbopt.table_bloat('tree', 'exact')) e
WHERE e.r BETWEEN f.reclaimable_pct_low - 0.05 AND f.reclaimable_pct_high + 0.05;
SELECT cmp_ok(count(DISTINCT dead_pct), '>', 20::bigint, 'other seeds, other pages') FROM found;
SELECT is((SELECT dead_pct FROM dbopt.table_bloat('tree', seed => 3)), (SELECT dead_pct FROM found WHERE s = 3), 'the same seed, the same pages');
SELECT cmp_ok((SELECT sampled_pages FROM dbopt.table_bloat('tree', max_error => 5)), '<',
    (SELECT min(sampled_pages) FROM found), 'less is asked for, less is read');

-- A sub-tree counts as its leaves; an empty leaf counts as nothing.
CREATE TABLE middle PARTITION OF tree FOR VALUES FROM (200000) TO (300000) PARTITION BY RANGE (id);
CREATE TABLE deep PARTITION OF middle FOR VALUES FROM (200000) TO (250000);
CREATE TABLE hollow PARTITION OF middle FOR VALUES FROM (250000) TO (300000);
INSERT INTO tree SELECT g, repeat('y', 350) FROM generate_series(200000, 204000) g;
SELECT is(b.pages, (SELECT pages FROM truth)::bigint + pg_relation_size('deep') / 8192, 'leaves of a sub-tree are in the sum')
FROM dbopt.table_bloat('tree') b;
SELECT is(b.status || ' ' || b.pages, 'done ' || pg_relation_size('deep') / 8192, 'a sub-tree for itself') FROM dbopt.table_bloat('middle') b;
SELECT * FROM finish();
ROLLBACK;
