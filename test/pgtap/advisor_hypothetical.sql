-- Hypothetical indexes are seen by what-if plans only: not by EXPLAIN, prepared statements, cursors or
-- plans made after an error or a cancel.
BEGIN;
SELECT plan(12);
CREATE SCHEMA hyp;
CREATE TABLE hyp.t (a int, b int, pad text);
INSERT INTO hyp.t SELECT i, i % 1000, repeat('x', 50) FROM generate_series(1, 30000) i;
ANALYZE hyp.t;
CREATE FUNCTION hyp.plan_of(q text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; all_lines text := '';
BEGIN FOR line IN EXECUTE 'EXPLAIN ' || q LOOP all_lines := all_lines || line || E'\n'; END LOOP; RETURN all_lines; END $$;
-- Folded to a constant while a query that calls it is planned: plans a statement of its own then.
CREATE FUNCTION hyp.nested() RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN hyp.plan_of('SELECT * FROM hyp.t WHERE a = 1'); END $$;
PREPARE by_a(int) AS SELECT * FROM hyp.t WHERE a = $1;
SET LOCAL plan_cache_mode = force_generic_plan;

SELECT matches((dbopt.index_whatif('SELECT * FROM hyp.t WHERE a = 1', ARRAY['CREATE INDEX ON hyp.t (a)'])).plan, 'Index', 'a what-if plan uses it');
SELECT matches(hyp.plan_of('SELECT * FROM hyp.t WHERE a = 1'), '^Seq Scan', 'EXPLAIN does not');
SELECT matches(hyp.plan_of('EXECUTE by_a(1)'), '^Seq Scan', 'a prepared statement planned afterwards does not');
SELECT is((SELECT count(*) FROM dbopt.index_suggest(ARRAY['SELECT * FROM hyp.t WHERE a = 1'])), 1::bigint, 'it is advised');
SELECT matches(hyp.plan_of('EXECUTE by_a(1)'), '^Seq Scan', 'the cached plan is as it was');
SELECT is((SELECT count(*) FROM hyp.t WHERE a = 1), 1::bigint, 'the query runs');
SELECT is((dbopt.index_whatif('SELECT * FROM hyp.t WHERE a = 1 AND hyp.nested() ~ ''Index''', ARRAY['CREATE INDEX ON hyp.t (a)'])).plan ~ 'One-Time Filter: false', true,
    'a plan that a function makes while it is folded does not see it');

SELECT throws_ok($$SELECT dbopt.index_whatif('SELECT 1/0 FROM hyp.t WHERE a = 1', ARRAY['CREATE INDEX ON hyp.t (a)'])$$, '22012', NULL, 'an error while planning');
SELECT matches(hyp.plan_of('SELECT * FROM hyp.t WHERE a = 1'), '^Seq Scan', 'disarms it');
SET LOCAL statement_timeout = '20ms';
SET LOCAL client_min_messages = error;
DO $$ BEGIN
    PERFORM dbopt.index_suggest((SELECT array_agg(format('SELECT count(*) FROM hyp.t x JOIN hyp.t y USING (a) JOIN hyp.t z ON z.b = x.b JOIN hyp.t v ON v.a = z.b WHERE x.b = %s', i)) FROM generate_series(1, 400) i));
EXCEPTION WHEN query_canceled THEN NULL;
END $$;
SET LOCAL statement_timeout = 0;
SELECT matches(hyp.plan_of('SELECT * FROM hyp.t WHERE a = 1'), '^Seq Scan', 'a cancel disarms it');
SELECT is((SELECT count(*) FROM pg_class WHERE oid >= 4294901760::oid) + (SELECT count(*) FROM pg_locks WHERE relation >= 4294901760::oid), 0::bigint, 'no catalog or lock knows one');

-- The first rows in order, of those that another condition wants: the condition's column comes first.
SELECT matches((SELECT ddl FROM dbopt.index_suggest(ARRAY['SELECT * FROM hyp.t WHERE b = 7 AND a <= 20000 ORDER BY a LIMIT 10'])), '\(b, a\)', 'equality before the order');
SELECT * FROM finish();
ROLLBACK;
