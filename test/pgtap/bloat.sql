-- Bloat: what is measured equals what pgstattuple, VACUUM FULL and REINDEX say; odd relations never fail.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgstattuple;
SELECT plan(50);
SET LOCAL search_path = public, pg_catalog;

CREATE FUNCTION pg_temp.full_size(r regclass) RETURNS bigint LANGUAGE sql AS $$
    SELECT pg_relation_size(r) + coalesce((SELECT pg_relation_size(reltoastrelid) FROM pg_class
        WHERE oid = r AND reltoastrelid <> 0), 0) $$;

-- Rows that this transaction deletes itself count as dead, as in pgstattuple.
CREATE TABLE plain AS SELECT g AS id, md5(g::text) AS v FROM generate_series(1, 60000) g;
DELETE FROM plain WHERE id % 3 = 0;
SELECT unnest(ARRAY[is(round(b.dead_pct::numeric, 2), round(p.dead_tuple_percent::numeric, 2), 'exact: dead as pgstattuple'),
       is(round(b.free_pct::numeric, 2), round(p.free_percent::numeric, 2), 'exact: free as pgstattuple'),
       is(round(b.live_pct::numeric, 2), round(p.tuple_percent::numeric, 2), 'exact: live as pgstattuple'),
       is(b.sampled_pages, b.pages, 'exact: every page read'),
       is(b.dead_pct_low, b.dead_pct_high, 'exact: no interval')])
FROM dbopt.table_bloat('plain', 'exact') b, pgstattuple('plain') p;
SELECT unnest(ARRAY[ok(p.dead_tuple_percent BETWEEN b.dead_pct_low - 0.01 AND b.dead_pct_high + 0.01, 'sample: dead covered'),
       ok(p.free_percent BETWEEN b.free_pct_low - 0.01 AND b.free_pct_high + 0.01, 'sample: free covered'),
       cmp_ok(b.sampled_pages, '<=', b.pages, 'sample: no more pages than there are'),
       is(b.status, 'done', 'sample: done')])
FROM dbopt.table_bloat('plain') b, pgstattuple('plain') p;
SELECT unnest(ARRAY[cmp_ok(round((b.dead_pct - b.held_pct)::numeric, 2), '=', 0::numeric, 'rows this transaction deleted are held, not removable')])
FROM dbopt.table_bloat('plain', 'exact') b;

-- Same seed, same sample.
SELECT is((SELECT dead_pct::text || free_pct FROM dbopt.table_bloat('plain', seed => 7)),
          (SELECT dead_pct::text || free_pct FROM dbopt.table_bloat('plain', seed => 7)), 'a seed makes it repeatable');

-- Odd relations: a row with a reason, never an error.
CREATE TABLE empty (id int);
CREATE VIEW a_view AS SELECT 1 AS one;
CREATE SEQUENCE a_sequence;
CREATE TABLE parent (id int) PARTITION BY RANGE (id);
SELECT unnest(ARRAY[is(b.status, 'done', 'empty table'), is(b.pages, 0::bigint, 'empty: no pages')]) FROM dbopt.table_bloat('empty') b;
SELECT unnest(ARRAY[is(b.status, 'skipped', 'view'), matches(b.detail, 'no storage', 'view: reason')]) FROM dbopt.table_bloat('a_view') b;
SELECT unnest(ARRAY[is(b.status, 'skipped', 'sequence')]) FROM dbopt.table_bloat('a_sequence') b;
SELECT unnest(ARRAY[is(b.status, 'skipped', 'parent without partitions'), matches(b.detail, 'no partitions', 'and the reason')])
FROM dbopt.table_bloat('parent') b;
CREATE TABLE part1 PARTITION OF parent FOR VALUES FROM (0) TO (1000);
CREATE TABLE part2 PARTITION OF parent FOR VALUES FROM (1000) TO (100000);
INSERT INTO parent SELECT g FROM generate_series(1, 50000) g;
SELECT unnest(ARRAY[is(b.pages, (pg_relation_size('part1') + pg_relation_size('part2')) / 8192, 'partition tree: sum of the leaves'),
       matches(b.detail, 'sum of 2 partitions', 'partition tree: says so')])
FROM dbopt.table_bloat('parent', 'exact') b;
CREATE TEMP TABLE mine AS SELECT g FROM generate_series(1, 1000) g;
SELECT unnest(ARRAY[is(b.status, 'done', 'own temporary table')]) FROM dbopt.table_bloat('mine') b;
CREATE UNLOGGED TABLE unlogged AS SELECT g FROM generate_series(1, 1000) g;
SELECT unnest(ARRAY[is(b.status, 'done', 'unlogged table')]) FROM dbopt.table_bloat('unlogged') b;
SELECT unnest(ARRAY[is(b.status, 'done', 'system catalog')]) FROM dbopt.table_bloat('pg_catalog.pg_class') b;

-- Indexes.
CREATE INDEX plain_id ON plain (id);
CREATE INDEX plain_v ON plain (v);
CREATE INDEX plain_gin ON plain USING gin (to_tsvector('simple', v));
CREATE INDEX plain_hash ON plain USING hash (id);
CREATE INDEX plain_brin ON plain USING brin (id);
CREATE INDEX plain_spgist ON plain USING spgist (v);
SELECT unnest(ARRAY[ok(abs(b.reclaimable_pct) <= 5, 'just built ' || b.access_method || ': nothing to gain, says ' || b.reclaimable_pct)])
FROM unnest('{plain_id,plain_v,plain_gin,plain_hash,plain_brin}'::regclass[]) i, dbopt.index_bloat(i, 'exact') b;
SELECT unnest(ARRAY[is(b.status, 'done', 'sp-gist is measured'),
       ok(0 BETWEEN b.reclaimable_pct_low AND b.reclaimable_pct_high, 'just built: nothing to gain, within its interval')])
FROM dbopt.index_bloat('plain_spgist', 'exact') b;
SELECT is(b.status || ': ' || b.detail, 'skipped: is not an index: use dbopt.table_bloat', 'a table is not an index') FROM dbopt.index_bloat('plain') b;
SELECT is(b.status || ': ' || b.detail, 'skipped: is an index: use dbopt.index_bloat', 'an index is not a table') FROM dbopt.table_bloat('plain_v') b;
CREATE INDEX parent_i ON parent (id);
SELECT is(b.status || ': ' || b.detail, 'skipped: is a partitioned index: measure the indexes of its partitions', 'a partitioned index') FROM dbopt.index_bloat('parent_i') b;
SELECT is(b.status, 'done', 'one of its leaves') FROM dbopt.index_bloat('part1_id_idx') b;
SELECT unnest(ARRAY[is(round(b.density_pct), round(p.avg_leaf_density), 'density as pgstatindex')])
FROM dbopt.index_bloat('plain_v', 'exact') b, pgstatindex('plain_v') p;

-- SP-GiST after many deletes: the places that VACUUM leaves tell how full the pages once were.
CREATE TABLE spread AS SELECT g AS id, point(hashint4(g) % 1000, hashint4(-g) % 1000) AS p, md5(g::text) AS t,
    ('10.' || g % 200 || '.' || g / 200 % 250 || '.' || g % 250)::inet AS ip FROM generate_series(1, 20000) g;
CREATE TABLE less AS SELECT * FROM spread WHERE hashint4(id) % 4 = 0;
CREATE INDEX less_quad ON less USING spgist (p);
CREATE INDEX less_kd ON less USING spgist (p kd_point_ops);
CREATE INDEX less_text ON less USING spgist (t);
SELECT unnest(ARRAY[is(b.status, 'done', 'sp-gist of another ' || i), ok(b.reclaimable_pct BETWEEN -15 AND 15, 'just built: ' || b.reclaimable_pct)])
FROM unnest('{less_quad,less_kd,less_text}'::regclass[]) i, dbopt.index_bloat(i, 'exact') b;
SELECT ok(b.reclaimable_pct_high - b.reclaimable_pct_low < 40, 'the interval is of use') FROM dbopt.index_bloat('less_quad') b;

-- Arguments.
SELECT throws_ok($$SELECT dbopt.table_bloat('plain', 'guess')$$, '22023', NULL, 'unknown method');
SELECT throws_ok($$SELECT dbopt.table_bloat('plain', 'sample', 0)$$, '22023', 'max_error must be above 0 and at most 50 per cent, it is 0', 'max_error 0');
SELECT throws_ok($$SELECT dbopt.table_bloat('plain', 'sample', 50.5)$$, '22023', 'max_error must be above 0 and at most 50 per cent, it is 50.5', 'and too large');
SELECT throws_ok($$SELECT dbopt.table_bloat(NULL)$$, '22004', NULL, 'no relation');
CREATE ROLE bloat_nobody;
SET LOCAL ROLE bloat_nobody;
SELECT throws_ok($$SELECT dbopt.table_bloat('public.plain')$$, '42501', NULL, 'a stranger may not look');
RESET ROLE;

-- Collection.
SELECT unnest(ARRAY[ok(bool_and(c.status = 'done'), 'bloat_collect: all done')]) FROM dbopt.bloat_collect(min_bytes => 0) c
WHERE c.relation::text LIKE 'plain%';
SELECT ok(EXISTS (SELECT FROM dbopt.bloat WHERE relation = 'plain'::regclass AND reclaimable_pct IS NOT NULL), 'view bloat has it');
SELECT ok((SELECT count(*) FROM dbopt.bloat_history) >= 5, 'history has it');
SELECT * FROM finish();
ROLLBACK;
