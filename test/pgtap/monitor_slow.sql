-- Percentiles of statements: within 6 % of the truth, over time windows, and the log of slow ones.
BEGIN;
SELECT plan(19);
SELECT pg_advisory_xact_lock(1684434804, 2); -- the worker's round waits
DELETE FROM dbopt.history;
SELECT dbopt._history_partition(now() - interval '1 day');

SELECT is(current_setting('dbopt.slow_query_threshold'), '1s', 'a statement is slow from one second on');
SELECT is(current_setting('dbopt.log_slow_queries'), 'off', 'slow statements are not logged by default');

-- 40 calls of about 20 ms. The truth is what the server itself measures around each.
SET dbopt.capture = 'all';
CREATE TEMP TABLE truth (ms float8);
DO $$
DECLARE
    started timestamptz;
BEGIN
    FOR i IN 1 .. 40 LOOP
        started := clock_timestamp();
        PERFORM pg_sleep(0.02);
        INSERT INTO truth VALUES (1000 * extract(epoch FROM clock_timestamp() - started));
    END LOOP;
END $$;
CREATE TEMP VIEW sleeper AS SELECT * FROM dbopt.workload WHERE query LIKE 'SELECT pg_sleep(%' AND NOT toplevel;
SELECT is((SELECT sum(calls) FROM sleeper), 40::numeric, 'every call is counted');
SELECT ok((SELECT min(s.p50_ms / t.p) BETWEEN 0.93 AND 1.07 FROM sleeper s, (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY ms) AS p FROM truth) t),
    'p50 as the clock says');
SELECT ok((SELECT bool_and(p50_ms <= p95_ms AND p95_ms <= p99_ms AND p99_ms <= max_ms) FROM sleeper), 'in their order');

-- Since a snapshot only what came later counts.
SELECT dbopt.snapshot();
SELECT is_empty($$SELECT 1 FROM dbopt.slow_queries_since('0 s') WHERE query LIKE 'SELECT pg_sleep(%' AND calls > 0$$,
    'nothing since the snapshot');
DO $$ BEGIN FOR i IN 1 .. 10 LOOP PERFORM pg_sleep(0.08); END LOOP; END $$;
CREATE TEMP TABLE lately AS SELECT * FROM dbopt.slow_queries_since('0 s') WHERE query LIKE 'SELECT pg_sleep(%';
SELECT is((SELECT sum(calls) FROM lately), 10::numeric, 'ten calls since the snapshot');
SELECT ok((SELECT min(p50_ms) >= 75 FROM lately), 'p50 of the window is that of the slow ones');
SELECT ok((SELECT min(mean_ms_before) < min(mean_ms) AND min(p95_ms_before) < min(p50_ms) FROM lately), 'and before it was faster');
SELECT ok((SELECT bool_and(p50_ms < 75) FROM sleeper), 'while p50 of the whole life has not moved');

-- A bucket counts in 16 bits and carries: 131,100 quick calls are not 28.
DO $$
DECLARE
    n int;
BEGIN
    FOR i IN 1 .. 131100 LOOP
        EXECUTE 'SELECT 4711 * 1' INTO n;
    END LOOP;
END $$;
SELECT cmp_ok((SELECT sum(calls) FROM dbopt.workload WHERE query = 'SELECT ? * ?'), '>=', 131100::numeric, 'no call is lost');
DO $$
BEGIN
    FOR i IN 1 .. 60 LOOP
        EXECUTE 'SELECT 4711 * (SELECT 1 FROM pg_sleep(0.002))';
    END LOOP;
END $$;
SELECT ok((SELECT max(p50_ms) < 1 FROM dbopt.workload WHERE query = 'SELECT ? * ?'), 'nor forgotten by the histogram');

-- thresholds
SET dbopt.slow_query_threshold = '50 ms';
SELECT ok(EXISTS (SELECT FROM dbopt.slow_queries WHERE query LIKE 'SELECT pg_sleep(%'), 'slow by a lower threshold');
SET dbopt.slow_query_threshold = '1 h';
SELECT is_empty('SELECT 1 FROM dbopt.slow_queries', 'nothing is slower than an hour');
SELECT lives_ok($$SET dbopt.log_slow_queries = on; SET dbopt.slow_query_threshold = 0; SELECT 'secret'; SET dbopt.log_slow_queries = off$$,
    'slow statements may be logged');
SELECT throws_ok($$SET dbopt.slow_query_threshold = -1$$, '22023', NULL, 'not below zero');
CREATE ROLE monitor_slow_nobody;
SET ROLE monitor_slow_nobody;
SELECT throws_ok('SET dbopt.log_slow_queries = on', '42501', NULL, 'not for everybody: it fills the log');
RESET ROLE;

-- rates of the first minutes are not extrapolated
UPDATE dbopt.history SET taken_at = now() - interval '2 minutes';
SELECT ok((SELECT bool_and(per_hour <= delta + 1e-9) FROM dbopt._window('1 hour')), 'no rate is higher than what was counted');
UPDATE dbopt.history SET taken_at = now() - interval '2 hours';
SELECT ok((SELECT bool_and(abs(per_hour - delta / 2) <= 0.01 * delta + 1e-9) FROM dbopt._window('1 hour')), 'over two hours it is half of it');
SELECT * FROM finish();
ROLLBACK;
