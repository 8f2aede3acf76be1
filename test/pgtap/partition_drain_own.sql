-- A drain without a primary key, and what belongs to the default partition itself.
\set VERBOSITY terse
\set ON_ERROR_STOP off
SET client_min_messages = error;
SET timezone = 'UTC';
SELECT plan(34);
CREATE SCHEMA own;
CREATE SCHEMA own_other;
-- no key at all: rows that are alike, NULLs, a type without equality
CREATE TABLE own.bare (ts timestamptz, v text, j json) PARTITION BY RANGE (ts);
CREATE TABLE own.bare_rest PARTITION OF own.bare DEFAULT;
INSERT INTO own.bare SELECT now() - i % 90 * interval '1 day', CASE WHEN i % 7 > 0 THEN 'row ' || i % 50 END, '{"a": 1}' FROM generate_series(1, 600) i;
INSERT INTO own.bare SELECT date_trunc('month', now()) - interval '40 days', 'twin', NULL FROM generate_series(1, 5);
INSERT INTO own.bare VALUES (NULL, 'no time', '[]');
CREATE TABLE own.bare_before AS SELECT ts, v, j::text FROM own.bare;
SELECT ok(EXISTS (SELECT FROM dbopt.partition_manage('own.bare', '1 month', default_partition => true) WHERE action = 'drain'), 'managed');
CALL dbopt.partition_drain_default('own.bare');
SELECT bag_eq('SELECT ts, v, j::text FROM own.bare', 'SELECT * FROM own.bare_before', 'every row as often as before');
SELECT bag_eq('SELECT v FROM own.bare_rest', $$VALUES ('no time')$$, 'the default keeps what has no partition');
SELECT is(count(*), 0::bigint, 'nothing is left over') FROM pg_class WHERE relname LIKE '\_dbopt\_%';
SELECT is((SELECT severity FROM dbopt.partition_check('own.bare') WHERE problem = 'rows in default'), 'notice',
    'rows that stay by design are not to be drained again');
INSERT INTO own.bare VALUES (now() - interval '400 days', 'late', NULL);
SELECT ok(EXISTS (SELECT FROM dbopt.partition_check('own.bare') WHERE problem = 'rows in default' AND severity = 'warning' AND fix LIKE 'CALL%'),
    'rows that a drain moves are');

-- what belongs to the default partition stays with it
CREATE ROLE own_reader; CREATE ROLE own_writer;
CREATE TABLE own.dr (id bigint, k timestamptz NOT NULL, v text, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
CREATE TABLE own_other.dflt (v text, k timestamptz NOT NULL, id bigint NOT NULL, CONSTRAINT small CHECK (id < 1000000)) WITH (fillfactor = 55, toast.autovacuum_enabled = off);
ALTER TABLE own.dr ATTACH PARTITION own_other.dflt DEFAULT;
CREATE INDEX extra ON own_other.dflt (v);
ALTER TABLE own_other.dflt ADD UNIQUE (id, v, k);
CREATE FUNCTION own.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER of_parent AFTER INSERT ON own.dr FOR EACH ROW EXECUTE FUNCTION own.note();
CREATE TRIGGER mine AFTER INSERT ON own_other.dflt FOR EACH ROW EXECUTE FUNCTION own.note();
ALTER TABLE own_other.dflt DISABLE TRIGGER mine;
COMMENT ON TABLE own_other.dflt IS 'the rest';
GRANT SELECT ON own_other.dflt TO own_reader;
GRANT UPDATE (v) ON own_other.dflt TO own_writer;
ALTER TABLE own_other.dflt ALTER v SET STATISTICS 500;
ALTER TABLE own_other.dflt REPLICA IDENTITY FULL;
ALTER TABLE own_other.dflt ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON own_other.dflt FOR SELECT TO own_reader USING (id > 5);
CREATE PUBLICATION own_pub FOR TABLE own_other.dflt;
CREATE VIEW own.over AS SELECT id, v FROM own_other.dflt;
INSERT INTO own.dr SELECT i, now() - i * interval '1 day', 'v' || i FROM generate_series(1, 60) i;
INSERT INTO own.dr VALUES (500, 'infinity', 'stays');
CREATE TABLE own.dr_before AS SELECT * FROM own.dr;
SELECT ok(EXISTS (SELECT FROM dbopt.partition_manage('own.dr', '1 month', default_partition => true) WHERE action = 'drain'), 'managed');
CALL dbopt.partition_drain_default('own.dr');
SELECT bag_eq('SELECT * FROM own.dr', 'SELECT * FROM own.dr_before', 'every row is there');
SELECT bag_eq('SELECT v FROM own_other.dflt', $$VALUES ('stays')$$, 'the default is where it was, with what stays');
SELECT is(obj_description('own_other.dflt'::regclass, 'pg_class'), 'the rest', 'its comment');
SELECT ok(reloptions @> '{fillfactor=55}', 'its storage options') FROM pg_class WHERE oid = 'own_other.dflt'::regclass;
SELECT ok(t.reloptions @> '{autovacuum_enabled=off}', 'those of its TOAST table') FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.oid = 'own_other.dflt'::regclass;
SELECT is(count(*), 1::bigint, 'its index') FROM pg_indexes WHERE schemaname = 'own_other' AND tablename = 'dflt' AND indexdef LIKE '%(v)';
SELECT is(count(*), 1::bigint, 'its unique key') FROM pg_constraint WHERE conrelid = 'own_other.dflt'::regclass AND contype = 'u';
SELECT is(count(*), 1::bigint, 'its check') FROM pg_constraint WHERE conrelid = 'own_other.dflt'::regclass AND conname = 'small';
SELECT is((SELECT string_agg(tgname || ' ' || tgenabled::text, ', ' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = 'own_other.dflt'::regclass AND NOT tgisinternal), 'mine D, of_parent O',
    'its trigger, as it was, and the parent''s once');
SELECT ok(has_table_privilege('own_reader', 'own_other.dflt', 'SELECT'), 'its grants');
SELECT ok(has_column_privilege('own_writer', 'own_other.dflt', 'v', 'UPDATE') AND NOT has_table_privilege('own_writer', 'own_other.dflt', 'UPDATE'), 'also by column');
SELECT is(attstattarget::int, 500, 'its statistics target') FROM pg_attribute WHERE attrelid = 'own_other.dflt'::regclass AND attname = 'v';
SELECT is(relreplident::text || relrowsecurity, 'ftrue', 'its replica identity and row security') FROM pg_class WHERE oid = 'own_other.dflt'::regclass;
SELECT is((SELECT string_agg(polname, ' ') FROM pg_policy WHERE polrelid = 'own_other.dflt'::regclass), 'seen', 'its policy');
SELECT is(count(*), 1::bigint, 'its publication') FROM pg_publication_tables WHERE pubname = 'own_pub' AND schemaname = 'own_other' AND tablename = 'dflt';
SELECT bag_eq('SELECT v FROM own.over', $$VALUES ('stays')$$, 'a view over it reads it');
SELECT is(count(*), 0::bigint, 'nothing of it is with the partitions') FROM pg_trigger JOIN pg_inherits ON inhrelid = tgrelid
    WHERE inhparent = 'own.dr'::regclass AND tgname = 'mine' AND tgrelid <> 'own_other.dflt'::regclass;
SELECT is(count(*), 0::bigint, 'nothing is left over') FROM pg_class WHERE relname LIKE '\_dbopt\_%';

-- what stands in the way is named
CREATE MATERIALIZED VIEW own.mv AS SELECT count(*) FROM own_other.dflt;
INSERT INTO own.dr VALUES (900, now() - interval '300 days', 'more');
CALL dbopt.partition_drain_default('own.dr');
SELECT ok(EXISTS (SELECT FROM own_other.dflt WHERE id = 900), 'a materialized view over it: refused, and nothing happens');
DROP MATERIALIZED VIEW own.mv;
CALL dbopt.partition_drain_default('own.dr');
SELECT is(count(*), 1::bigint, 'without it it is drained again') FROM own_other.dflt;

-- policies, unique keys and indexes from a template
CREATE TABLE own.t (id bigint, a int, b text) PARTITION BY RANGE (id);
CREATE TABLE own.t_template (LIKE own.t);
ALTER TABLE own.t_template ADD CONSTRAINT t_u UNIQUE (a);
CREATE INDEX ON own.t_template (b);
ALTER TABLE own.t_template ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON own.t_template AS RESTRICTIVE FOR UPDATE TO own_reader USING (a > 1) WITH CHECK (a > 2);
SELECT is(count(*), 2::bigint, 'partitions are made') FROM dbopt.partition_manage('own.t', '10', premake => 1, default_partition => true, template => 'own.t_template')
    WHERE action = 'create' AND status = 'done' AND partition NOT LIKE '%default';
SELECT is((SELECT concat_ws(' ', relrowsecurity, polname, polpermissive, polcmd::text, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
    FROM pg_class c JOIN pg_policy ON polrelid = c.oid WHERE c.oid = 'own.t_0'::regclass), 't few f w (a > 1) (a > 2)', 'a policy of the template');
SELECT is(count(*), 1::bigint, 'a unique key of the template') FROM pg_constraint WHERE conrelid = 'own.t_10'::regclass AND contype = 'u';
INSERT INTO own.t SELECT i, i, 'x' FROM generate_series(0, 45) i;
CALL dbopt.partition_drain_default('own.t');
SELECT is(count(*), 46::bigint, 'a drain with such a template loses nothing') FROM own.t;
SELECT is(count(*), 2::bigint, 'and its partitions have the indexes') FROM pg_indexes WHERE schemaname = 'own' AND tablename = 't_30';
SELECT lives_ok($$DROP SCHEMA own, own_other CASCADE$$, 'all can be dropped');
DROP PUBLICATION own_pub;
DROP ROLE own_reader, own_writer;
SELECT is(count(*), 0::bigint, 'no conversion is listed any more') FROM dbopt.partition_conversions c WHERE NOT EXISTS (SELECT FROM pg_class WHERE oid = c.source) AND phase <> 'drop';
SELECT * FROM finish();
