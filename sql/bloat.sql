-- Bloat as a user meets it: how much of a table and its indexes a rewrite would give back.
SET client_min_messages = warning;
CREATE TABLE orders (id int PRIMARY KEY, customer int, note text) WITH (autovacuum_enabled = off);
INSERT INTO orders SELECT g, g % 500, repeat('x', 100) FROM generate_series(1, 20000) g;
CREATE INDEX orders_customer ON orders (customer);
VACUUM ANALYZE orders;
SELECT relation, method, dead_pct, round(free_pct) AS free, round(reclaimable_pct) AS reclaimable, status
FROM dbopt.table_bloat('orders', 'exact');
DELETE FROM orders WHERE id % 4 <> 0;
-- Until nobody has a snapshot from before: a background round may just be reading.
DO $$ BEGIN FOR i IN 1 .. 600 LOOP
    EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_xmin IS NOT NULL);
    PERFORM pg_stat_clear_snapshot(), pg_sleep(0.1); END LOOP; END $$;
SELECT relation, round(dead_pct / 10) * 10 AS dead, status, detail
FROM dbopt.table_bloat('orders');
VACUUM orders;
SELECT relation, dead_pct, free_pct > 60 AS mostly_free, round(reclaimable_pct) AS reclaimable
FROM dbopt.table_bloat('orders');
SELECT index, access_method, round(reclaimable_pct / 10) * 10 AS reclaimable, status
FROM dbopt.index_bloat('orders_pkey');
-- what cannot be measured says why
CREATE VIEW a_view AS SELECT 1 AS one;
SELECT relation, pages, status, detail FROM dbopt.table_bloat('a_view');
SELECT index, status, detail FROM dbopt.index_bloat('orders');
-- mistakes
SELECT * FROM dbopt.table_bloat('orders', 'guess');
SELECT * FROM dbopt.table_bloat('orders', max_error => 0);
SELECT * FROM dbopt.table_bloat('nowhere');
-- a round over the database
SELECT relation, kind, status FROM dbopt.bloat_collect(min_bytes => 8192)
WHERE relation IN ('orders'::regclass, 'orders_customer') ORDER BY 1;
SELECT relation, kind, round(reclaimable_pct) > 50 AS much, growth_bytes FROM dbopt.bloat
WHERE relation = 'orders'::regclass;
VACUUM FULL orders;
SELECT relation, round(reclaimable_pct) AS reclaimable FROM dbopt.table_bloat('orders', 'exact');
DROP VIEW a_view;
DROP TABLE orders;
