-- Statements in time windows: by role, without those that are quick by now, after resets; damaged history.
BEGIN;
SELECT plan(27);
SELECT pg_advisory_xact_lock(1684434804, 2); -- the worker's round waits
DELETE FROM dbopt.history;
SELECT dbopt._history_partition(now() - make_interval(days => d)) FROM generate_series(0, 1) d;
CREATE ROLE window_slow;
CREATE ROLE window_quick;
SET dbopt.capture = 'all';
SET dbopt.slow_query_threshold = '60 ms';
SELECT dbopt.workload_reset() >= 0 AS reset \gset

CREATE FUNCTION pg_temp.naps(n int, seconds float8) RETURNS void LANGUAGE plpgsql AS
    $$BEGIN FOR i IN 1 .. n LOOP PERFORM pg_sleep(seconds); END LOOP; END$$;
CREATE FUNCTION pg_temp.age_history(span interval) RETURNS void LANGUAGE sql AS
    $$UPDATE dbopt.history SET taken_at = taken_at - span$$;
CREATE VIEW naps AS SELECT * FROM dbopt.slow_queries WHERE query LIKE 'SELECT pg_sleep(%';

-- no snapshot yet: all there is
SET ROLE window_slow;
SELECT pg_temp.naps(5, 0.1);
SET ROLE window_quick;
SELECT pg_temp.naps(5, 0.01);
RESET ROLE;
SELECT results_eq('SELECT role, calls, over_seconds IS NULL FROM naps', $$VALUES ('window_slow'::text, 5::bigint, true)$$, 'the slow role''s statement is listed, the quick one''s is not');
SELECT ok((SELECT mean_ms BETWEEN 100 AND 10000 AND p50_ms BETWEEN 94 AND 10600 AND p50_ms <= p95_ms AND p95_ms <= p99_ms FROM naps), 'with its percentiles');
SELECT is((SELECT count(DISTINCT query_id) FROM dbopt.slow_queries_since() WHERE query LIKE 'SELECT pg_sleep(%'), 1::bigint, 'the same query');
SELECT is((SELECT count(*) FROM dbopt.slow_queries_since() WHERE query LIKE 'SELECT pg_sleep(%'), 2::bigint, 'of two roles');
SELECT ok((SELECT max(p50_ms) FILTER (WHERE role = 'window_quick') < min(p50_ms) FILTER (WHERE role = 'window_slow')
           FROM dbopt.slow_queries_since() WHERE query LIKE 'SELECT pg_sleep(%'), 'have percentiles of their own');

-- a young snapshot is not the window's beginning: what came before it may be part of the hour
SELECT dbopt.snapshot();
SELECT is((SELECT calls FROM naps), 5::bigint, 'a young snapshot hides nothing');
SELECT is_empty($$SELECT 1 FROM dbopt.slow_queries_since('0 s') WHERE query LIKE 'SELECT pg_sleep(%' AND calls > 0$$, 'unless it is asked for');

-- repaired: two hours later the statement is quick
SELECT pg_temp.age_history('2 hours');
SET ROLE window_slow;
SELECT pg_temp.naps(6, 0.001);
RESET ROLE;
SELECT is_empty('SELECT * FROM naps', 'a statement that is quick by now is not listed any more');
SELECT ok((SELECT calls = 6 AND mean_ms < 60 AND mean_ms_before >= 100 AND abs(over_seconds - 7200) < 600
    FROM dbopt.slow_queries_since('1 hour') WHERE query LIKE 'SELECT pg_sleep(%' AND role = 'window_slow'), 'its window knows what it was before');
SELECT ok((SELECT p95_ms > 60 FROM dbopt.query_performance_monitor WHERE query LIKE 'SELECT pg_sleep(%' AND role = 'window_slow'), 'while its whole life was slow');
SET dbopt.slow_query_window = '1d';
SELECT is((SELECT calls FROM naps), 11::bigint, 'a longer window reaches back to it');
SET dbopt.slow_query_window = '1h';

-- and slow again
SET ROLE window_slow;
SELECT pg_temp.naps(10, 0.1);
RESET ROLE;
SELECT ok((SELECT calls = 16 AND p95_ms >= 94 FROM naps), 'slow again: listed again, with the calls of the window');
SELECT throws_ok($$SET dbopt.slow_query_window = '-1s'$$, '22023', NULL, 'no window into the future');

-- a statement that the snapshot left out is shown with its life
DELETE FROM dbopt.history;
SELECT dbopt.snapshot();
UPDATE dbopt.history SET statements = '', latencies = '';
SET dbopt.slow_query_window = 0;
SELECT ok((SELECT calls = 21 AND over_seconds IS NULL FROM naps), 'what the snapshot does not know is shown whole');
SELECT is_empty($$SELECT 1 FROM dbopt.slow_queries_since('0 s') WHERE query LIKE 'SELECT pg_sleep(%'$$, 'or not at all, where a window was asked for');
SET dbopt.slow_query_window = '1h';

-- somebody forgets the workload: no negative numbers
DELETE FROM dbopt.history;
SELECT dbopt.snapshot();
SELECT pg_temp.age_history('2 hours');
SELECT dbopt.workload_reset() >= 0 AS reset \gset
SET ROLE window_slow;
SELECT pg_temp.naps(2, 0.1);
RESET ROLE;
SELECT ok((SELECT calls = 2 AND mean_ms >= 100 AND p50_ms >= 94 FROM naps), 'after a reset it counts from there');
SELECT is_empty('SELECT 1 FROM dbopt.slow_queries_since() WHERE calls < 0 OR total_ms < 0 OR mean_ms < 0', 'nothing is negative');

-- a baseline adds roles up
SET ROLE window_quick;
SELECT pg_temp.naps(10, 0.001);
SET ROLE window_slow;
SELECT pg_temp.naps(10, 0.001);
RESET ROLE;
SELECT dbopt.baseline_save('windows');
SET ROLE window_quick;
SELECT pg_temp.naps(10, 0.1);
RESET ROLE;
SELECT is((SELECT count(*) FROM dbopt.baseline_compare('windows') b JOIN dbopt._statements() s ON s.query_id::text = b.object
    WHERE s.query LIKE 'SELECT pg_sleep(%' AND s.role = 'window_quick' AND b.metric = 'mean_ms' AND b.verdict = 'worse'), 1::bigint, 'a baseline sees the regression, once');

-- texts: known by query and role, to those who may see them
SELECT is((SELECT count(*) FROM dbopt.workload w JOIN pg_roles r ON r.rolname = w.role
    WHERE dbopt._statement_text(w.query_id, r.oid) IS DISTINCT FROM w.query AND w.toplevel AND w.query <> ''), 0::bigint, 'the same text as in the workload');
SELECT is(dbopt._statement_text(4711, 10), NULL, 'an unknown statement has none');
SET ROLE window_quick;
SELECT is(dbopt._statement_text((SELECT query_id FROM dbopt.workload WHERE role = 'window_slow' AND NOT toplevel LIMIT 1), (SELECT oid FROM pg_roles WHERE rolname = 'window_slow')),
    '<insufficient privilege>', 'not for other roles');
RESET ROLE;

-- a damaged row: what lies before it is read, and the next snapshot starts anew
DELETE FROM dbopt.history;
SELECT dbopt.snapshot();
CREATE TABLE grown AS SELECT 1 AS x;
SELECT dbopt.snapshot();
UPDATE dbopt.history SET objects = '\xffffffffffffffffffffff' WHERE NOT key_frame;
SELECT lives_ok($$SELECT count(*) FROM dbopt.table_growth('0 s')$$, 'damaged history raises no error');
SELECT lives_ok($$SELECT length(dbopt.report())$$, 'nor does it in the report');
SELECT dbopt.snapshot();
SELECT ok((SELECT key_frame FROM dbopt.history ORDER BY taken_at DESC LIMIT 1), 'the next snapshot stands on its own');
SELECT ok((SELECT grown_bytes = 0 FROM dbopt.table_growth('0 s') WHERE relation = 'grown'::regclass), 'and is read');
UPDATE dbopt.history SET objects = substr(objects, 1, length(objects) / 2), statements = '\x80', latencies = '\x01' WHERE key_frame;
SELECT lives_ok($$SELECT count(*) FROM dbopt.table_growth(), dbopt.slow_queries_since()$$, 'not even when key frames are damaged');
SELECT lives_ok('SELECT dbopt.snapshot()', 'and the next snapshot is taken');
SELECT * FROM finish();
ROLLBACK;
