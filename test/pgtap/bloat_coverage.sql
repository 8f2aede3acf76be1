-- Intervals hold: many samples of tables in which dead rows lie in different ways. The seeds are fixed,
-- so the result is the same every time. Of intervals that hold in 95 of 100 cases, fewer than 89 in 100 trials
-- are seen less than once in a hundred times.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgstattuple;
SELECT plan(10);
SET LOCAL search_path = public, pg_catalog;
CREATE TABLE scattered AS SELECT g AS id, repeat('x', 400) AS v FROM generate_series(1, 60000) g;
DELETE FROM scattered WHERE hashint4(id) % 3 = 0;
CREATE TABLE clustered AS SELECT g AS id, repeat('x', 400) AS v FROM generate_series(1, 60000) g;
DELETE FROM clustered WHERE id / 1500 % 5 = 0;
CREATE TABLE rare AS SELECT g AS id, repeat('x', 400) AS v FROM generate_series(1, 60000) g;
DELETE FROM rare WHERE id / 20 % 150 = 0;
CREATE TABLE half AS SELECT g AS id, repeat('x', 400) AS v FROM generate_series(1, 60000) g;
DELETE FROM half WHERE id < 30000;
CREATE TABLE lengths AS SELECT g AS id, repeat('x', 100 + abs(hashint4(g)) % 600) AS v FROM generate_series(1, 60000) g;
DELETE FROM lengths WHERE id % 7 < 2;
CREATE TEMP TABLE found AS
SELECT r, s, b.dead_pct, b.dead_pct_low, b.dead_pct_high, b.reclaimable_pct, b.reclaimable_pct_low, b.reclaimable_pct_high
FROM unnest('{scattered,clustered,rare,half,lengths}'::regclass[]) r, generate_series(1, 100) s,
    dbopt.table_bloat(r, max_error => 2, seed => s) b;
SELECT cmp_ok(count(*), '>=', 89::bigint, 'dead_pct of ' || f.r || ' covered in 89 of 100 samples or more')
FROM found f JOIN LATERAL (SELECT 100.0 * dead_tuple_len / table_len AS dead FROM pgstattuple(f.r::oid)) p
    ON p.dead BETWEEN dead_pct_low - 0.005 AND dead_pct_high + 0.005 GROUP BY f.r ORDER BY f.r;
SELECT cmp_ok(count(*), '>=', 89::bigint, 'reclaimable of ' || f.r || ' covered likewise')
FROM found f JOIN (SELECT r, (dbopt.table_bloat(r, 'exact')).reclaimable_pct AS truth
    FROM (SELECT DISTINCT r FROM found) d) e ON e.r = f.r
    AND e.truth BETWEEN reclaimable_pct_low - 0.1 AND reclaimable_pct_high + 0.1 GROUP BY f.r ORDER BY f.r;
SELECT * FROM finish();
ROLLBACK;
