-- Pools: an application's own by application_name, bad input, a pooler that does not answer, profiles.
BEGIN;
SELECT plan(17);
SELECT throws_ok($$SELECT dbopt.pool_add('x')$$, '22023', NULL, 'neither conninfo nor application_name');
SELECT throws_ok($$SELECT dbopt.pool_add('x', 'host=/tmp password=hunter2 user=stats')$$, '22023',
                 'a connection string with a password is not stored', 'no stored passwords');
SELECT throws_ok($$SELECT dbopt.pool_add('x', 'postgresql://stats:hunter2@localhost:6432/pgbouncer')$$, '22023',
                 'a connection string with a password is not stored', 'nor in a URL');
SELECT throws_ok($$SELECT dbopt.pool_add('x', 'this is no = connection string hunter2')$$, '22023', 'invalid connection string', 'no echo of bad text');

SET application_name = 'pool_test';
SELECT is((SELECT status FROM dbopt.pool_add('own', application_name => 'pool_test', max_size => 1)), 'done', 'an application''s pool');
SELECT is((SELECT status FROM dbopt.pool_add('own', application_name => 'pool_test', max_size => 1)), 'skipped', 'again: nothing new');
SELECT results_eq($$SELECT used, free, max_size, utilization_pct, health FROM dbopt.pools WHERE name = 'own'$$,
                  $$VALUES (1, 0, 1, 100::float8, 'critical')$$, 'it is full: this session');
SELECT results_eq($$SELECT pool_size, suggested_size, reason FROM dbopt.pool_advice WHERE name = 'own'$$,
                  $$VALUES (1, 2, 'nearly full')$$, 'advice');
SELECT is((SELECT status FROM dbopt.health() WHERE check_name = 'pool_used_pct'), 'critical', 'health knows it');

SELECT is((SELECT status FROM dbopt.pool_add('gone', 'host=/nonexistent port=6432 user=stats')), 'failed', 'a pooler that is not there');
SELECT is((SELECT health FROM dbopt.pools WHERE name = 'gone'), 'unreachable', 'is shown as such');
SELECT is((SELECT status FROM dbopt.pool_poll() WHERE name = 'gone'), 'skipped', 'and left alone for a while');
SELECT is((SELECT status FROM dbopt.pool_poll('gone')), 'failed', 'unless it is named');
SELECT dbopt.pool_remove('gone');
SELECT throws_ok($$SELECT dbopt.pool_remove('gone')$$, '42704', 'pool "gone" does not exist', 'unknown pool');

SELECT is((SELECT count(*) FROM unnest('{development,test,staging,production,high-load}'::text[]) e, dbopt.pool_profile(e) p
           WHERE p.value = '' OR p.reason = ''), 0::bigint, 'every line of every profile has a reason');
SELECT matches((SELECT value FROM dbopt.pool_profile('production') WHERE setting = 'DATABASE_URL'),
               'connection_limit=\d+', 'a ready URL');
SELECT throws_ok($$SELECT * FROM dbopt.pool_profile('prod')$$, '22023', NULL, 'unknown environment');
SELECT * FROM finish();
ROLLBACK;
