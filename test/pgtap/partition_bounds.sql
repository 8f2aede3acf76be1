-- Bounds that are finer than dbopt counts, holes that are long, keys that are expressions.
BEGIN;
SELECT plan(32);
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE SCHEMA edge;
CREATE FUNCTION pg_temp.bounds(regclass) RETURNS text LANGUAGE sql AS
$$SELECT string_agg(substr(pg_get_expr(relpartbound, c.oid), 12), '; ' ORDER BY c.oid) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = $1$$;

-- an expression as key: how far the ids have come is read through it
CREATE TABLE edge.ex (id int) PARTITION BY RANGE ((id + 1));
SELECT lives_ok($$SELECT dbopt.partition_manage('edge.ex', '100', premake => 1)$$, 'an expression over ids');
INSERT INTO edge.ex SELECT generate_series(0, 198);
SELECT is(count(*), 1::bigint, 'the set goes on with its rows') FROM dbopt.partition_maintain('edge.ex') WHERE status = 'done';
SELECT lives_ok($$INSERT INTO edge.ex VALUES (250)$$, 'and takes more');
CREATE TABLE edge.two (a int, b int) PARTITION BY RANGE ((a + 1), (b + 1));
SELECT throws_ok($$SELECT dbopt.partition_manage('edge.two', '100')$$, '0A000', NULL, 'several expressions are refused');

-- holes
CREATE TABLE edge.long (t timestamptz) PARTITION BY RANGE (t);
SELECT throws_like($$SELECT dbopt.partition_manage('edge.long', '1 minute', start_at => '2020-01-01')$$, '%more than 10000 steps%', 'a start too long ago is refused');
CREATE TABLE edge.days (t timestamptz) PARTITION BY RANGE (t);
SELECT ok(count(*) FILTER (WHERE action = 'create' AND status IN ('done', 'queued')) > 1500 AND count(*) FILTER (WHERE status NOT IN ('done', 'queued')) = 0,
    'one of 1,500 days is not') FROM dbopt.partition_manage('edge.days', '1 day', premake => 2, start_at => (now() - interval '1500 days')::date::text);
SELECT lives_ok($$INSERT INTO edge.days VALUES (now()), (now() + interval '2 days')$$, 'what is needed first is made first');
CREATE TABLE edge.old (t timestamptz) PARTITION BY RANGE (t);
CREATE TABLE edge.old_1 PARTITION OF edge.old FOR VALUES FROM ('2001-01-01') TO ('2001-01-02');
SELECT set_eq($$SELECT action, status FROM dbopt.partition_manage('edge.old', '1 minute', premake => 1)$$,
    $$VALUES ('manage', 'done'), ('create', 'skipped'), ('create', 'done')$$, 'a hole that is too long is named');
SELECT lives_ok($$INSERT INTO edge.old VALUES (now())$$, 'and does not keep now from its partition');
SELECT ok(EXISTS (SELECT FROM dbopt.partition_check('edge.old') WHERE problem = 'hole too long'), 'the check names it, too');

-- infinite ends
CREATE TABLE edge.inf (t timestamptz) PARTITION BY RANGE (t);
CREATE TABLE edge.inf_1 PARTITION OF edge.inf FOR VALUES FROM ('200000-01-01') TO ('infinity');
CREATE TABLE edge.inf_2 PARTITION OF edge.inf FOR VALUES FROM ('infinity') TO (MAXVALUE);
SELECT lives_ok($$SELECT dbopt.partition_manage('edge.inf', '1 year', premake => 1)$$, 'partitions at infinity');
SELECT lives_ok($$SELECT * FROM dbopt.partitions$$, 'do not break the view');

-- bounds between two positions
CREATE TABLE edge.half (id numeric PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE edge.half_a PARTITION OF edge.half FOR VALUES FROM (0.5) TO (10.5);
INSERT INTO edge.half VALUES (10.2);
SELECT is(count(*), 0::bigint, 'fractions') FROM dbopt.partition_manage('edge.half', '10', premake => 1) WHERE status = 'failed';
SELECT is(pg_temp.bounds('edge.half'), $$FROM (0.5) TO (10.5); FROM (10.5) TO ('20'); FROM ('20') TO ('30')$$, 'the next begins exactly there');
SELECT lives_ok($$INSERT INTO edge.half VALUES (10.5), (10.7), (19.9)$$, 'without a hole');
SELECT is(count(*), 0::bigint, 'and nothing more is to be done') FROM dbopt.partition_maintain('edge.half') WHERE status <> 'done';
CREATE TABLE edge.pair (a int, b text, PRIMARY KEY (a, b)) PARTITION BY RANGE (a, b);
CREATE TABLE edge.pair_1 PARTITION OF edge.pair FOR VALUES FROM (0, 'x') TO (100, 'y) TO (''');
SELECT is(count(*), 0::bigint, 'bounds with further columns') FROM dbopt.partition_manage('edge.pair', '100', premake => 1) WHERE status = 'failed';
SELECT lives_ok($$INSERT INTO edge.pair VALUES (100, 'a'), (100, 'z'), (199, 'z')$$, 'are continued without a hole');
SELECT is(count(*), 0::bigint, 'and without a gap that is none') FROM dbopt.partition_check('edge.pair') WHERE problem IN ('gap', 'overlap');
CREATE TABLE edge.u (id uuid) PARTITION BY RANGE (id);
DO $$BEGIN EXECUTE format('CREATE TABLE edge.u_1 PARTITION OF edge.u FOR VALUES FROM (%L) TO (%L)',
    overlay('00000000-0000-7000-8000-000000000000' PLACING substr(lpad(to_hex((extract(epoch FROM date_trunc('day', now()) - interval '1 day') * 1000)::bigint), 12, '0'), 1, 8) FROM 1 FOR 8)::uuid,
    (substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-7000-8000-000000000000')::uuid)
    FROM (SELECT lpad(to_hex((extract(epoch FROM date_trunc('day', now())) * 1000)::bigint), 12, '0') AS h) x; END$$;
SELECT is(count(*), 0::bigint, 'uuids of another tool''s lattice') FROM dbopt.partition_manage('edge.u', '1 day', premake => 1) WHERE status = 'failed';
SELECT lives_ok($$INSERT INTO edge.u SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7abc8def012345678901')::uuid$$, 'now has its place');
SELECT is(count(*), 0::bigint, 'there is no gap') FROM dbopt.partition_check('edge.u') WHERE problem IN ('gap', 'overlap', 'nothing planned ahead');

-- what cannot be counted, and what does not fit
CREATE TABLE edge.huge (id numeric(40, 0)) PARTITION BY RANGE (id);
CREATE TABLE edge.huge_1 PARTITION OF edge.huge FOR VALUES FROM (1e30) TO (2e30);
SELECT throws_like($$SELECT dbopt.partition_manage('edge.huge', '10')$$, '%beyond 64 bits%', 'ids of more than 64 bits');
CREATE TABLE edge.dd (d date) PARTITION BY RANGE (d);
SELECT throws_like($$SELECT dbopt.partition_manage('edge.dd', '1 month', template => 'pg_class')$$, '%system catalog%', 'a catalog as template');
CREATE TABLE edge.unlike (d timestamptz);
SELECT throws_like($$SELECT dbopt.partition_manage('edge.dd', '1 month', template => 'edge.unlike')$$, '%it has no column d date', 'a template with another type');
SELECT throws_like($$SELECT dbopt.partition_manage('edge.dd', '1 month', time_encoding => 'ms')$$, '%does not fit%', 'an encoding for a date');
CREATE TABLE edge.i4 (id int) PARTITION BY RANGE (id);
SELECT throws_like($$SELECT dbopt.partition_manage('edge.i4', '10 years', time_encoding => 'ms')$$, '%does not fit%', 'milliseconds in four bytes');
CREATE SCHEMA edge_archive;
SELECT throws_like($$SELECT dbopt.partition_manage('edge.dd', '1 month', retention => '1 year', retention_mode => 'archive', archive_schema => 'edge_archive', archive_tablespace => 'nope')$$,
    '%tablespace "nope" does not exist%', 'an archive that cannot be');
CREATE TABLE edge.tp (id int) PARTITION BY RANGE (id);
CREATE TABLE edge.tpl (LIKE edge.tp);
SELECT lives_ok($$SELECT dbopt.partition_manage('edge.tp', '10', premake => 0, template => 'edge.tpl')$$, 'a template');
DROP TABLE edge.tpl;
SELECT bag_eq($$SELECT DISTINCT status, detail LIKE '%template%is gone%' FROM dbopt.partition_manage('edge.tp', '10', premake => 1) WHERE action = 'create'$$,
    $$VALUES ('failed', true)$$, 'that is gone is missed');
SELECT is(count(*), 0::bigint, 'nothing of it is stored') FROM dbopt.partition_sets WHERE parent IN ('edge.huge'::regclass, 'edge.dd'::regclass, 'edge.i4'::regclass, 'edge.two'::regclass);
SELECT is(count(*), 0::bigint, 'nor made') FROM pg_inherits WHERE inhparent IN ('edge.dd'::regclass, 'edge.i4'::regclass);
SELECT * FROM finish();
ROLLBACK;
