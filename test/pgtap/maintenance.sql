-- Maintenance: what is planned and why; what is ours to remove.
BEGIN;
SELECT plan(46);
SET LOCAL search_path = public, pg_catalog;
SET LOCAL dbopt.reindex_min_size = '64kB';

CREATE TABLE never AS SELECT g AS id FROM generate_series(1, 5000) g;
CREATE TABLE deleted (id int PRIMARY KEY, v text) WITH (autovacuum_enabled = off);
INSERT INTO deleted SELECT g, md5(g::text) FROM generate_series(1, 50000) g;
CREATE INDEX deleted_v ON deleted (v);
CREATE TABLE nokey (id int NOT NULL, UNIQUE (id));
CREATE TABLE keyed (id smallserial PRIMARY KEY);
SELECT setval('keyed_id_seq', 30000);
CREATE TABLE parent (id int) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF parent FOR VALUES FROM (0) TO (100000);
INSERT INTO parent SELECT g FROM generate_series(1, 5000) g;
ANALYZE part1;

CREATE TEMP VIEW p AS SELECT * FROM dbopt.maintenance_plan();
SELECT is((SELECT action || ': ' || command FROM p WHERE relation = 'keyed_id_seq'::regclass),
          'advise: ALTER TABLE public.keyed ALTER COLUMN id TYPE bigint', 'sequence near its end is advice, with the command');
SELECT is((SELECT command FROM p WHERE relation = 'nokey'::regclass), 'ALTER TABLE public.nokey ADD PRIMARY KEY USING INDEX nokey_id_key', 'primary key from an index that is there');
SELECT is((SELECT action FROM p WHERE relation = 'parent'::regclass AND action = 'analyze'), 'analyze', 'partitioned parent is analysed');
SELECT is_empty($$SELECT * FROM p WHERE relation = 'keyed'::regclass AND reason LIKE 'no primary key%'$$, 'a table with a key needs none');
SELECT is_empty($$SELECT * FROM p WHERE action NOT IN ('vacuum', 'analyze', 'reindex', 'cleanup', 'advise')$$, 'known actions only');
SELECT is_empty($$SELECT * FROM p WHERE command IS NULL OR reason IS NULL$$, 'always a command and a reason');
SELECT is_empty($$SELECT * FROM p WHERE action <> 'advise' AND command ~ '(FULL|CLUSTER)'$$, 'rewrites are only advised');
SELECT is_empty($$SELECT * FROM p WHERE relation = 'deleted_v'::regclass$$, 'a fresh index needs nothing');

-- An index on which deletes left nothing but air.
DELETE FROM deleted WHERE id % 10 <> 0;
SELECT ok(reclaimable_pct < 20, 'rows that this transaction deleted may come back: not reclaimable yet')
FROM dbopt.index_bloat('deleted_v', 'exact');
SELECT is_empty($$SELECT * FROM p WHERE relation = 'deleted_v'::regclass AND action = 'reindex'$$, 'so no REINDEX is planned');

-- Whose leftovers?
INSERT INTO dbopt._maintenance_run (relid, relation, action, command, status, table_oid, index_name, invalid_before)
SELECT 'deleted_v'::regclass, 'public.deleted_v', 'reindex', '', 'failed', 'deleted'::regclass, 'deleted_v', '{}';
CREATE INDEX deleted_v_ccnew ON deleted (v);
CREATE INDEX deleted_v_ccold1 ON deleted (v);
CREATE INDEX deleted_v_other ON deleted (v);
CREATE INDEX other_v_ccnew ON deleted (v);
CREATE INDEX never_ccnew ON never (id);
SELECT ok(NOT dbopt._is_leftover('deleted_v_ccnew'::regclass), 'a valid index is nobody''s leftover');
UPDATE pg_index SET indisvalid = false WHERE indexrelid::regclass::text ~ '(_ccnew|_ccold1|_other)$';
SELECT ok(dbopt._is_leftover('deleted_v_ccnew'::regclass), '_ccnew of ours');
SELECT ok(dbopt._is_leftover('deleted_v_ccold1'::regclass), '_ccold of ours');
SELECT ok(NOT dbopt._is_leftover('deleted_v_other'::regclass), 'another suffix is not ours');
SELECT ok(NOT dbopt._is_leftover('other_v_ccnew'::regclass), 'another index is not ours');
SELECT ok(NOT dbopt._is_leftover('never_ccnew'::regclass), 'another table is not ours');
UPDATE dbopt._maintenance_run SET invalid_before = ARRAY['deleted_v_ccnew'::regclass::oid];
SELECT ok(NOT dbopt._is_leftover('deleted_v_ccnew'::regclass), 'what was invalid before is not ours');
SELECT results_eq($$SELECT action FROM p WHERE relation = 'never_ccnew'::regclass$$, $$VALUES ('advise')$$, 'foreign leftovers are reported only');
SELECT results_eq($$SELECT action FROM p WHERE relation = 'deleted_v_ccold1'::regclass$$, $$VALUES ('cleanup')$$, 'ours are planned to be removed');
-- The clean-up is for those who may maintain the table.
CREATE ROLE maintenance_stranger; CREATE ROLE maintenance_owner;
CREATE FUNCTION pg_temp.max_run() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT max(id) FROM dbopt._maintenance_run';
SET SESSION AUTHORIZATION maintenance_stranger;
SELECT throws_ok('SELECT dbopt._maintenance_cleanup(pg_temp.max_run())', '42501', NULL, 'a stranger may not clean up');
SELECT throws_ok('SELECT dbopt._maintenance_repair(pg_temp.max_run())', '42501', NULL, 'nor without the check');
SELECT is(dbopt._maintenance_cleanup(-1), 0, 'a run that does not exist: nothing to do');
RESET SESSION AUTHORIZATION;
SELECT ok(to_regclass('deleted_v_ccold1') IS NOT NULL, 'and nothing happened');
ALTER TABLE deleted OWNER TO maintenance_owner;
SET SESSION AUTHORIZATION maintenance_owner;
SELECT is(dbopt._maintenance_cleanup(pg_temp.max_run()), 1, 'the table''s owner may: one removed');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT array_agg(relname::text ORDER BY relname) FROM pg_class WHERE relname ~ '(_ccnew|_ccold1|_other)$'),
          '{deleted_v_ccnew,deleted_v_other,never_ccnew,other_v_ccnew}', 'the others stay');
SELECT is(dbopt._maintenance_cleanup((SELECT max(id) FROM dbopt._maintenance_run)), 0, 'and again: nothing to do');

-- Advice from statistics alone.
CREATE TABLE large (id int PRIMARY KEY, v text);
UPDATE pg_class SET reltuples = 20000000, relpages = 300000 WHERE oid = 'large'::regclass;
SELECT is((SELECT command || ' -- ' || reason FROM p WHERE relation = 'large'::regclass AND command LIKE '%scale_factor%'),
    CASE WHEN current_setting('autovacuum')::boolean THEN
    'ALTER TABLE public.large SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.01)'
    ' -- 20000000 rows: autovacuum waits for 4000050 dead ones' END, 'autovacuum settings of a large table, with the reason');
CREATE TABLE documents (id int PRIMARY KEY, body text COMPRESSION pglz);
ALTER TABLE documents ALTER body SET STORAGE EXTERNAL;
INSERT INTO documents SELECT g, repeat(md5(g::text), 250) FROM generate_series(1, 2400) g;
ALTER TABLE documents ALTER body SET STORAGE EXTENDED;
SELECT is((SELECT count(*) FROM p WHERE relation = 'documents'::regclass AND command LIKE '%SET COMPRESSION lz4'),
    (SELECT count(*) FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals) AND setting = 'pglz'),
    'lz4 for large values, where the server has it');
ALTER TABLE documents ALTER body SET STORAGE EXTERNAL;
SELECT is_empty($$SELECT * FROM p WHERE relation = 'documents'::regclass AND command LIKE '%lz4%'$$, 'not for what is not compressed');
SET LOCAL dbopt.reindex_min_size = 0;
SET LOCAL dbopt.reindex_min_pct = 0;
SELECT is_empty($$SELECT * FROM p JOIN pg_class c ON c.oid = p.relation WHERE c.relnamespace = 'pg_catalog'::regnamespace AND action = 'reindex'$$,
    'indexes of system catalogs are only advised');
RESET dbopt.reindex_min_pct;

CREATE TABLE hollow AS SELECT g AS id, repeat('x', 1000) AS v FROM generate_series(1, 30000) g;
SELECT is_empty($$SELECT * FROM p WHERE relation = 'hollow'::regclass AND command LIKE '%FULL%'$$, 'a full table needs no rewrite');
ALTER TABLE hollow DROP COLUMN v;
SELECT matches((SELECT action || ': ' || command || ': ' || reason FROM p WHERE relation = 'hollow'::regclass AND command LIKE '%FULL%'),
    '^advise: VACUUM \(FULL, ANALYZE\) public.hollow: measured: 9\d.\d % of .*would be given back', 'a rewrite that gives back much is advised, measured now');

-- The name of a table is its owner's, the shell in which the advice is pasted is the administrator's.
ALTER TABLE hollow ADD PRIMARY KEY (id);
ALTER TABLE hollow RENAME TO "it's; $(id) '";
SET LOCAL allow_system_table_mods = on;
INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion) VALUES (1, 'pg_repack', 10, 2200, false, '1');
SELECT matches((SELECT command FROM p WHERE relation = '"it''s; $(id) ''"'::regclass AND command LIKE 'pg_repack%'),
    $$^pg_repack --no-order --table='public\."it'\\''s; [$]\(id\) '\\''"' '[^']+'$$, 'a shell sees the name of a table as one word');
DELETE FROM pg_extension WHERE extname = 'pg_repack';
SET LOCAL allow_system_table_mods = off;

-- Windows of jobs.
SELECT is(dbopt._window_end('22:00', '06:00', 'UTC', '2026-03-01 23:30+00'), '2026-03-02 06:00+00', 'a window over midnight closes tomorrow');
SELECT is(dbopt._window_end('22:00', '06:00', 'UTC', '2026-03-02 05:59+00'), '2026-03-02 06:00+00', 'or today');
SELECT is(dbopt._window_end('01:00', '05:00', 'Europe/Berlin', '2026-01-10 02:00+00'), '2026-01-10 04:00+00', 'by the clock of its time zone');
SELECT is(dbopt._window_end('01:00', '05:00', 'America/New_York', '2026-07-10 06:00+00'), '2026-07-10 09:00+00', 'in summer, too');
SELECT is(dbopt._window_end(NULL, NULL, 'UTC', now()), NULL, 'no window, no end');

-- Settings.
SELECT throws_ok($$SET dbopt.maintenance_workers = 0$$, '22023', NULL, 'at least one relation at a time');
SELECT is(current_setting('dbopt.maintenance_cost_delay') || ' ' || current_setting('dbopt.maintenance_lock_timeout') || ' ' || current_setting('dbopt.maintenance_workers'),
    '2 500ms 2', 'throttled by default');

-- Calls.
SELECT throws_ok($$CALL dbopt.maintenance_run()$$, '25001', NULL, 'not inside a transaction block');
SELECT throws_ok($$CALL dbopt.maintenance_run('{tidy}')$$, '22023', NULL, 'unknown action');
SELECT throws_ok($$CALL dbopt.maintenance_run(max_duration => '0')$$, '22023', NULL, 'no time at all');
SELECT lives_ok($$CALL dbopt.maintenance_run(dry_run => true)$$, 'dry_run works inside a transaction');
SELECT ok(has_table_privilege('pg_monitor', 'dbopt.xmin_holders', 'SELECT'), 'monitors see the holders');
CREATE ROLE maintenance_monitor; GRANT pg_monitor TO maintenance_monitor; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO maintenance_monitor;
SET LOCAL ROLE maintenance_monitor;
SELECT lives_ok('SELECT count(*) FROM dbopt.maintenance_plan()', 'monitors read the plan');
RESET ROLE;
SELECT * FROM finish();
ROLLBACK;
