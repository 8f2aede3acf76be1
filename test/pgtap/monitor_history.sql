-- Snapshots, windows, forecasts, baselines.
BEGIN;
SELECT plan(28);
SELECT pg_advisory_xact_lock(1684434804, 2); -- the worker's round waits
DELETE FROM dbopt.history;
SELECT dbopt._history_partition(now() - make_interval(weeks => w)) FROM generate_series(0, 12) w;

SELECT is_empty('SELECT * FROM dbopt.growth_forecast', 'no forecast without history');
SELECT ok(dbopt.snapshot() IS NOT NULL, 'a snapshot');
SELECT ok((SELECT key_frame FROM dbopt.history), 'the first is a key frame');
CREATE TABLE history_t (id int PRIMARY KEY, v text);
SELECT dbopt.snapshot();
INSERT INTO history_t SELECT g, repeat('x', 100) FROM generate_series(1, 10000) g;
SELECT dbopt.snapshot();
SELECT is((SELECT count(*) FROM dbopt.history), 3::bigint, 'three snapshots');
SELECT is((SELECT count(*) FROM dbopt.history WHERE key_frame), 1::bigint, 'later ones are differences');
SELECT cmp_ok((SELECT length(objects) FROM dbopt.history ORDER BY taken_at DESC LIMIT 1), '<', 500, 'and small');
SELECT cmp_ok((SELECT count(DISTINCT name) FROM dbopt.history_points), '>=', 30::bigint, 'points have names');
SELECT is((SELECT count(*) FROM dbopt.history_points WHERE name = 'database_bytes' AND value > 0), 3::bigint, 'gauges are stored');
SELECT is((SELECT count(DISTINCT name) FROM dbopt.history_points WHERE name IN ('waits_lock', 'waits_lwlock', 'waits_io', 'waits_other', 'longest_lock_wait_seconds',
    'longest_transaction_seconds', 'locks_waiting') AND value >= 0), 7::bigint, 'waits and locks have a history');
UPDATE dbopt.history SET values = values[1:34] WHERE key_frame;
SELECT lives_ok('SELECT count(*) FROM dbopt.history_points, dbopt.growth_forecast', 'snapshots of an older version have fewer figures');
UPDATE dbopt.history SET taken_at = taken_at - interval '2 hours';
SELECT ok((SELECT grown_bytes IS NULL AND bytes > 1000000 FROM dbopt.table_growth('3 hours') WHERE relation = 'history_t'::regclass),
          'a table that did not exist then has no growth, but a size');
SELECT ok((SELECT grown_bytes >= 0 FROM dbopt.table_growth('1 hour') WHERE relation = 'history_t'::regclass), 'growth since an hour');
SELECT cmp_ok((SELECT seconds FROM dbopt._window('1 hour') LIMIT 1), '>', 7000::float8, 'the window reaches to the snapshot before');
SELECT is_empty($$SELECT name FROM dbopt._window('1 hour') WHERE delta < 0$$, 'no negative numbers');

-- somebody resets the statistics: the past was higher than the present
UPDATE dbopt.history SET values = (SELECT array_agg(v + 1e15) FROM unnest(values) v);
SELECT is_empty($$SELECT name FROM dbopt._window('1 hour') WHERE delta < 0$$, 'nor after a reset by others');

-- a forecast over a made-up month: 1 GB less free disk per day, 10 GB left
DELETE FROM dbopt.history;
INSERT INTO dbopt.history (taken_at, values, objects, statements, key_frame)
SELECT now() - make_interval(hours => h), (SELECT array_agg(CASE name WHEN 'disk_free_bytes' THEN 1e10 + h * 1e9 / 24
       WHEN 'disk_total_bytes' THEN 1e12 WHEN 'xid_age' THEN 1000 ELSE 1 END ORDER BY metric_id) FROM dbopt._points(NULL)), '', '', true
FROM generate_series(0, 24 * 30, 6) h;
SELECT ok((SELECT abs(days_left - 10) < 0.1 AND days_left_low <= days_left AND days_left_high >= days_left
           FROM dbopt.growth_forecast WHERE subject = 'disk'), 'disk full in ten days');
SELECT ok((SELECT days_left IS NULL FROM dbopt.growth_forecast WHERE subject = 'transaction ids'), 'what does not grow does not end');
SELECT is((SELECT status FROM dbopt.health('ok', 'deep') WHERE check_name = 'disk_full_days'), 'warning', 'health knows it');

-- retention drops whole weeks, but not while the clock may have jumped ahead
UPDATE dbopt.history SET taken_at = taken_at - interval '40 days' WHERE taken_at < now() - interval '20 days';
CREATE FUNCTION pg_temp.weeks() RETURNS bigint LANGUAGE sql AS
    $$SELECT count(*) FROM pg_inherits WHERE inhparent = 'dbopt.history'::regclass$$;
DELETE FROM dbopt.history WHERE taken_at > now() - interval '3 days';
SELECT dbopt.snapshot();
SELECT is(pg_temp.weeks(), 13::bigint, 'one lonely snapshot of today: nothing is forgotten');
SELECT count(dbopt.snapshot()) FROM generate_series(1, 12);
SELECT cmp_ok(pg_temp.weeks(), '<=', 7::bigint, 'an hour of snapshots later the old weeks are dropped');
SELECT is((SELECT count(*) FROM dbopt.history WHERE taken_at < now() - interval '37 days'), 0::bigint, 'with their snapshots');
SELECT is((SELECT count(*) FROM pg_inherits h JOIN pg_depend d ON d.objid = h.inhrelid AND d.deptype = 'e'
    WHERE h.inhparent = 'dbopt.history'::regclass), pg_temp.weeks(), 'partitions belong to the extension: a dump leaves them out');

-- the clock was a year ahead for a while
SELECT dbopt._history_partition(now() + interval '1 year');
INSERT INTO dbopt.history SELECT now() + interval '1 year', values, objects, statements, latencies, true FROM dbopt.history WHERE key_frame LIMIT 1;
SELECT cmp_ok(dbopt.snapshot(), '<', now() + interval '1 hour', 'a snapshot stands at the present time');
SELECT is((SELECT count(*) FROM dbopt.history WHERE taken_at > now() + interval '1 hour'), 0::bigint, 'those of the future are gone');
SELECT ok((SELECT bool_and(seconds >= 0) FROM dbopt._window('1 hour')), 'no window is negative');

SELECT lives_ok($$SELECT dbopt.baseline_save('before')$$, 'baseline');
SELECT cmp_ok((SELECT count(*) FROM dbopt.baseline_compare('before')), '>=', 5::bigint, 'compared');
SELECT throws_ok($$SELECT * FROM dbopt.baseline_compare('nothing')$$, '42704', 'baseline "nothing" does not exist', 'unknown baseline');
SELECT * FROM finish();
ROLLBACK;
