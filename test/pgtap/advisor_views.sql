-- The views on indexes that exist, and findings on one query.
BEGIN;
SELECT plan(30);
CREATE SCHEMA av;
CREATE TABLE av.parent (id int PRIMARY KEY);
CREATE TABLE av.child (id int PRIMARY KEY, parent_id int REFERENCES av.parent, a int, b int, c text UNIQUE);
INSERT INTO av.child SELECT i, NULL, i % 100, i, 'c' || i FROM generate_series(1, 20000) i;
CREATE INDEX child_a ON av.child (a);
CREATE INDEX child_ab ON av.child (a, b);
CREATE INDEX child_ab_again ON av.child (a, b);
CREATE INDEX child_a_desc ON av.child (a DESC);
CREATE INDEX child_part ON av.child (a) WHERE b > 5;
CREATE UNIQUE INDEX child_unique ON av.child (b);
ANALYZE av.child;
SELECT is((SELECT string_agg(index::text, ' ' ORDER BY index::text) FROM dbopt.index_redundant WHERE relation = 'av.child'::regclass), 'av.child_a av.child_a_desc av.child_ab_again', 'prefixes, one of them read backwards, and a duplicate, nothing else');
SELECT is((SELECT kind FROM dbopt.index_redundant WHERE index = 'av.child_ab_again'::regclass), 'duplicate', 'the younger twin');
SELECT is((SELECT count(*) FROM dbopt.index_unused WHERE index IN ('av.child_pkey'::regclass, 'av.child_c_key'::regclass, 'av.child_unique'::regclass)), 0::bigint, 'what guards a rule is not unused');
SELECT ok((SELECT count(*) > 0 FROM dbopt.index_unused WHERE index = 'av.child_ab'::regclass), 'never read');
SELECT is((SELECT left(confidence, 3) FROM dbopt.index_unused WHERE index = 'av.child_ab'::regclass), 'low', 'young statistics, low confidence');
SELECT is((SELECT ddl FROM dbopt.foreign_keys_unindexed WHERE relation = 'av.child'::regclass), 'CREATE INDEX ON av.child (parent_id)', 'a foreign key without index');
CREATE INDEX ON av.child (parent_id);
SELECT is_empty($$SELECT * FROM dbopt.foreign_keys_unindexed WHERE relation = 'av.child'::regclass$$, 'and with one');
SELECT is_empty($$SELECT * FROM dbopt.index_unused WHERE index = 'av.child_parent_id_idx'::regclass$$, 'which is not unused: deletes of the parent need it');
CREATE INDEX child_parent_too ON av.child (parent_id, a);
SELECT is((SELECT string_agg(index::text, ' ') FROM dbopt.index_unused WHERE index::text LIKE 'av.child_parent%'), 'av.child_parent_too', 'of two, one is');
DROP INDEX av.child_parent_too;
-- Expressions, predicates, orders and other methods.
CREATE TABLE av.twins (b int, c text, d int, e point, EXCLUDE USING gist (e WITH ~=));
CREATE INDEX tw_lower ON av.twins (lower(c));
CREATE INDEX tw_lower_again ON av.twins (lower(c));
CREATE INDEX tw_upper ON av.twins (upper(c));
CREATE INDEX tw_lower_b ON av.twins (lower(c), d);
CREATE INDEX tw_part ON av.twins (b) WHERE d > 7;
CREATE INDEX tw_part_again ON av.twins (b) WHERE d > 7;
CREATE INDEX tw_part_other ON av.twins (b) WHERE d > 8;
CREATE INDEX tw_gist ON av.twins USING gist (e);
CREATE INDEX tw_db ON av.twins (d, b);
CREATE INDEX tw_db_back ON av.twins (d DESC, b DESC);
CREATE INDEX tw_db_mixed ON av.twins (d DESC, b);
CREATE INDEX tw_d_nulls ON av.twins (d NULLS FIRST);
CREATE INDEX tw_hash ON av.twins USING hash (b);
CREATE INDEX tw_hash_again ON av.twins USING hash (b);
CREATE INDEX tw_brin ON av.twins USING brin (b) WITH (pages_per_range = 16);
CREATE INDEX tw_brin_other ON av.twins USING brin (b) WITH (pages_per_range = 32);
SELECT results_eq($$SELECT index::text, covered_by::text, kind FROM dbopt.index_redundant WHERE relation = 'av.twins'::regclass ORDER BY index::text COLLATE "C"$$,
    $$VALUES ('av.tw_db_back', 'av.tw_db', 'duplicate'), ('av.tw_gist', 'av.twins_e_excl', 'duplicate'), ('av.tw_hash_again', 'av.tw_hash', 'duplicate'),
        ('av.tw_lower', 'av.tw_lower_b', 'prefix'), ('av.tw_lower_again', 'av.tw_lower', 'duplicate'), ('av.tw_part_again', 'av.tw_part', 'duplicate')$$,
    'expressions, predicates, reversed orders, other methods; nothing that differs');
-- Partitioned ones.
CREATE TABLE av.pt (k int) PARTITION BY RANGE (k);
CREATE TABLE av.pt1 PARTITION OF av.pt FOR VALUES FROM (0) TO (10);
CREATE INDEX pt_k ON ONLY av.pt (k);
SELECT is((SELECT command FROM dbopt.index_invalid WHERE index = 'av.pt_k'::regclass), 'DROP INDEX av.pt_k;', 'an invalid index of a partitioned table');
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'av.child_part'::regclass;
SELECT matches((SELECT command FROM dbopt.index_invalid WHERE index = 'av.child_part'::regclass), '^REINDEX INDEX CONCURRENTLY', 'an invalid index');
SELECT ok((SELECT count(*) FROM dbopt.index_usage WHERE relation = 'av.child'::regclass) >= 8, 'all of them in index_usage');
SELECT ok((SELECT bool_and(verdict IS NOT NULL) FROM dbopt.index_effectiveness), 'each has a verdict');
DROP INDEX av.child_part, av.child_a, av.child_ab, av.child_ab_again, av.child_a_desc;
SELECT ok(EXISTS (SELECT FROM dbopt.explain('SELECT * FROM av.child WHERE a = 5') WHERE advice LIKE 'CREATE INDEX child_a_idx ON av.child (a)%'), 'explain proposes the index');
SELECT ok(EXISTS (SELECT FROM dbopt.explain('SELECT * FROM av.child ORDER BY b OFFSET 5000 LIMIT 5') WHERE finding LIKE '%OFFSET%'), 'a large OFFSET');
-- Tables of one name in two schemas; names with every character.
CREATE SCHEMA "av.2";
CREATE TABLE av.samename (id int, k int);
INSERT INTO av.samename VALUES (1, 1);
CREATE TABLE "av.2".samename AS SELECT g AS id, g % 10 AS k, repeat('x', 100) AS pad FROM generate_series(1, 20000) g;
ANALYZE av.samename; ANALYZE "av.2".samename;
SET search_path = av, public;
SELECT ok(EXISTS (SELECT FROM dbopt.explain('SELECT * FROM "av.2".samename WHERE id = 5', true) WHERE finding LIKE 'reads the whole table%' AND advice LIKE 'CREATE INDEX %"av.2".samename%'), 'a table that shares its name');
SELECT is_empty($$SELECT * FROM dbopt.explain('SELECT * FROM samename WHERE id = 5', true) WHERE finding LIKE 'reads the whole%'$$, 'and the other, which is small');
RESET search_path;
CREATE TEMP TABLE av_temp AS TABLE "av.2".samename;
ANALYZE av_temp;
SELECT ok(EXISTS (SELECT FROM dbopt.explain('SELECT * FROM av_temp WHERE id = 5', true) WHERE finding LIKE 'reads the whole table%'), 'a temporary table');
CREATE TABLE av.odd AS SELECT g % 100 AS "a(b", g % 100 AS "c*[", g % 100 AS "a.b", g AS b, 1 AS a, 'x'::text AS "it's", repeat('x', 50) AS pad FROM generate_series(1, 60000) g;
ANALYZE av.odd;
SELECT matches((SELECT advice FROM dbopt.explain('SELECT * FROM av.odd WHERE "a(b" = 5 AND "c*[" = 5', true) WHERE finding LIKE '%rows expected%' AND advice LIKE '%STATISTICS%' LIMIT 1),
    'CREATE STATISTICS ON "a\(b", "c\*\[" FROM', 'columns with characters of regular expressions');
SELECT ok(dbopt._names_column('((odd."a(b" = 5) AND (odd.a = 1))', 'a(b') AND dbopt._names_column('((odd."a(b" = 5) AND (odd.a = 1))', 'a'), 'both are named');
SELECT ok(NOT dbopt._names_column('(odd."a.b" = 5)', 'b') AND NOT dbopt._names_column('(odd."a.b" = 5)', 'a'), 'a part of a quoted name is not');
SELECT ok(NOT dbopt._names_column($$(odd.pad = 'x.a it''s "b.b"'::text)$$, 'a') AND NOT dbopt._names_column($$(odd.pad = 'x.a it''s .b'::text)$$, 'b'), 'nor what stands in a literal');
SELECT ok(NOT dbopt._names_column('(odd.ab = 5)', 'a') AND dbopt._names_column('(odd."x""y" = 5)', 'x"y'), 'whole names count');
-- Operators of the caller's schemas take no part.
CREATE SCHEMA av_ops;
CREATE FUNCTION av_ops.join_text(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT NULL::text';
CREATE OPERATOR av_ops.|| (FUNCTION = av_ops.join_text, LEFTARG = text, RIGHTARG = text);
SET search_path = av_ops, pg_catalog, public;
SELECT count(*) AS findings FROM dbopt.explain('SELECT * FROM av.child WHERE a = 5') \gset
RESET search_path;
SELECT ok(:findings > 0, 'explain with another || in the way');
-- Rows about schemas that the reader may not use.
CREATE ROLE av_monitor IN ROLE pg_monitor;
CREATE SCHEMA "av Odd";
CREATE TABLE "av Odd"."T" (id int);
CREATE INDEX "I" ON "av Odd"."T" (id);
INSERT INTO dbopt._index_build (run_id, relation, index_schema, index_name, command, verify, requested_by, status)
VALUES (-1, '"av Odd"."T"'::regclass, 'av Odd', 'I', 'CREATE INDEX', true, current_user::regrole, 'kept');
INSERT INTO dbopt.index_expected (ddl, table_schema, table_name, owner, run_id) VALUES ('x', 'av Odd', 'T', current_user::regrole, -1);
SET ROLE av_monitor;
SELECT results_eq($$SELECT relation::text, index, size_bytes IS NOT NULL FROM dbopt.index_builds WHERE run_id = -1$$, $$VALUES ('"av Odd"."T"', '"av Odd"."I"', true)$$, 'index_builds for a monitor');
SELECT is_empty($$SELECT * FROM dbopt._index_expected_missing WHERE run_id = -1$$, 'an expected index that is there');
RESET ROLE;
SELECT count(*) FROM dbopt.explain('DELETE FROM av.child', true);
SELECT is((SELECT count(*) FROM av.child), 20000::bigint, 'what explain executes is undone');
SELECT throws_ok($$SELECT dbopt.explain('SELECT 1; DROP TABLE av.child', true)$$, '42601', NULL, 'one statement only');
SELECT throws_ok($$SELECT dbopt.index_apply('DROP TABLE av.child')$$, '42601', NULL, 'index_apply takes CREATE INDEX only');
SELECT * FROM finish();
ROLLBACK;
