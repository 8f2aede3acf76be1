-- Exact readings by a team of processes equal those by one, and leave the transaction as it was.
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgstattuple;
SELECT plan(14);
SET LOCAL search_path = public, pg_catalog;
CREATE TABLE big AS SELECT g AS id, repeat('x', 300 + g % 700) AS v FROM generate_series(1, 60000) g;
DELETE FROM big WHERE id % 5 < 2;
SELECT cmp_ok(pg_relation_size('big') / 8192, '>', 4096::bigint, 'large enough for a team');

CREATE TEMP TABLE found AS SELECT 0 AS workers, b.* FROM dbopt.table_bloat('big') b LIMIT 0;
SET LOCAL max_parallel_maintenance_workers = 0;
INSERT INTO found SELECT 0, b.* FROM dbopt.table_bloat('big', 'exact') b;
SET LOCAL max_parallel_maintenance_workers = 1;
INSERT INTO found SELECT 1, b.* FROM dbopt.table_bloat('big', 'exact') b;
SET LOCAL max_parallel_maintenance_workers = 4;
INSERT INTO found SELECT 4, b.* FROM dbopt.table_bloat('big', 'exact') b;
SELECT is(t.dead_pct || ' ' || t.free_pct || ' ' || t.live_pct || ' ' || t.held_pct || ' ' || t.sampled_pages,
          a.dead_pct || ' ' || a.free_pct || ' ' || a.live_pct || ' ' || a.held_pct || ' ' || a.sampled_pages,
          'one process or a team of ' || t.workers || ': the same')
FROM found t JOIN found a ON a.workers = 0 WHERE t.workers > 0 ORDER BY t.workers;
SELECT cmp_ok(abs(t.reclaimable_bytes - a.reclaimable_bytes), '<=', (t.workers + 1) * 8192::bigint,
              'reclaimable: no more than a page per process of ' || t.workers)
FROM found t JOIN found a ON a.workers = 0 WHERE t.workers > 0 ORDER BY t.workers;
SELECT is(round(f.dead_pct::numeric, 2), round(p.dead_tuple_percent::numeric, 2), 'dead as pgstattuple')
FROM found f, pgstattuple('big') p WHERE f.workers = 4;
SELECT is(f.held_pct, f.dead_pct, 'what this transaction deleted is held: the team knows it') FROM found f WHERE f.workers = 4;

-- A table that other processes cannot see, and one that a rewrite makes smaller row by row.
CREATE TEMP TABLE mine AS SELECT * FROM big;
SELECT is(b.status || ' ' || b.sampled_pages, 'done ' || pg_relation_size('mine') / 8192, 'temporary table: read alone')
FROM dbopt.table_bloat('mine', 'exact') b;
ALTER TABLE big ADD COLUMN late int DEFAULT 7, DROP COLUMN v;
CREATE TEMP TABLE wide AS SELECT 0 AS workers, b.* FROM dbopt.table_bloat('big') b LIMIT 0;
INSERT INTO wide SELECT 4, b.* FROM dbopt.table_bloat('big', 'exact') b;
SET LOCAL max_parallel_maintenance_workers = 0;
INSERT INTO wide SELECT 0, b.* FROM dbopt.table_bloat('big', 'exact') b;
SELECT cmp_ok(max(reclaimable_bytes) - min(reclaimable_bytes), '<=', 5 * 8192::bigint, 'dropped and late columns: the same') FROM wide;
SELECT ok(bool_and(reclaimable_pct > 80), 'and nearly everything goes') FROM wide;

-- Afterwards the transaction writes as before.
SET LOCAL max_parallel_maintenance_workers = 4;
SELECT is(count(*), 3::bigint, 'in one query, several times') FROM generate_series(1, 3) g, LATERAL dbopt.table_bloat('big', 'exact', seed => g) b;
SELECT lives_ok('DELETE FROM big WHERE id = 1', 'the transaction goes on writing');
CREATE FUNCTION pg_temp.stopped() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL statement_timeout = '1ms';
    PERFORM dbopt.table_bloat('big', 'exact') FROM generate_series(1, 100);
    RETURN 'not stopped';
EXCEPTION WHEN query_canceled THEN RETURN 'stopped';
END $$;
SELECT ok(pg_temp.stopped() IN ('stopped', 'not stopped'), 'a cancel is survived');
RESET statement_timeout;
SELECT is(b.sampled_pages, b.pages, 'and the next reading is whole') FROM dbopt.table_bloat('big', 'exact') b;
SELECT * FROM finish();
ROLLBACK;
