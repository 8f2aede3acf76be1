-- Every other key type: one round each, against PostgreSQL's own reading of the bounds.
BEGIN;
SELECT plan(27);
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE SCHEMA part;
CREATE FUNCTION pg_temp.names(regclass) RETURNS text LANGUAGE sql AS
$$SELECT string_agg(substr(partition::text, length($1::text) + 1), ' ' ORDER BY lower_time, lower_id) FROM dbopt.partitions WHERE parent = $1$$;

CREATE TABLE part.ids (id bigint PRIMARY KEY) PARTITION BY RANGE (id);
SELECT lives_ok($$SELECT dbopt.partition_manage('part.ids', '1000', retention => '2000', retention_mode => 'drop')$$, 'bigint ids');
SELECT is(pg_temp.names('part.ids'), '_0 _1000 _2000 _3000', 'from 0');
INSERT INTO part.ids VALUES (2500);
SELECT lives_ok($$SELECT dbopt.partition_maintain('part.ids')$$, 'the highest id is now');
SELECT is(pg_temp.names('part.ids'), '_0 _1000 _2000 _3000 _4000 _5000', 'three ahead of it');
INSERT INTO part.ids VALUES (5500);
SELECT lives_ok($$SELECT dbopt.partition_maintain('part.ids')$$, 'retention counts ids');
SELECT is(pg_temp.names('part.ids'), '_3000 _4000 _5000 _6000 _7000 _8000', 'old ones are dropped');

CREATE TABLE part.small (id smallint) PARTITION BY RANGE (id);
SELECT lives_ok($$SELECT dbopt.partition_manage('part.small', '10000', start_at => '-5000', premake => 9)$$, 'smallint');
SELECT lives_ok($$INSERT INTO part.small VALUES (-5000), (32767)$$, 'the whole type has a place');

CREATE TABLE part.num (id numeric) PARTITION BY RANGE (id);
CREATE TABLE part.num_huge PARTITION OF part.num FOR VALUES FROM (99999999999999999999) TO (MAXVALUE);
SELECT lives_ok($$SELECT dbopt.partition_manage('part.num', '100')$$, 'numeric, beside ids of more than 64 bits');

CREATE TABLE part.day (d date) PARTITION BY RANGE (d);
SELECT lives_ok($$SELECT dbopt.partition_manage('part.day', '1 week', start_at => '2026-01-26')$$, 'date, weeks');
SELECT matches(pg_temp.names('part.day'), '^_2026_w05 _2026_w06 ', 'ISO weeks in the names');
SELECT throws_ok($$SELECT dbopt.partition_manage('part.day', '1 hour')$$, '22023', NULL, 'a date has no hours');

CREATE TABLE part.ts (t timestamp) PARTITION BY RANGE (t);
SELECT lives_ok($$SELECT dbopt.partition_manage('part.ts', '15 minutes', default_partition => true)$$, 'timestamp, 15 minutes');
SELECT lives_ok($$INSERT INTO part.ts VALUES (now()), ('infinity'), ('-infinity'), ('4000-01-01')$$, 'default takes the rest');
SELECT is(count(*), 0::bigint, 'infinity and the far future are harmless') FROM dbopt.partition_maintain('part.ts');

CREATE TABLE part.epoch (t bigint) PARTITION BY RANGE (t);
SELECT throws_ok($$SELECT dbopt.partition_manage('part.epoch', '1 month')$$, '22023', NULL, 'an epoch needs its unit');
SELECT lives_ok($$SELECT dbopt.partition_manage('part.epoch', '1 month', time_encoding => 'ns')$$, 'epoch in ns');
SELECT lives_ok($$INSERT INTO part.epoch SELECT extract(epoch FROM now()) * 1000000000$$, 'now has its place');

CREATE TABLE part.u (id uuid) PARTITION BY RANGE (id);
SELECT lives_ok($$SELECT dbopt.partition_manage('part.u', '1 day')$$, 'uuid version 7');
SELECT lives_ok($$INSERT INTO part.u SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7abc8def012345678901')::uuid$$,
    'an identifier made now has its place');

CREATE TABLE part.two (t date, id int) PARTITION BY RANGE (t, id);
SELECT lives_ok($$SELECT dbopt.partition_manage('part.two', '1 month')$$, 'the key may have further columns');
CREATE TABLE part.expr (t timestamp) PARTITION BY RANGE (date_trunc('day', t));
SELECT lives_ok($$SELECT dbopt.partition_manage('part.expr', '1 day')$$, 'or be an expression');

-- rows of other tables that refer to a partition
CREATE TABLE part.ref (id bigint REFERENCES part.ids);
INSERT INTO part.ids VALUES (3100), (8500);
INSERT INTO part.ref VALUES (3100), (8500);
SELECT results_eq($$SELECT action, partition, status FROM dbopt.partition_maintain('part.ids', ARRAY['drop'])$$,
    $$VALUES ('drop', 'part.ids_3000', 'failed'), ('drop', 'part.ids_4000', 'done'), ('drop', 'part.ids_5000', 'done')$$, 'keep it from being retired');
SELECT is((SELECT count(*) FROM part.ids WHERE id = 3100), 1::bigint, 'and nothing is lost');
SELECT matches(last_problem, 'ref_id_fkey', 'the set names the key') FROM dbopt.partition_sets WHERE parent = 'part.ids'::regclass;
SELECT lives_ok($$SELECT dbopt.partition_manage('part.ids', '1000', on_reference => 'cascade')$$, 'unless that is wanted');
SELECT dbopt.partition_maintain('part.ids', ARRAY['drop']) \g /dev/null
SELECT results_eq('SELECT id FROM part.ref', 'VALUES (8500::bigint)', 'then they go with it');
SELECT * FROM finish();
ROLLBACK;
