-- Pools: an application's own by application_name, bad input, a pooler that does not answer, profiles.
BEGIN;
SELECT plan(22);
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
-- the customary figures: smallest pool and idle time of each environment, limits of the largest
SELECT results_eq($$SELECT e, (SELECT value::int FROM dbopt.pool_profile(e) WHERE setting = 'min_size'), (SELECT value FROM dbopt.pool_profile(e) WHERE setting = 'idle_timeout')
        FROM unnest('{development,test,staging,production,high-load}'::text[]) WITH ORDINALITY u(e, n) ORDER BY n$$,
    $$VALUES ('development', 1, '10 s'), ('test', 1, '5 s'), ('staging', 5, '60 s'), ('production', 10, '300 s'), ('high-load', 20, '600 s')$$, 'smallest pools and idle times');
SELECT results_eq($$SELECT setting, value FROM dbopt.pool_profile('production') WHERE setting IN ('acquire_timeout', 'max_lifetime', 'pre_ping', 'statement_cache') ORDER BY 1$$,
    $$VALUES ('acquire_timeout', '30 s'), ('max_lifetime', '3600 s'), ('pre_ping', 'true'), ('statement_cache', '100')$$, 'acquire, recycle, pre-ping, statement cache');
SELECT is((SELECT count(*) FROM unnest('{DATABASE_URL,DATABASE_READ_REPLICA_URL,node-postgres,SQLAlchemy,Knex,pgbouncer.ini}'::text[]) s
    WHERE EXISTS (SELECT FROM dbopt.pool_profile('staging') p WHERE p.setting = s AND p.value LIKE '%' || (SELECT value FROM dbopt.pool_profile('staging') WHERE setting = 'min_size') || '%'
                  OR p.setting = s AND s IN ('DATABASE_URL', 'DATABASE_READ_REPLICA_URL', 'SQLAlchemy'))), 6::bigint, 'every spelling');

-- the server makes the connection: only superusers may say where to
CREATE ROLE pool_keeper;
GRANT pg_monitor TO pool_keeper;
GRANT EXECUTE ON FUNCTION dbopt.pool_add(text, text, text, int), dbopt._pool_states() TO pool_keeper;
GRANT INSERT, UPDATE, DELETE, SELECT ON dbopt.pool TO pool_keeper;
SET ROLE pool_keeper;
SELECT throws_ok($$SELECT dbopt.pool_add('inner', 'host=10.0.0.1 passfile=/etc/shadow')$$, '42501', 'only superusers may add a PgBouncer', 'even with every right on the table');
SELECT throws_ok($$UPDATE dbopt.pool SET conninfo = 'host=10.0.0.1', application_name = NULL$$, '42501', 'only superusers may add a PgBouncer', 'nor by UPDATE');
RESET ROLE;

SELECT throws_ok($$SELECT * FROM dbopt.pool_profile('prod')$$, '22023', NULL, 'unknown environment');
SELECT * FROM finish();
ROLLBACK;
