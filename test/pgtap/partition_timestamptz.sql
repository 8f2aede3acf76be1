-- Sets keyed by timestamptz: lattice, inheritance, retention, bad input.
BEGIN;
SELECT plan(33);
SET client_min_messages = warning;
SET timezone = 'Europe/Madrid';
CREATE ROLE part_reader;
CREATE ROLE part_owner;
CREATE SCHEMA part AUTHORIZATION part_owner;
SET ROLE part_owner;
CREATE TABLE part.event (
    id bigint GENERATED ALWAYS AS IDENTITY,
    ts timestamptz NOT NULL DEFAULT now(),
    kind text NOT NULL CHECK (kind <> ''),
    body text COMPRESSION pglz,
    twice int GENERATED ALWAYS AS (length(kind) * 2) STORED,
    PRIMARY KEY (id, ts)
) PARTITION BY RANGE (ts);
CREATE INDEX ON part.event (kind) INCLUDE (twice);
ALTER TABLE part.event ALTER kind SET STATISTICS 321;
ALTER TABLE part.event ALTER kind SET (n_distinct = -0.5);
ALTER TABLE part.event ENABLE ROW LEVEL SECURITY;
ALTER TABLE part.event REPLICA IDENTITY USING INDEX event_pkey;
COMMENT ON TABLE part.event IS 'what happened';
COMMENT ON COLUMN part.event.kind IS 'which kind';
CREATE STATISTICS part.event_stat ON id, kind FROM part.event;
GRANT SELECT ON part.event TO part_reader WITH GRANT OPTION;
GRANT UPDATE (body) ON part.event TO part_reader;

SELECT results_eq($$SELECT action, status FROM dbopt.partition_manage('part.event', '1 month', retention => '2 months')$$,
    $$VALUES ('manage', 'done'), ('create', 'done'), ('create', 'done'), ('create', 'done'), ('create', 'done')$$,
    'the current month and three ahead are made');
SELECT is(status, 'skipped', 'managing it again with the same arguments changes nothing')
FROM dbopt.partition_manage('part.event', '1 month', retention => '2 months');
SELECT is(count(*), 0::bigint, 'a round with nothing to do returns no rows') FROM dbopt.partition_maintain('part.event');
RESET ROLE;

CREATE FUNCTION pg_temp.newest() RETURNS regclass LANGUAGE sql AS
$$SELECT partition FROM dbopt.partitions WHERE parent = 'part.event'::regclass ORDER BY lower_time DESC LIMIT 1$$;
SELECT is(pg_temp.newest()::text,
    'part.event_' || to_char(date_trunc('month', now()) + interval '3 months', 'YYYY_MM'), 'names follow the months');
SELECT ok((SELECT relowner = 'part_owner'::regrole AND relrowsecurity AND relreplident = 'i' FROM pg_class WHERE oid = pg_temp.newest()),
    'owner, row security and replica identity are inherited');
SELECT set_eq($$SELECT grantee, privilege_type, is_grantable FROM pg_class, aclexplode(relacl) WHERE oid = pg_temp.newest()$$,
    $$SELECT grantee, privilege_type, is_grantable FROM pg_class, aclexplode(relacl) WHERE oid = 'part.event'::regclass$$,
    'so are grants');
SELECT set_eq($$SELECT attname, atttypid, attnotnull, attcompression, attstorage, attgenerated, attstattarget,
        array(SELECT o FROM unnest(attoptions) o WHERE o NOT LIKE 'pg\_%'), attacl::text, col_description(attrelid, attnum)
        FROM pg_attribute WHERE attrelid = pg_temp.newest() AND attnum > 0$$,
    $$SELECT attname, atttypid, attnotnull, attcompression, attstorage, attgenerated, attstattarget,
        array(SELECT o FROM unnest(attoptions) o WHERE o NOT LIKE 'pg\_%'), attacl::text, col_description(attrelid, attnum)
        FROM pg_attribute WHERE attrelid = 'part.event'::regclass AND attnum > 0$$,
    'columns equal those of the parent, catalog column by catalog column');
SELECT is((SELECT count(*) FROM pg_index WHERE indrelid = pg_temp.newest()), 2::bigint, 'indexes are there, once');
SELECT is((SELECT count(*) FROM pg_constraint WHERE conrelid = pg_temp.newest() AND contype = 'c'), 1::bigint, 'check constraints too');
SELECT is((SELECT count(*) FROM pg_statistic_ext WHERE stxrelid = pg_temp.newest()), 1::bigint, 'extended statistics too');
SELECT is(obj_description(pg_temp.newest(), 'pg_class'), 'what happened', 'and the comment');

-- retention
CREATE TABLE part.event_old PARTITION OF part.event FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
INSERT INTO part.event (ts, kind) VALUES ('2019-01-01', 'old'), (now(), 'new');
SELECT results_eq($$SELECT action, partition, status FROM dbopt.partition_maintain('part.event', dry_run => true)$$,
    $$VALUES ('detach', 'part.event_old', 'planned')$$, 'dry run plans the retirement');
SELECT is((SELECT count(*) FROM part.event), 2::bigint, 'and does nothing');
SELECT results_eq($$SELECT action, partition, status FROM dbopt.partition_maintain('part.event')$$,
    $$VALUES ('detach', 'part.event_old', 'done')$$, 'the round detaches it');
SELECT is((SELECT count(*) FROM part.event_old), 1::bigint, 'the rows are kept');
SELECT is((SELECT count(*) FROM part.event), 1::bigint, 'but not in the parent');

-- a hole
DO $$BEGIN EXECUTE format('DROP TABLE %s', (SELECT partition FROM dbopt.partitions
    WHERE parent = 'part.event'::regclass ORDER BY lower_time OFFSET 2 LIMIT 1)); END$$;
SELECT ok(EXISTS (SELECT FROM dbopt.partition_check('part.event') WHERE problem = 'gap'), 'the check sees a hole');
CREATE VIEW pg_temp.hole AS SELECT 'part.event_' || to_char(date_trunc('month', now()) + interval '2 months', 'YYYY_MM') AS name;
DO $$BEGIN EXECUTE format('CREATE TABLE %s (unrelated int)', (SELECT name FROM pg_temp.hole)); END$$;
SELECT results_eq($$SELECT action, partition, status, detail <> '' FROM dbopt.partition_maintain('part.event')$$,
    $$SELECT 'create', name || '_2', 'done', true FROM pg_temp.hole$$, 'the round fills it and works around a name clash, saying so');

-- changing
SELECT matches(detail, 'premake 3 -> 5', 'named arguments change') FROM dbopt.partition_manage('part.event', '1 month', premake => 5) WHERE action = 'manage';
SELECT is(retention, '2 months', 'others stay') FROM dbopt.partition_sets WHERE parent = 'part.event'::regclass;
SELECT matches(detail, 'retention 2 months -> for ever', 'a named NULL counts') FROM dbopt.partition_manage('part.event', '1 month', retention => NULL) WHERE action = 'manage';

-- bounds do not depend on the session's zone
SET timezone = 'America/Chicago';
SELECT is(count(*), 0::bigint, 'another time zone has nothing to add') FROM dbopt.partition_maintain('part.event');
SET timezone = 'Europe/Madrid';

-- refusals
CREATE TABLE part.plain (ts timestamptz);
CREATE TABLE part.listed (k int) PARTITION BY LIST (k);
CREATE TEMP TABLE temporary (ts timestamptz) PARTITION BY RANGE (ts);
SELECT throws_ok($$SELECT dbopt.partition_manage('part.plain', '1 month')$$, '42809', NULL, 'a plain table is refused');
SELECT throws_ok($$SELECT dbopt.partition_manage('part.listed', '1 month')$$, '42809', NULL, 'a list-partitioned table is refused');
SELECT throws_ok($$SELECT dbopt.partition_manage('temporary', '1 month')$$, '42809', NULL, 'a temporary table is refused');
SELECT throws_ok($$SELECT dbopt.partition_manage('pg_catalog.pg_class', '1 month')$$, '42501', NULL, 'a catalog is refused');
SELECT throws_ok($$SELECT dbopt.partition_manage('part.event', '0 days')$$, '22023', NULL, 'a step of zero is refused');
SELECT throws_ok($$SELECT dbopt.partition_manage('part.event', 'soon')$$, '22023', NULL, 'nonsense is refused');
SELECT throws_ok($$SELECT dbopt.partition_manage('part.event', '1 month', retention => '1 day')$$, '22023', NULL, 'a retention below a step is refused');
SELECT throws_ok($$SELECT dbopt.partition_manage('part.event', '1 month', timezone => 'Mars/Base')$$, '22023', NULL, 'an unknown time zone is refused');
SET ROLE part_reader;
SELECT throws_ok($$SELECT dbopt.partition_manage('part.event', '1 month')$$, '42501', NULL, 'only the owner may');
RESET ROLE;
SELECT lives_ok($$SELECT dbopt.partition_unmanage('part.event')$$, 'unmanage');
SELECT throws_ok($$SELECT dbopt.partition_maintain('part.event')$$, '55000', NULL, 'then it is not managed');
SELECT * FROM finish();
ROLLBACK;
