-- A definition that CREATE INDEX would refuse is refused with the server's own words before the planner
-- sees it: an index of too many columns overran its arrays. Other methods than b-tree have a size.
BEGIN;
SELECT plan(27);
CREATE SCHEMA ddl;
CREATE TABLE ddl.t AS SELECT 1 AS c1, g AS c2, 't' || g % 900 AS txt FROM generate_series(1, 10000) g;
CREATE TABLE ddl.points AS SELECT point(i, i % 77) AS p, int4range(i, i + 5) AS r FROM generate_series(1, 2000) i;
CREATE TABLE ddl.parts (id int, k int) PARTITION BY RANGE (id);
CREATE TABLE ddl.parts_1 PARTITION OF ddl.parts FOR VALUES FROM (0) TO (100);
ANALYZE ddl.t, ddl.points;
CREATE FUNCTION ddl.wide(n int) RETURNS text LANGUAGE sql AS $$SELECT string_agg('c2', ', ') FROM generate_series(1, n)$$;
CREATE FUNCTION ddl.refused(definition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE whatif text; size text;
BEGIN
    BEGIN PERFORM dbopt.index_whatif('SELECT c2 FROM ddl.t WHERE c2 = 5', ARRAY[definition]); EXCEPTION WHEN OTHERS THEN whatif := SQLSTATE; END;
    BEGIN PERFORM dbopt.index_size(definition); EXCEPTION WHEN OTHERS THEN size := SQLSTATE; END;
    RETURN whatif || ' ' || size;
END$$;
SELECT is(ddl.refused('CREATE INDEX ON ddl.t (' || ddl.wide(n) || ')'), '54011 54011', n || ' columns') FROM unnest(ARRAY[33, 500]) n;
SELECT is(ddl.refused('CREATE INDEX ON ddl.t (c1) INCLUDE (' || ddl.wide(32) || ')'), '54011 54011', 'keys and included columns together');
SELECT lives_ok(format('SELECT dbopt.index_whatif(%L, ARRAY[%L])', 'SELECT c2 FROM ddl.t WHERE c2 = 5', 'CREATE INDEX ON ddl.t (' || ddl.wide(32) || ')'), '32 columns are possible');
SELECT is(ddl.refused('CREATE INDEX ON ddl.t ' || d), '0A000 0A000', d)
  FROM unnest(ARRAY['(tableoid)', '(ctid)', '((tableoid::int))', '(c1) INCLUDE (ctid)', '(c1) WHERE ctid > ''(0,1)''', 'USING hash (c1, c2)', 'USING hash (c1) INCLUDE (c2)',
                    'USING brin (c1 DESC)', 'USING hash (c1 NULLS FIRST)']) d;
SELECT is(ddl.refused('CREATE UNIQUE INDEX ON ddl.t USING hash (c1)'), '0A000 0A000', 'a unique hash index');
SELECT is(ddl.refused('CREATE INDEX ON ddl.t (c1) WITH (fillfactor = 5)'), '22023 22023', 'a fillfactor out of bounds');
SELECT is(ddl.refused('CREATE INDEX ON ddl.t (c1) WITH (no_such = 5)'), '22023 22023', 'an unknown storage parameter');
SELECT is(ddl.refused('CREATE INDEX ON ddl.t USING brin (c1) WITH (fillfactor = 50)'), '22023 22023', 'one of another method');
SELECT is(ddl.refused('CREATE INDEX ON pg_class (relname)'), '42501 42501', 'a catalog');
SELECT is(ddl.refused('CREATE INDEX ON ONLY ddl.parts (k)'), '0A000 0A000', 'ONLY of a partitioned table');
SELECT throws_ok($$SELECT dbopt.index_apply('CREATE INDEX ON ddl.t (tableoid)')$$, '0A000', 'index creation on system columns is not supported', 'index_apply refuses the same');
SELECT ok(dbopt.index_size('CREATE INDEX ON ddl.points USING ' || d) > 0, d || ' has a size')
  FROM unnest(ARRAY['gist (p)', 'spgist (p)', 'spgist (p kd_point_ops)', 'gist (r)', 'spgist (r)']) d;
SELECT matches(plan, 'Index', 'and can be planned with') FROM dbopt.index_whatif('SELECT * FROM ddl.points WHERE p <@ box ''(0,0),(3,3)''', '{CREATE INDEX ON ddl.points USING spgist (p)}');
SELECT is(dbopt.index_size('CREATE INDEX ON ddl.t (txt)') < dbopt.index_size('CREATE INDEX ON ddl.t (txt) WITH (deduplicate_items = off)'), true, 'b-trees deduplicate');
SELECT * FROM finish();
ROLLBACK;
