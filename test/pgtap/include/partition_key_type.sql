-- The life of a set, for one key type. The file that includes this has set the variables
--   type, encoding, step, start (of the first partition), further (a key past everything premade)
-- and has defined pg_temp.key(day int), the key of a day counted from today.
BEGIN;
SELECT plan(22);
SET LOCAL client_min_messages = warning;
SET LOCAL timezone = 'UTC';
CREATE SCHEMA kt;
CREATE TABLE kt.t (k :type NOT NULL, v text) PARTITION BY RANGE (k);
CREATE TABLE kt.list AS SELECT ''::text AS step, ''::text AS names;
CREATE FUNCTION pg_temp.names() RETURNS text LANGUAGE sql AS $$SELECT string_agg(partition::text, ' ' ORDER BY lower_time, lower_id) FROM dbopt.partitions WHERE parent = 'kt.t'::regclass AND NOT is_default$$;

SELECT lives_ok(format($$SELECT dbopt.partition_manage('kt.t', %L, start_at => %L, time_encoding => %L, timezone => 'UTC')$$, :'step', :'start', :'encoding'), 'is managed');
-- (ids: the highest one is now, so each step makes room for the next)
SELECT lives_ok($$DO 'BEGIN FOR d IN -10..0 LOOP INSERT INTO kt.t VALUES (pg_temp.key(d), d); PERFORM dbopt.partition_maintain(''kt.t''); END LOOP; END'$$, 'days until now have their place');
SELECT is((SELECT count(DISTINCT tableoid) FROM kt.t), 11::bigint, 'each its own');
SELECT lives_ok($$SELECT dbopt.partition_maintain('kt.t')$$, 'a round');
SELECT lives_ok($$INSERT INTO kt.t SELECT pg_temp.key(d), d FROM generate_series(1, 3) d$$, 'three steps ahead are made');
SELECT throws_ok(format($$INSERT INTO kt.t VALUES (%L, 'far')$$, :'further'), '23514', NULL, 'more are not');
SELECT is((SELECT count(*) FROM dbopt.partition_maintain('kt.t', dry_run => true) WHERE action <> 'create' OR status <> 'planned'), 0::bigint, 'a dry run only plans to create');
SELECT is((SELECT count(*) FROM (SELECT upper_bound, lead(lower_bound) OVER (ORDER BY lower_time, lower_id) AS next FROM dbopt.partitions WHERE parent = 'kt.t'::regclass) x WHERE upper_bound <> next),
    0::bigint, 'no hole and no overlap');
SELECT is((SELECT count(*) FROM kt.t a JOIN kt.t b ON b.v::int = a.v::int + 1 WHERE a.tableoid = b.tableoid), 0::bigint, 'bounds part the days');
SELECT dbopt.partition_maintain('kt.t') \g /dev/null
SELECT is((SELECT count(*) FROM dbopt.partition_check('kt.t') WHERE severity IN ('critical', 'error')), 0::bigint, 'the check finds nothing bad');
SELECT is((SELECT count(*) FROM dbopt.partition_pruning(format('SELECT FROM kt.t WHERE k = %L', pg_temp.key(-2))) WHERE scanned = 1 AND pruned_at = 'plan'), 1::bigint, 'one partition is read for one key');

-- a gap is found and filled, in the same bounds
INSERT INTO kt.list SELECT 'all', pg_temp.names();
SELECT partition FROM dbopt.partitions WHERE parent = 'kt.t'::regclass ORDER BY lower_time, lower_id OFFSET 3 LIMIT 1 \gset gone_
SELECT upper_bound, lower_bound FROM dbopt.partitions WHERE partition = :'gone_partition'::regclass \gset gone_
DROP TABLE :gone_partition;
SELECT ok(EXISTS (SELECT FROM dbopt.partition_check('kt.t') WHERE problem = 'gap'), 'a missing partition is a gap');
SELECT is((SELECT string_agg(status, ' ') FROM dbopt.partition_maintain('kt.t') WHERE partition = :'gone_partition'), 'done', 'which the next round fills');
SELECT is((SELECT lower_bound || upper_bound FROM dbopt.partitions WHERE partition = :'gone_partition'::regclass), :'gone_lower_bound' || :'gone_upper_bound', 'exactly');
SELECT is(pg_temp.names(), (SELECT names FROM kt.list WHERE step = 'all'), 'all is as before');

-- managing again
SELECT results_eq(format($$SELECT status FROM dbopt.partition_manage('kt.t', %L) WHERE action = 'manage'$$, :'step'), $$VALUES ('skipped')$$, 'the same again changes nothing');
SELECT matches((SELECT detail FROM dbopt.partition_manage('kt.t', :'step', premake => 5) WHERE action = 'manage'), 'premake 3 -> 5', 'another premake is reported');

-- retention
SELECT is((SELECT count(*) FROM dbopt.partition_manage('kt.t', :'step', retention => :'keep', retention_mode => 'drop') WHERE action = 'drop' AND status = 'planned') > 0, true, 'retirements are planned');
SELECT is((SELECT count(*) FROM dbopt.partition_maintain('kt.t', ARRAY['drop']) WHERE status <> 'done'), 0::bigint, 'and carried out by a round');
SELECT is((SELECT count(*) FROM kt.t WHERE v::int BETWEEN -3 AND 3), 7::bigint, 'what is kept is there');
SELECT is((SELECT count(*) FROM kt.t WHERE v::int <= -7), 0::bigint, 'what is old is gone');
SELECT is(count(*), 0::bigint, 'then nothing is left to do') FROM dbopt.partition_maintain('kt.t');
SELECT * FROM finish();
ROLLBACK;
