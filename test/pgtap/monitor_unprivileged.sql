-- Who may not look is told so, by every check and by the one row for probes: never that all is well.
BEGIN;
SELECT plan(14);
CREATE ROLE monitor_blind;
CREATE ROLE monitor_watcher IN ROLE pg_monitor;

SET LOCAL ROLE monitor_blind;
SELECT is((SELECT status FROM dbopt.health_summary()), 'skipped', 'fast probe of a stranger: skipped');
SELECT is((SELECT status FROM dbopt.health_summary('deep')) IN ('skipped', 'warning', 'critical'), true, 'deep: never ok');
SELECT isnt((SELECT status FROM dbopt.health_summary('normal')), 'ok', 'normal: neither');
SELECT ok((SELECT skipped > 10 FROM dbopt.health_summary()), 'many were skipped');
SELECT is((SELECT worst FROM dbopt.health_summary()), 'some checks need membership in pg_monitor', 'with what is missing');
SELECT is_empty($$SELECT check_name, detail FROM dbopt.health('ok', 'deep') WHERE detail LIKE '%permission denied%'$$,
    'no check speaks of internal names');
SELECT isnt_empty($$SELECT 1 FROM dbopt.health('ok', 'deep') WHERE status = 'skipped' AND detail = 'needs membership in pg_monitor'$$,
    'but of the right that is missing');
SELECT is_empty($$SELECT check_name FROM dbopt.health('ok', 'deep') WHERE status = 'skipped' AND value IS NOT NULL$$, 'what is skipped has no value');
RESET ROLE;

SET LOCAL ROLE monitor_watcher;
SELECT isnt((SELECT status FROM dbopt.health_summary()), 'skipped', 'a member of pg_monitor is told how it is');
SELECT is_empty($$SELECT check_name, detail FROM dbopt.health('ok', 'deep') WHERE detail = 'needs membership in pg_monitor'$$,
    'and needs no further right');
SELECT is_empty($$SELECT check_name, detail FROM dbopt.health('ok', 'deep') WHERE status = 'error'$$, 'nor does a check fail');
RESET ROLE;

-- forecasts: minutes of history foretell nothing, a day does
SELECT is((SELECT f.per_day > 0 AND f.days_left IS NULL AND f.days_left_low IS NULL AND f.days_left_high IS NULL AND f.points = 25
    FROM (SELECT array_agg(60.0 * i ORDER BY i)::float8[] AS t, array_agg(1000.0 * i ORDER BY i)::float8[] AS v FROM generate_series(0, 24) i) s,
        LATERAL dbopt._forecast(s.t, s.v, 1e6) f), true, 'half an hour: a course and no date');
SELECT is((SELECT f.days_left IS NOT NULL AND f.days_left_low <= f.days_left
    FROM (SELECT array_agg(3600.0 * i ORDER BY i)::float8[] AS t, array_agg(1000.0 * i ORDER BY i)::float8[] AS v FROM generate_series(0, 24) i) s,
        LATERAL dbopt._forecast(s.t, s.v, 1e6) f), true, 'a day: a date');

-- a publication of all tables does not stand in the way of dbopt's own changes
SET LOCAL client_min_messages = error;
CREATE PUBLICATION monitor_everything FOR ALL TABLES;
SELECT lives_ok('SELECT dbopt.confirm_database()', 'confirm_database() beside a publication FOR ALL TABLES');
SELECT * FROM finish();
ROLLBACK;
