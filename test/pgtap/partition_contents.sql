-- What a conversion must carry over byte by byte: every sort of value, columns that were added and
-- dropped, long values, and a copy that is proved under any default isolation level.
\set VERBOSITY terse
\set ON_ERROR_STOP off
SET client_min_messages = error;
SET timezone = 'UTC';
SELECT plan(21);
CREATE SCHEMA cont;
CREATE TYPE cont.pair AS (a int, b text);
CREATE DOMAIN cont.positive AS int CHECK (VALUE > 0);
CREATE TYPE cont.mood AS ENUM ('low', 'high');

CREATE TABLE cont.kinds (
    id int PRIMARY KEY, gone text, at timestamptz NOT NULL,
    b bool, i2 int2, i8 int8, f4 float4, f8 float8, n numeric, c "char", nm name, ch char(5), vc varchar(10),
    t text, by bytea, d date, ts timestamp, tm time, tz timetz, iv interval, u uuid, j json, jb jsonb, x xml,
    a int[], r tstzrange, p cont.pair, dom cont.positive, m cont.mood, net inet, mac macaddr, pt point, bits bit varying,
    big text, squeezed text, external text);
ALTER TABLE cont.kinds ALTER big SET STORAGE EXTERNAL, ALTER squeezed SET STORAGE MAIN, ALTER external SET STORAGE EXTERNAL;
INSERT INTO cont.kinds (id, gone, at) SELECT i, 'dropped', '2026-01-01'::timestamptz + i * interval '3 hours' FROM generate_series(1, 700) i;
ALTER TABLE cont.kinds DROP COLUMN gone;
ALTER TABLE cont.kinds ADD COLUMN later text NOT NULL DEFAULT 'there all along', ADD COLUMN later_number numeric DEFAULT 1.50;
UPDATE cont.kinds SET b = id % 2 = 0, i2 = id, i8 = -id, f4 = id / 3.0, f8 = CASE id % 4 WHEN 0 THEN 'NaN' WHEN 1 THEN '-Infinity' WHEN 2 THEN '-0' ELSE 1e300 END,
    n = CASE id % 5 WHEN 0 THEN 'NaN' WHEN 1 THEN 1.0 WHEN 2 THEN 1.00 WHEN 3 THEN 'Infinity' ELSE 10::numeric ^ id END, c = 'x', nm = 'name ' || id,
    ch = id, vc = id, t = repeat('t', id % 90), by = decode(repeat('00ff', id % 60), 'hex'), d = CASE WHEN id % 7 = 0 THEN 'infinity'::date ELSE '2026-01-01'::date + id END,
    ts = '2026-01-01', tm = '10:00', tz = '10:00+02', iv = '1 month 2 days 3 hours', u = md5(id::text)::uuid, j = '{"b": 1, "b": 2}', jb = '{"a": [1, null]}',
    x = '<a/>', a = ARRAY[id, NULL, 3], r = tstzrange('2026-01-01', NULL), p = ROW(id, NULL), dom = id, m = 'high', net = '10.0.0.0/8', mac = '08:00:2b:01:02:03',
    pt = point(id, 1), bits = B'101' WHERE id > 20;
UPDATE cont.kinds SET big = (SELECT string_agg(md5(i::text || g), '') FROM generate_series(1, 300) g(g), (SELECT id i) z),
    squeezed = repeat('squeeze me ', 3000), external = repeat(id::text, 4000) WHERE id % 9 = 0;
CREATE TABLE cont.kinds_before AS TABLE cont.kinds;
CALL dbopt.partition_convert('cont.kinds', 'at', '1 month', accept_lost_constraints => true);
SELECT is(relkind::text, 'p', 'a table of all sorts of columns is converted') FROM pg_class WHERE oid = 'cont.kinds'::regclass;
SELECT is((SELECT count(*) FROM cont.kinds), 700::bigint, 'with all its rows');
SELECT is((SELECT count(*) FROM cont.kinds x1 JOIN cont.kinds_before x2 USING (id) WHERE x1::text = x2::text), 700::bigint, 'equal in their text');
SELECT is((SELECT count(*) FROM cont.kinds x1 JOIN cont.kinds_before x2 USING (id) WHERE record_image_eq(x1, x2)), 700::bigint, 'and byte by byte');
SELECT is((SELECT count(*) FROM cont.kinds WHERE later = 'there all along' AND later_number::text = '1.50'), 700::bigint, 'columns that were added later have their values');
SELECT is((SELECT count(*) FROM cont.kinds WHERE big IS NOT NULL AND length(big) = 9600), 77::bigint, 'long values are whole');
SELECT is((SELECT string_agg(attname || attstorage::text, ' ' ORDER BY attname) FROM pg_attribute WHERE attrelid = 'cont.kinds_2026_02'::regclass AND attname IN ('big', 'squeezed', 'external')),
    'bige externale squeezedm', 'partitions store them as the table did');

-- under the strictest default isolation
CREATE TABLE cont.strict (id bigint PRIMARY KEY, d date NOT NULL);
INSERT INTO cont.strict SELECT i, '2026-01-01'::date + i % 300 FROM generate_series(1, 5000) i;
SET default_transaction_isolation = 'repeatable read';
CALL dbopt.partition_convert('cont.strict', 'd', '1 month', accept_lost_constraints => true);
RESET default_transaction_isolation;
SELECT is(relkind::text, 'p', 'a session whose transactions are REPEATABLE READ converts, too') FROM pg_class WHERE oid = 'cont.strict'::regclass;
SELECT is((SELECT count(DISTINCT id) FROM cont.strict), 5000::bigint, 'with every row');

-- each key type once
CREATE TABLE cont.num (k numeric PRIMARY KEY, v int);
INSERT INTO cont.num SELECT i * 2.5, i FROM generate_series(-50, 1000) i;
CALL dbopt.partition_convert('cont.num', 'k', '500');
SELECT is((SELECT count(*) FROM cont.num), 1051::bigint, 'numeric keys, below zero too');
SELECT cmp_ok((SELECT count(*) FROM pg_inherits WHERE inhparent = 'cont.num'::regclass), '>=', 6::bigint, 'in steps');
CREATE TABLE cont.u (k uuid PRIMARY KEY, v int);
INSERT INTO cont.u SELECT (lpad(to_hex((extract(epoch FROM now() - i * interval '1 day') * 1000)::bigint), 12, '0') || '7abc8def012345678901')::uuid, i FROM generate_series(0, 99) i;
CALL dbopt.partition_convert('cont.u', 'k', '1 month');
SELECT is((SELECT count(*) FROM cont.u), 100::bigint, 'uuid version 7');
SELECT cmp_ok((SELECT count(*) FROM pg_inherits WHERE inhparent = 'cont.u'::regclass), '>=', 4::bigint, 'in months');
CREATE TABLE cont.small (k int2 PRIMARY KEY, v int);
INSERT INTO cont.small SELECT i, i FROM generate_series(-300, 300) i;
CALL dbopt.partition_convert('cont.small', 'k', '100');
SELECT is((SELECT count(*) FROM cont.small), 601::bigint, 'smallint');
CREATE TABLE cont.plain (k timestamp PRIMARY KEY);
INSERT INTO cont.plain SELECT '2026-01-01'::timestamp + i * interval '1 day' FROM generate_series(0, 99) i;
INSERT INTO cont.plain VALUES ('infinity'), ('-infinity');
CALL dbopt.partition_convert('cont.plain', 'k', '1 week');
SELECT is((SELECT count(*) FROM cont.plain), 102::bigint, 'timestamp');
SELECT is((SELECT count(*) FROM cont.plain_default), 2::bigint, 'infinite ones in the default');

-- nothing to copy
CREATE TABLE cont.empty (id int PRIMARY KEY, d date NOT NULL);
CALL dbopt.partition_convert('cont.empty', 'd', '1 month', accept_lost_constraints => true);
SELECT is(relkind::text, 'p', 'an empty table') FROM pg_class WHERE oid = 'cont.empty'::regclass;
SELECT lives_ok($$INSERT INTO cont.empty VALUES (1, current_date)$$, 'it takes rows');

-- constraints as they were, with INCLUDE and deferrable
CREATE TABLE cont.keys (id int, d date, v text, CONSTRAINT both_pk PRIMARY KEY (id, d) INCLUDE (v), CONSTRAINT both_u UNIQUE (d, v) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO cont.keys SELECT i, '2026-01-01'::date + i, i FROM generate_series(1, 100) i;
CALL dbopt.partition_convert('cont.keys', 'd', '1 month');
SELECT is((SELECT string_agg(conname || ' ' || pg_get_constraintdef(oid), '; ' ORDER BY conname) FROM pg_constraint WHERE conrelid = 'cont.keys'::regclass AND contype IN ('p', 'u')),
    'both_pk PRIMARY KEY (id, d) INCLUDE (v); both_u UNIQUE (d, v) DEFERRABLE INITIALLY DEFERRED', 'keys keep INCLUDE and DEFERRABLE');
SELECT is((SELECT count(*) FROM pg_index WHERE indrelid = 'cont.keys_2026_02'::regclass), 2::bigint, 'each partition has each index once');
SELECT is((SELECT count(*) FROM pg_class WHERE relname LIKE '\_dbopt\_%') + (SELECT count(*) FROM dbopt.partition_piece), 0::bigint, 'nothing is left over');
SELECT * FROM finish();
DROP SCHEMA cont CASCADE;
