-- A week of history, an hour per step: growth, forecasts with an interval, baselines, size.
BEGIN;
SELECT plan(12);
SELECT pg_advisory_xact_lock(1684434804, 2); -- the worker's round waits
DELETE FROM dbopt.history;
SELECT dbopt._history_partition(now() - make_interval(weeks => w)) FROM generate_series(0, 1) w;
CREATE TABLE grows (id int, pad text);
CREATE TABLE stays (id int PRIMARY KEY);
CREATE SEQUENCE week_seq MAXVALUE 10000;

-- Each hour 100 rows come (about 8 blocks) and the sequence goes on by 50: at the end it is at 8400.
DO $$
BEGIN
    FOR h IN REVERSE 167 .. 0 LOOP
        INSERT INTO grows SELECT g, repeat('x', 600) FROM generate_series(1, 100) g;
        PERFORM setval('week_seq', 50 * (168 - h));
        PERFORM dbopt.snapshot();
        UPDATE dbopt.history SET taken_at = now() - make_interval(hours => h)
            WHERE taken_at = (SELECT max(taken_at) FROM dbopt.history);
        IF h = 24 THEN
            PERFORM dbopt.baseline_save('yesterday');
        END IF;
    END LOOP;
END $$;
SELECT is((SELECT count(*) FROM dbopt.history), 168::bigint, 'a week of snapshots');
SELECT cmp_ok((SELECT count(*) FROM dbopt.history WHERE key_frame), '<=', 5::bigint, 'of which few are key frames');
SELECT cmp_ok((SELECT avg(length(objects)) FROM dbopt.history WHERE NOT key_frame), '<', 2000::numeric, 'the others are small');

-- windows reach back as far as they are asked to
SELECT ok((SELECT abs(over_seconds - 86400) < 4000 FROM dbopt.table_growth('1 day') LIMIT 1), 'a day is a day');
SELECT ok((SELECT abs(w.grown_bytes - 144.0 / 168 * pg_relation_size('grows')) < 0.05 * pg_relation_size('grows')
    FROM dbopt.table_growth('6 days') w WHERE relation = 'grows'::regclass), 'growth of six days is that of six days');
SELECT ok((SELECT abs(w.grown_bytes - 24.0 / 168 * pg_relation_size('grows')) < 0.05 * pg_relation_size('grows')
    FROM dbopt.table_growth('1 day') w WHERE relation = 'grows'::regclass), 'and of one day of one');
SELECT is((SELECT grown_bytes FROM dbopt.table_growth('6 days') WHERE relation = 'stays'::regclass), 0::bigint, 'what stays has not grown');

-- 50 numbers an hour, 1600 left: 32 hours
SELECT ok((SELECT abs(days_left - 32.0 / 24) < 0.05 AND days_left_low <= days_left AND days_left_high >= days_left AND points >= 100
    FROM dbopt.growth_forecast WHERE subject = 'fullest sequence (%)'), 'the sequence ends when it ends, with an interval around it');
SELECT ok((SELECT per_day > 0 FROM dbopt.growth_forecast WHERE subject = 'database size'), 'the database grows');
SELECT ok((SELECT days_left IS NULL OR days_left > 1 FROM dbopt.growth_forecast WHERE subject = 'connections'), 'sessions do not run out');

SELECT cmp_ok((SELECT count(*) FROM dbopt.baseline_compare('yesterday')), '>=', 5::bigint, 'the week is compared with yesterday');
SELECT ok((SELECT bool_and(verdict IN ('worse', 'better', 'same', 'too little data')) FROM dbopt.baseline_compare('yesterday')), 'with verdicts');
SELECT * FROM finish();
ROLLBACK;
