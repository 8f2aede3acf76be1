-- Index advice as a user meets it.
SET client_min_messages = warning;
CREATE TABLE shop_order (id int PRIMARY KEY, customer int NOT NULL, state text NOT NULL, placed timestamptz NOT NULL, tags text[] NOT NULL, note text);
INSERT INTO shop_order SELECT i, i % 2000, CASE WHEN i % 100 = 0 THEN 'open' ELSE 'done' END, timestamptz '2026-01-01' + i * interval '1 minute', ARRAY['t' || i % 900], repeat('n', 80) FROM generate_series(1, 40000) i;
ANALYZE shop_order;
-- One query, one index; nothing is created.
SELECT rank, relation, ddl, cost_after < cost_before / 10 AS much_cheaper, size_bytes > 0 AS sized, cardinality(query_ids) AS queries FROM dbopt.index_suggest(ARRAY['SELECT * FROM shop_order WHERE customer = 5']);
SELECT count(*) FROM pg_index WHERE indrelid = 'shop_order'::regclass;
-- Several, within a budget.
SELECT ddl FROM dbopt.index_suggest(ARRAY['SELECT * FROM shop_order WHERE customer = 5 ORDER BY placed DESC LIMIT 3', 'SELECT id FROM shop_order WHERE tags @> ARRAY[''t7'']', 'SELECT count(*) FROM shop_order WHERE placed > ''2026-01-28''']) ORDER BY ddl COLLATE "C";
SELECT count(*) FROM dbopt.index_suggest(ARRAY['SELECT * FROM shop_order WHERE customer = 5'], budget_bytes => 8192);
-- What one index would change, and how large it would be.
SELECT cost_after < cost_before AS cheaper, used, plan ~ 'shop_customer' AS named FROM dbopt.index_whatif('SELECT * FROM shop_order WHERE customer = 5', ARRAY['CREATE INDEX shop_customer ON shop_order (customer)']);
SELECT warnings FROM dbopt.index_whatif('SELECT * FROM shop_order WHERE state = ''x''', ARRAY['CREATE INDEX s ON shop_order (state)']);
CREATE TEMP TABLE size AS SELECT dbopt.index_size('CREATE INDEX ON shop_order (customer)') AS bytes;
CREATE INDEX shop_customer ON shop_order (customer);
SELECT bytes BETWEEN 0.9 * pg_relation_size('shop_customer') AND 1.1 * pg_relation_size('shop_customer') AS close FROM size;
SELECT count(*) AS again FROM dbopt.index_suggest(ARRAY['SELECT * FROM shop_order WHERE customer = 5']);
-- Mistakes.
SELECT * FROM dbopt.index_suggest(ARRAY['SELEC 1']);
SELECT * FROM dbopt.index_suggest(ARRAY['SELECT 1; SELECT 2']);
SELECT * FROM dbopt.index_suggest(ARRAY['SELECT 1'], ARRAY['NaN'::float8]);
SELECT * FROM dbopt.index_suggest(ARRAY['SELECT 1'], budget_bytes => -1);
SELECT dbopt.index_apply('DROP TABLE shop_order');
SELECT dbopt.index_apply('CREATE INDEX ON shop_order (customer); DROP TABLE shop_order');
SELECT dbopt.index_whatif('SELECT 1', ARRAY['CREATE INDEX ON shop_order (placed) WHERE placed > now()']);
-- Findings on one query.
SELECT finding, advice FROM dbopt.explain('SELECT id FROM shop_order WHERE ''t7'' = ANY (tags)') WHERE finding ~ 'ANY';
SELECT finding FROM dbopt.explain('SELECT * FROM shop_order ORDER BY placed OFFSET 9000 LIMIT 10') WHERE finding ~ 'OFFSET';
-- What is there.
CREATE INDEX shop_customer_twice ON shop_order (customer);
SELECT relation, index, covered_by, kind, command FROM dbopt.index_redundant WHERE relation = 'shop_order'::regclass;
SELECT * FROM dbopt.index_suggest(ARRAY['SELECT id FROM shop_order WHERE nothing = 1']);
DROP TABLE shop_order;
