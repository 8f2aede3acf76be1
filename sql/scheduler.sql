-- Jobs as a user meets them.
SELECT dbopt.job_add('nightly', '0 2 * * *', 'VACUUM (ANALYZE)') IS NOT NULL AS added;
SELECT dbopt.job_add('nightly', '0 3 * * *', 'VACUUM (ANALYZE)', timezone => 'Europe/Madrid',
    window_start => '01:00', window_end => '06:00') IS NOT NULL AS updated;
SELECT name, schedule, command, timezone, state, breaker, overlap, missed FROM dbopt.jobs;
SELECT dbopt.job_add('x', 'every day', 'SELECT 1');
SELECT dbopt.job_add('x', '0 25 * * *', 'SELECT 1');
SELECT dbopt.job_add('x', '@daily', 'VACUUM; ANALYZE');
SELECT dbopt.job_add('x', '@daily', 'SELECT 1', 'Europe/Atlantis');
SELECT dbopt.job_add('x', '@daily', 'SELECT 1', overlap => 'pile up');
SELECT dbopt.job_remove('y');
SELECT attempt, dbopt.backoff(attempt) AS database, dbopt.backoff(attempt, 'default') AS "default",
    dbopt.backoff(attempt, 'transaction') AS transaction FROM generate_series(1, 5) attempt;
SELECT code, dbopt.is_retryable(code) FROM unnest(ARRAY['40001', '40P01', '55P03', '53300', '08006', '57014', '23505']) code;
SELECT dbopt.job_remove('nightly');
