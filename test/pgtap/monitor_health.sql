-- Health checks: shape, statuses, privileges, one failing probe, bad input.
BEGIN;
SELECT plan(19);

SELECT cmp_ok((SELECT count(*) FROM dbopt._checks()), '>=', 60::bigint, 'at least 60 checks');
SELECT cmp_ok((SELECT count(*) FROM dbopt._checks() WHERE alerts), '>=', 40::bigint, 'at least 40 raise alerts');
SELECT is((SELECT count(*) FROM dbopt._checks()), (SELECT count(DISTINCT check_name) FROM dbopt._checks()),
          'check names are unique');
SELECT is((SELECT count(*) FROM dbopt._checks() WHERE advice = '' OR warn_at IS NULL AND critical_at IS NULL), 0::bigint,
          'every check has advice and a threshold');
SELECT is((SELECT count(*) FROM dbopt.health('ok', 'deep')), (SELECT count(*) FROM dbopt._checks()),
          'the deep tier runs every check');
SELECT is_empty($$SELECT check_name, detail FROM dbopt.health('ok', 'deep') WHERE status = 'error'$$,
          'no check fails');
SELECT is_empty($$SELECT check_name FROM dbopt.health('ok', 'deep')
                  WHERE status NOT IN ('ok', 'warning', 'critical', 'skipped', 'error')$$, 'known statuses only');
SELECT is_empty($$SELECT check_name FROM dbopt.health('ok', 'deep') WHERE (status IN ('warning', 'critical')) <> (advice IS NOT NULL)$$,
          'what is bad comes with advice');
SELECT is_empty($$SELECT 1 FROM dbopt.health('warning') WHERE status NOT IN ('warning', 'critical')$$,
          'min_status filters');
SELECT is((SELECT critical + warning + error + skipped + ok FROM dbopt.health_summary('deep')),
          (SELECT count(*)::int FROM dbopt._checks()), 'the summary counts them all');
SELECT throws_ok($$SELECT * FROM dbopt.health('bad')$$, '22023', 'invalid status: "bad"', 'bad status');
SELECT throws_ok($$SELECT * FROM dbopt.health('ok', 'bad')$$, '22023', 'invalid tier: "bad"', 'bad tier');

-- found: things that are wrong on purpose
CREATE TABLE health_fk_parent (id int PRIMARY KEY);
CREATE TABLE health_fk_child (pid int REFERENCES health_fk_parent);
CREATE TABLE health_dup (a int PRIMARY KEY, b int);
CREATE INDEX health_dup_1 ON health_dup (b);
CREATE INDEX health_dup_2 ON health_dup (b);
CREATE SEQUENCE health_seq AS smallint;
SELECT setval('health_seq', 32000);
SELECT is((SELECT array_agg(check_name ORDER BY check_name) FROM dbopt.health('warning', 'deep')
           WHERE detail LIKE '%health\_%'),
          '{foreign_keys_unindexed,indexes_duplicate,sequence_used_pct,tables_without_primary_key}'::text[],
          'missing FK index, duplicate index, full sequence, no primary key are found');
SELECT is((SELECT status FROM dbopt.health() WHERE check_name = 'sequence_used_pct'), 'critical', '97 % of a sequence is critical');
CREATE TABLE health_serial (id int PRIMARY KEY, s serial);
ALTER SEQUENCE health_serial_s_seq AS bigint;
SELECT setval('health_serial_s_seq', 2000000000);
SELECT ok((SELECT column_limited AND used_pct > 90 FROM dbopt._sequences() WHERE sequence = 'health_serial_s_seq'::regclass),
          'a bigint sequence behind an int column is measured against the column');

SET LOCAL enable_partition_pruning = off;
SELECT is((SELECT status FROM dbopt.health() WHERE check_name = 'partition_pruning_off'), 'warning', 'pruning disabled');

-- a caller without pg_monitor sees skipped, never a false ok
CREATE ROLE health_nobody;
SET LOCAL ROLE health_nobody;
SELECT is((SELECT DISTINCT status FROM dbopt.health() WHERE check_name IN ('connections_used_pct', 'blocked_sessions', 'replica_lag_bytes')),
          'skipped', 'without privilege: skipped');
SELECT is_empty($$SELECT check_name, detail FROM dbopt.health('ok', 'deep') WHERE status = 'error'$$, 'and no error');
RESET ROLE;

-- a probe that fails costs its own rows only
ALTER FUNCTION dbopt._machine() RENAME TO _machine_gone;
SELECT is((SELECT array_agg(DISTINCT status) FROM dbopt.health() WHERE check_name IN ('load_per_cpu', 'blocked_sessions')),
          '{error,ok}'::text[], 'a failing probe is an error row beside good ones');
SELECT * FROM finish();
ROLLBACK;
