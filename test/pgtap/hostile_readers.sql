-- Who may not read a table learns nothing of its rows from the advisor; and no statistics of a capture
-- log are taken, which would run code of a type's owner with the rights of the extension's owner.
BEGIN;
SELECT plan(8);
CREATE ROLE dbopt_reader; CREATE ROLE dbopt_eve;
CREATE SCHEMA hr; GRANT USAGE ON SCHEMA hr TO dbopt_reader;
CREATE SCHEMA eve AUTHORIZATION dbopt_eve;
CREATE TABLE hr.t (id int, secret text); INSERT INTO hr.t SELECT i, 'topsecret' || i FROM generate_series(1, 100) i;
CREATE TABLE hr.guarded (id int, secret text); INSERT INTO hr.guarded SELECT * FROM hr.t;
GRANT SELECT ON hr.guarded TO dbopt_reader; ALTER TABLE hr.guarded ENABLE ROW LEVEL SECURITY;
ANALYZE hr.t;
SET LOCAL ROLE dbopt_reader;
SELECT throws_ok($$SELECT dbopt.index_size('create index on hr.t ((secret::int))')$$, '42501', 'permission denied for table hr.t', 'index_size');
SELECT throws_ok($$SELECT dbopt.index_size('create index on hr.t (id) where secret < ''topsecret3''')$$, '42501', NULL, 'nor by a predicate');
SELECT throws_ok($$SELECT * FROM dbopt.index_whatif('select 1', array['create index on hr.t ((secret::int))'])$$, '42501', NULL, 'index_whatif');
SELECT throws_ok($$SELECT dbopt.index_size('create index on hr.guarded (secret)')$$, '42501', NULL, 'row-level security counts');
RESET ROLE;
GRANT SELECT ON hr.t TO dbopt_reader;
SET LOCAL ROLE dbopt_reader;
SELECT ok(dbopt.index_size('create index on hr.t (secret)') > 0, 'a reader gets the size');

SET LOCAL ROLE dbopt_eve;
CREATE TABLE eve.seen (who text);
CREATE FUNCTION eve.note() RETURNS void LANGUAGE sql AS 'INSERT INTO eve.seen SELECT current_user';
CREATE FUNCTION eve.diff(float8, float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM eve.note(); RETURN $1 - $2; END $$;
CREATE TYPE eve.rng AS RANGE (subtype = float8, subtype_diff = eve.diff);
CREATE TABLE eve.b (id int PRIMARY KEY, k int, r eve.rng);
INSERT INTO eve.b SELECT i, i % 10, eve.rng(i, i + 1.5) FROM generate_series(1, 300) i;
CREATE MATERIALIZED VIEW eve.m AS SELECT id, lower(r) lo FROM eve.b;
CREATE MATERIALIZED VIEW eve.m2 AS SELECT k, count(*) n FROM eve.b GROUP BY k;
SELECT count(*) FROM dbopt.matview_manage('eve.m2', '1 hour', 'incremental') \g /dev/null
SELECT count(*) FROM dbopt.matview_manage('eve.m', '1 hour', 'incremental') \g /dev/null
SELECT count(*) FROM dbopt.matview_refresh('eve.m') \g /dev/null
UPDATE eve.b SET r = eve.rng(id, id + 2);
RESET ROLE;
SELECT isnt(to_regclass('dbopt.matview_log_' || 'eve.b'::regclass::oid), NULL, 'the range is captured');
DO $$ BEGIN EXECUTE 'ANALYZE dbopt.matview_log_' || 'eve.b'::regclass::oid; END $$;
SELECT is(count(*), 0::bigint, 'ANALYZE of the log calls nothing of hers') FROM eve.seen;
SELECT is(count(*), 0::bigint, 'and will not') FROM pg_attribute
WHERE attrelid = ('dbopt.matview_log_' || 'eve.b'::regclass::oid)::regclass AND attname ~ '^c\d' AND coalesce(attstattarget, -1) <> 0;
SELECT * FROM finish();
ROLLBACK;
