-- What advice is written as: it must be the index that was planned with, good for the other calls of its
-- statement, and not there twice.
SET client_min_messages = warning;
SELECT dbopt.pause('advisor') IS NULL AS paused \gset
CREATE SCHEMA written;
SET search_path = written, public;
SELECT plan(11);
CREATE TABLE cast_me (id int, ch char(20), v varchar(20), at timestamptz);
INSERT INTO cast_me SELECT g, 'c' || g, 'v' || g, now() FROM generate_series(1, 50000) g;
ANALYZE cast_me;
CREATE FUNCTION real_gain(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE d text; before json; after json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO before;
    FOR d IN SELECT ddl FROM dbopt.index_suggest(ARRAY[query]) LOOP EXECUTE d; END LOOP;
    ANALYZE written.cast_me;
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO after;
    RETURN (after->0->'Plan'->>'Total Cost')::float8 / (before->0->'Plan'->>'Total Cost')::float8;
END $$;
SELECT cmp_ok(real_gain('SELECT * FROM written.cast_me WHERE id = 5.5'), '<', 0.6::float8, 'an integer compared with a decimal: the advised index, built, helps');
SELECT ok(EXISTS (SELECT FROM pg_indexes WHERE schemaname = 'written' AND indexdef LIKE '%(id)::numeric%'), 'it is on the cast');
SELECT cmp_ok(real_gain($$SELECT * FROM written.cast_me WHERE ch = 'c5'::text$$), '<', 0.6::float8, 'a padded text compared with a text: helps, too');
SELECT ok(EXISTS (SELECT FROM pg_indexes WHERE schemaname = 'written' AND indexdef LIKE '%(ch)::text%'), 'on the cast');
SELECT ok((SELECT bool_and(ddl LIKE '%(v%') FROM dbopt.index_suggest(ARRAY[$$SELECT * FROM written.cast_me WHERE v = 'v5'$$])), 'a varchar needs no cast');

-- Partitions of partitions.
CREATE TABLE part (k int, r int, note text) PARTITION BY RANGE (r);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (0) TO (50000);
CREATE TABLE part2 PARTITION OF part FOR VALUES FROM (50000) TO (100000) PARTITION BY RANGE (r);
CREATE TABLE part21 PARTITION OF part2 FOR VALUES FROM (50000) TO (100000);
INSERT INTO part SELECT g, g % 100000, repeat('n', 30) FROM generate_series(1, 60000) g;
ANALYZE part;
CREATE TEMP TABLE advice AS SELECT * FROM dbopt.index_suggest(ARRAY['SELECT * FROM written.part WHERE k = 7',
    'SELECT * FROM written.part2 WHERE k = 8', 'SELECT * FROM written.part21 WHERE k = 9', 'SELECT * FROM written.part2 WHERE k = 10']);
SELECT is((SELECT count(*)::int FROM advice WHERE ddl ~ 'ON written.part '), 1, 'one index on the parent');
SELECT is((SELECT count(*)::int FROM advice WHERE ddl ~ 'ON written.part2'), 0, 'and none of the same columns below it');
SELECT lives_ok((SELECT string_agg(ddl, '; ' ORDER BY rank) FROM advice), 'all of it can be built as written');

-- Constants of one call.
CREATE TABLE call (id int, d jsonb);
INSERT INTO call SELECT g, jsonb_build_object('k', g, 'j', g % 77) FROM generate_series(1, 30000) g;
VACUUM ANALYZE call;
SELECT dbopt.workload_reset();
SET dbopt.sample_every = 1;
\o /dev/null
PREPARE remainder (int, int) AS SELECT count(*) FROM written.call WHERE id % $1 = $2;
PREPARE document (text, text) AS SELECT count(*) FROM written.call WHERE d->>$1 = $2;
PREPARE same (text, text) AS SELECT id FROM written.call WHERE d->>$1 = $2;
SELECT format('EXECUTE remainder(%s, %s)', 100 + g, g), format('EXECUTE document(%L, %L)', 'k' || g, g), format('EXECUTE same(%L, %L)', 'k', g)
FROM generate_series(1, 6) g \gexec
SELECT format('SELECT count(*) FROM written.call WHERE id %% %s = 1', 2000 + g) FROM generate_series(1, 4) g \gexec
\o
CREATE TEMP TABLE observed AS SELECT * FROM dbopt.index_suggest();
SELECT is((SELECT count(*)::int FROM observed WHERE ddl LIKE '%\%%'), 0, 'no index on the remainder by one call''s divisor');
SELECT is((SELECT count(*)::int FROM observed WHERE ddl ~ 'k\d'), 0, 'nor on one call''s key of a document');
SELECT is((SELECT count(*)::int FROM observed WHERE ddl ~ '''k'''), 1, 'but on the key that all calls have');
SELECT * FROM finish();
DROP SCHEMA written CASCADE;
SELECT dbopt.resume('advisor') IS NULL AS resumed \gset
