-- What-if planning and index advice for explicit queries.
BEGIN;
SELECT plan(25);

CREATE SCHEMA adv;
CREATE TABLE adv.item (id int PRIMARY KEY, owner int, kind text, price numeric, made timestamptz, note text, state text);
INSERT INTO adv.item SELECT i, i % 2000, 'kind' || i % 7, i % 1000, '2026-01-01'::timestamptz + i * interval '1 minute', repeat('n', 60), CASE WHEN i % 50 = 0 THEN 'open' ELSE 'done' END FROM generate_series(1, 40000) i;
CREATE TABLE adv."Odd Name" ("Some Column" int, pad text);
INSERT INTO adv."Odd Name" SELECT i, repeat('p', 100) FROM generate_series(1, 20000) i;
CREATE TABLE adv.part (id int, at date, v int) PARTITION BY RANGE (at);
CREATE TABLE adv.part_1 PARTITION OF adv.part FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE adv.part_2 (v int, at date, id int);
ALTER TABLE adv.part ATTACH PARTITION adv.part_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
INSERT INTO adv.part SELECT i, date '2026-01-01' + i % 59, i FROM generate_series(1, 40000) i;
ANALYZE adv.item, adv."Odd Name", adv.part;

SELECT is((SELECT count(*) FROM dbopt.index_suggest(ARRAY['SELECT * FROM adv.item WHERE owner = 5'])), 1::bigint, 'one query, one index');
SELECT matches((SELECT ddl FROM dbopt.index_suggest(ARRAY['SELECT * FROM adv.item WHERE owner = 5'])), '^CREATE INDEX item_owner_idx ON adv.item \(owner\)$', 'exact DDL');
SELECT is_empty($$SELECT * FROM dbopt.index_suggest(ARRAY['SELECT * FROM adv.item WHERE id = 5'])$$, 'the primary key is enough');
SELECT matches((SELECT ddl FROM dbopt.index_suggest(ARRAY['SELECT pad FROM adv."Odd Name" WHERE "Some Column" = 1'])), 'ON adv\."Odd Name" \("Some Column"\)', 'names are quoted');
SELECT lives_ok((SELECT ddl FROM dbopt.index_suggest(ARRAY['SELECT pad FROM adv."Odd Name" WHERE "Some Column" = 1'])), 'the DDL runs');
SELECT is_empty($$SELECT * FROM dbopt.index_suggest(ARRAY['SELECT pad FROM adv."Odd Name" WHERE "Some Column" = 1'])$$, 'what exists is not advised again');
SELECT matches((SELECT ddl FROM dbopt.index_suggest(ARRAY['SELECT * FROM adv.part WHERE id = 5'])), 'ON adv\.part \(id', 'a partitioned table gets the index on the parent');
SELECT ok((SELECT cost_after < cost_before / 2 FROM dbopt.index_whatif('SELECT * FROM adv.part WHERE id = 5', ARRAY['CREATE INDEX ON adv.part (id)'])), 'partitions with another column order are served');
SELECT is_empty($$SELECT * FROM dbopt.index_suggest(ARRAY['SELECT * FROM adv.item WHERE owner = 5'], budget_bytes => 0)$$, 'no budget, no advice');
SELECT is_empty($$SELECT * FROM dbopt.index_suggest('{}')$$, 'no query, no advice');
SELECT ok((SELECT bool_and(array_length(string_to_array(substring(ddl FROM '\((.*)\)'), ','), 1) = 1) FROM dbopt.index_suggest(ARRAY['SELECT count(*) FROM adv.item WHERE owner = 5 AND kind = ''kind3'' AND price > 5'], max_width => 1)), 'max_width is kept');
SELECT is((SELECT count(*) FROM dbopt.index_suggest(ARRAY['SELECT * FROM adv.item WHERE owner = 5', 'SELECT * FROM adv.item WHERE made = now()'], max_indexes => 1)), 1::bigint, 'max_indexes is kept');
SELECT ok((SELECT sum(size_bytes) <= 600000 FROM dbopt.index_suggest(ARRAY['SELECT * FROM adv.item WHERE owner = 5', 'SELECT * FROM adv.item WHERE made = now()'], budget_bytes => 600000)), 'the budget is kept');
SELECT throws_ok($$SELECT dbopt.index_suggest(ARRAY['SELEC 1'])$$, '42601', NULL, 'unparsable text');
SELECT throws_ok($$SELECT dbopt.index_suggest(ARRAY['SELECT 1; SELECT 2'])$$, '42601', NULL, 'two statements in one text');
SELECT throws_ok($$SELECT dbopt.index_suggest(ARRAY['SELECT * FROM adv.nothing'])$$, '42P01', NULL, 'a missing table');
SELECT throws_ok($$SELECT dbopt.index_suggest(ARRAY['SELECT 1'], ARRAY['NaN'::float8])$$, '22023', NULL, 'a weight that is no number');
SELECT throws_ok($$SELECT dbopt.index_suggest(ARRAY['SELECT 1'], budget_bytes => -1)$$, '22023', NULL, 'a negative budget');
SELECT ok((SELECT plan LIKE '%on one%' AND used <> '{}' FROM dbopt.index_whatif('SELECT * FROM adv.item WHERE owner = 5', ARRAY['CREATE INDEX one ON adv.item (owner)'])), 'the plan names the hypothetical index');
SELECT throws_ok($$SELECT dbopt.index_whatif('SELECT 1', ARRAY['DROP TABLE adv.item'])$$, '42601', NULL, 'only CREATE INDEX is a definition');
SELECT throws_ok($$SELECT dbopt.index_whatif('SELECT 1', ARRAY['CREATE INDEX ON adv.item (made) WHERE made > now()'])$$, '42P17', NULL, 'a predicate that is not immutable');
CREATE TABLE adv.sized AS SELECT dbopt.index_size('CREATE INDEX ON adv.item (owner)') AS estimate;
CREATE INDEX item_real ON adv.item (owner);
SELECT ok((SELECT estimate BETWEEN 0.75 * pg_relation_size('adv.item_real') AND 1.25 * pg_relation_size('adv.item_real') FROM adv.sized), 'the size is close to the real one');
SELECT is((SELECT count(*) FROM pg_class WHERE oid >= 4294901760::oid), 0::bigint, 'no hypothetical index in the catalog');

-- A constant that one query carries is its parameter; one that recurs is a state of the rows.
SELECT is_empty($$SELECT ddl FROM dbopt.index_suggest(ARRAY['SELECT * FROM adv.item WHERE state = ''open'' ORDER BY made LIMIT 5']) WHERE ddl ~ 'WHERE'$$, 'no partial index for one query''s constant');
SELECT isnt_empty($$SELECT ddl FROM dbopt.index_suggest(ARRAY['SELECT * FROM adv.item WHERE state = ''open'' AND owner = 7', 'SELECT * FROM adv.item WHERE state = ''open'' ORDER BY made LIMIT 5']) WHERE ddl ~ 'state|WHERE'$$, 'what recurs is served');
SELECT * FROM finish();
ROLLBACK;
