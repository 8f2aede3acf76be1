-- Jobs, runs, pauses: what holds whether or not workers are up.
BEGIN;
SELECT plan(73);

CREATE ROLE scheduler_a LOGIN;
CREATE ROLE scheduler_b LOGIN;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dbopt TO scheduler_a, scheduler_b;

-- job_add, in pg_cron's order of arguments
SELECT ok(dbopt.job_add('nightly', '0 2 * * *', 'VACUUM') > 0, 'a job is added');
SELECT is((SELECT command FROM dbopt.jobs WHERE name = 'nightly'), 'VACUUM', 'it shows in dbopt.jobs');
SELECT is((SELECT state FROM dbopt.jobs WHERE name = 'nightly'), 'scheduled', 'it is scheduled');
SELECT ok((SELECT next_run > now() FROM dbopt.jobs WHERE name = 'nightly'), 'its next run is in the future');
SELECT is(dbopt.job_add('nightly', '0 3 * * *', 'ANALYZE'),
          (SELECT job_id FROM dbopt.jobs WHERE name = 'nightly'), 'an existing name is updated');
SELECT is((SELECT count(*)::int FROM dbopt.jobs WHERE name = 'nightly'), 1, 'and stays one job');
SELECT is((SELECT schedule || ' ' || command FROM dbopt.jobs WHERE name = 'nightly'), '0 3 * * * ANALYZE',
          'with the new schedule and command');
SELECT lives_ok($$SELECT dbopt.job_add(s, s, 'SELECT 1') FROM unnest(ARRAY['1 second', '30 seconds',
    '1 hour 30 minutes', '@hourly', '@daily', '@weekly', '@monthly', '@yearly', '*/5 9-17 * jan-mar mon-fri',
    '0 0 $ * *', '0 0 * * 7']) s$$, 'every kind of schedule');
SELECT lives_ok($$SELECT dbopt.job_add('once', '@once 2999-12-01 02:00', 'SELECT 1', 'Europe/Madrid')$$, '@once');
SELECT is((SELECT next_run FROM dbopt.jobs WHERE name = 'once'), '2999-12-01 01:00+00'::timestamptz,
          'in the job''s time zone');

-- refusals
SELECT throws_ok($$SELECT dbopt.job_add('x', '* * * *', 'SELECT 1')$$, '22023');
SELECT throws_ok($$SELECT dbopt.job_add('x', '61 * * * *', 'SELECT 1')$$, '22023');
SELECT throws_ok($$SELECT dbopt.job_add('x', '0 0 30 2 *', 'SELECT 1')$$, '22023');
SELECT throws_ok($$SELECT dbopt.job_add('x', '@once 2020-01-01 00:00', 'SELECT 1')$$, '22023');
SELECT throws_ok($$SELECT dbopt.job_add('x', '@daily', 'SELECT 1; SELECT 2')$$, '42601');
SELECT throws_ok($$SELECT dbopt.job_add('x', '@daily', '')$$, '42601');
SELECT throws_ok($$SELECT dbopt.job_add('x', '@daily', 'SELEKT')$$, '42601');
SELECT throws_ok($$SELECT dbopt.job_add('x', '@daily', 'SELECT 1', 'Mars/Olympus')$$, '22023');
SELECT throws_ok($$SELECT dbopt.job_add('x', '@daily', 'SELECT 1', overlap => 'maybe')$$, '22023');
SELECT throws_ok($$SELECT dbopt.job_add('x', '@daily', 'SELECT 1', missed => 'maybe')$$, '22023');
SELECT throws_ok($$SELECT dbopt.job_add('x', '@daily', 'SELECT 1', retry_class => 'maybe')$$, '22023');
SELECT throws_ok($$SELECT dbopt.job_add('x', '@daily', 'SELECT 1', window_start => '22:00')$$, '22023');
SELECT throws_ok($$SELECT dbopt.job_add('x', '@daily', 'SELECT 1', max_runtime => '-1 s')$$, '22023');
SELECT throws_ok($$SELECT dbopt.job_add('', '@daily', 'SELECT 1')$$, '22023');
SELECT throws_ok($$SELECT dbopt.job_add(NULL, '@daily', 'SELECT 1')$$, '22004');
SELECT throws_ok($$SELECT dbopt.job_remove('nobody')$$, '42704');

SELECT throws_ok($$SELECT dbopt.job_add('x', '500 ms', 'SELECT 1')$$, '22023', NULL, 'milliseconds are no minutes');
SELECT throws_ok($$SELECT dbopt.job_add('x', '0 seconds', 'SELECT 1')$$, '22023');
SELECT throws_ok($$SELECT dbopt.job_add('x', '@reboot', 'SELECT 1')$$, '22023');
SELECT throws_ok($$SELECT dbopt.job_add('x', '0 0 * * sun-sat/0', 'SELECT 1')$$, '22023');
SELECT throws_ok(format($$SELECT dbopt.job_add('x', '@daily', %L)$$, c), '0A000', NULL, c || ' is refused at once')
FROM unnest('{BEGIN,COMMIT,ROLLBACK,SAVEPOINT a,COPY jobs FROM STDIN,COPY (SELECT 1) TO STDOUT}'::text[]) c;
SELECT throws_ok($$SELECT dbopt.job_add('x', '@daily', 'SELECT 1', max_runtime => '0')$$, '22023');
SELECT throws_ok($$SELECT dbopt.job_add('x', '@daily', 'SELECT 1', priority => NULL)$$, '22004');
SELECT throws_ok($$SELECT dbopt.job_add('x', '@daily', 'SELECT 1', window_start => '22:00', window_end => '22:00')$$, '22023');
SELECT throws_ok($$SELECT dbopt.pause('nowhere')$$, '22023', 'there is no room "nowhere"');
SELECT throws_ok($$SELECT dbopt.resume(NULL)$$, '22023');
SELECT is((SELECT count(*)::int FROM dbopt.jobs WHERE name = 'x'), 0, 'nothing of it stays');
SELECT lives_ok($$SELECT dbopt.job_add(n, '0 0 * * sat-sun', 'COPY (SELECT 1) TO PROGRAM $x$cat$x$', window_start => '22:00',
    window_end => '04:00') FROM unnest(ARRAY[E'na"me \'q\' \n', 'semi; colon', repeat('long', 1000)]) n$$, 'odd names');
SELECT is((SELECT count(*)::int FROM dbopt.jobs WHERE schedule = '0 0 * * sat-sun'
    AND extract(isodow FROM next_run) IN (6, 7)), 3, 'sat-sun ends with Sunday');
SELECT lives_ok($$SELECT dbopt.job_remove(name) FROM dbopt.jobs WHERE schedule = '0 0 * * sat-sun'$$, 'are found again');
SELECT ok(dbopt.job_add(schedule => '@daily', command => 'SELECT 1', name => 'named', enabled => false, overlap => 'queue',
    missed => 'all', priority => -5, retry_class => 'none', timezone => 'Europe/Madrid', max_runtime => '1 h')
    > 0, 'every argument by name');
SELECT is((SELECT count(*)::int FROM dbopt.jobs WHERE (name, schedule, command, enabled, overlap, missed, priority, retry_class, timezone,
     max_runtime) = ('named', '@daily', 'SELECT 1', false, 'queue', 'all', -5, 'none', 'Europe/Madrid', interval '1 h')), 1, 'is kept');

-- job_alter
SELECT lives_ok($$SELECT dbopt.job_alter('nightly', schedule => '@weekly', priority => 7)$$, 'job_alter');
SELECT is((SELECT schedule || ' ' || command || ' ' || priority FROM dbopt.jobs WHERE name = 'nightly'),
          '@weekly ANALYZE 7', 'changes what is named, and nothing else');
SELECT lives_ok($$SELECT dbopt.job_alter('nightly', enabled => false)$$);
SELECT is((SELECT state FROM dbopt.jobs WHERE name = 'nightly'), 'disabled', 'a job can be disabled');

SELECT lives_ok($$SELECT dbopt.job_alter('once', enabled => false)$$);
UPDATE dbopt.job_config SET schedule = '@once 2020-01-01 00:00' WHERE name = 'once';
SELECT lives_ok($$SELECT dbopt.job_alter('once', priority => 2)$$, 'a job whose one time is over can be altered');
SELECT throws_ok($$SELECT dbopt.job_alter('once', schedule => '@once 2020-01-02 00:00')$$, '22023', NULL, 'but not to another past time');

-- rights
SET ROLE scheduler_a;
SELECT lives_ok($$SELECT dbopt.job_add('of a', '@daily', 'SELECT 1')$$, 'another role adds a job');
SELECT is((SELECT owner::text FROM dbopt.jobs WHERE name = 'of a'), 'scheduler_a', 'which runs as that role');
SELECT is((SELECT count(*)::int FROM dbopt.jobs), 1, 'and sees only its own');
SELECT throws_ok($$SELECT dbopt.job_remove('nightly')$$, '42501');
SELECT throws_ok($$SELECT dbopt.job_add('nightly', '@daily', 'SELECT 1')$$, '42501');
SELECT throws_ok($$INSERT INTO dbopt.run (command, run_as) VALUES ('SELECT 1', 'postgres')$$, '42501');
SELECT throws_ok($$SELECT dbopt._job_add('nightly', '@daily', 'SELECT 1', 'jobs')$$, '42501');
RESET ROLE;
SET ROLE scheduler_b;
SELECT throws_ok($$SELECT dbopt.job_run('of a')$$, '42501');
SELECT throws_ok($$SELECT dbopt.job_cancel('of a')$$, '42501');
RESET ROLE;

-- runs, pauses
SELECT ok(dbopt.job_run('nightly') > 0, 'job_run queues a run');
SELECT is((SELECT status FROM dbopt.job_runs WHERE job = 'nightly'), 'queued', 'as a row of job_runs');
SELECT ok(dbopt.job_cancel('nightly'), 'job_cancel cancels it');
SELECT is((SELECT status FROM dbopt.job_runs WHERE job = 'nightly'), 'cancelled', 'the row says so');
SELECT ok(NOT dbopt.job_cancel('nightly'), 'a second job_cancel finds nothing');
SELECT dbopt.pause('jobs');
SELECT is((SELECT state FROM dbopt.jobs WHERE name = '@daily'), 'paused', 'a paused area shows');
SELECT dbopt.resume('jobs');
SELECT is((SELECT state FROM dbopt.jobs WHERE name = '@daily'), 'scheduled', 'and is resumed');

-- retries
SELECT is(dbopt.backoff(1) || ' ' || dbopt.backoff(10) || ' ' || dbopt.backoff(3, 'transaction'),
          '00:00:00.5 00:00:05 00:00:00.4', 'pauses double up to the cap');
SELECT ok(dbopt.is_retryable('40001') AND dbopt.is_retryable('53300') AND NOT dbopt.is_retryable('57014')
          AND NOT dbopt.is_retryable('23505'), 'retryable by SQLSTATE');
SELECT is((SELECT count(*)::int FROM dbopt.schedule_defaults() WHERE status = 'failed'), 0,
          'the default jobs are registered or skipped');

SELECT * FROM finish();
ROLLBACK;
