-- The first few rows in an order, of those that another condition wants: reading the order until enough are
-- found is a gamble that the planner always takes. Here it loses: rows without a date come first in the order,
-- and none of them is wanted. An index that offers the bare order counts against itself.
BEGIN;
SELECT plan(5);
SET LOCAL jit = off;
SELECT setseed(0.5) \g /dev/null
CREATE SCHEMA luck;
CREATE TABLE luck.post (id int PRIMARY KEY, owner int NOT NULL, status text NOT NULL, published_at timestamptz, tags text[] NOT NULL, body text NOT NULL);
INSERT INTO luck.post SELECT i, i % 40, CASE WHEN i % 3 = 0 THEN 'DRAFT' ELSE 'PUBLISHED' END, CASE WHEN i % 3 > 0 THEN timestamptz '2026-01-01' + i * interval '1 minute' END,
    ARRAY['tag' || (random() * 300)::int, 'tag' || (random() * 300)::int], repeat('b', 120) FROM generate_series(1, 30000) i;
ANALYZE luck.post;
CREATE TEMP TABLE ask (q text, weight float8);
INSERT INTO ask VALUES
('SELECT id, body FROM luck.post WHERE tags @> ARRAY[''tag150''] AND status = ''PUBLISHED'' ORDER BY published_at DESC LIMIT 20', 5),
('SELECT id, body FROM luck.post WHERE owner = 7 AND published_at > ''2026-01-18'' ORDER BY id', 5),
('SELECT count(*) FROM luck.post WHERE published_at >= ''2026-01-20'' AND owner IN (1, 2, 3)', 1);
CREATE FUNCTION luck.buffers(q text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE j json; BEGIN EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ' || q INTO j;
RETURN (j->0->'Plan'->>'Shared Hit Blocks')::bigint + (j->0->'Plan'->>'Shared Read Blocks')::bigint; END $$;

CREATE TEMP TABLE advice AS SELECT * FROM dbopt.index_suggest((SELECT array_agg(q ORDER BY q) FROM ask), (SELECT array_agg(weight ORDER BY q) FROM ask));
SELECT isnt_empty('SELECT * FROM advice', 'there is advice');
SELECT is_empty($$SELECT ddl FROM advice WHERE ddl ~ '\(published_at'$$, 'no index on the bare order');
CREATE TEMP TABLE before AS SELECT luck.buffers(q) AS n FROM ask WHERE q LIKE '%tags%';
DO $$ DECLARE d text; BEGIN FOR d IN SELECT ddl FROM advice LOOP EXECUTE d; END LOOP; END $$;
ANALYZE luck.post;
SELECT cmp_ok((SELECT luck.buffers(q) FROM ask WHERE q LIKE '%tags%'), '<', (SELECT n / 2 FROM before), 'built, the first rows by tag are found at once');
-- A workload that asks for nothing else may have the order.
SELECT isnt_empty($$SELECT ddl FROM dbopt.index_suggest(ARRAY['SELECT id, owner FROM luck.post ORDER BY body LIMIT 20']) WHERE ddl ~ '\(body'$$, 'without a condition there is nothing to lose');
-- By containment alone: the inverted index, not the order.
SELECT is_empty($$SELECT ddl FROM dbopt.index_suggest(ARRAY['SELECT id FROM luck.post WHERE tags @> ARRAY[''tag7''] ORDER BY body LIMIT 20']) WHERE ddl !~ 'gin'$$, 'containment is searched for, not come across');
SELECT * FROM finish();
ROLLBACK;
