-- Rules, webhooks, the outbox.
BEGIN;
SELECT plan(21);
SELECT pg_advisory_xact_lock(1684434804, 1); -- the worker's round waits
DELETE FROM dbopt.alert_state;

SELECT cmp_ok((SELECT count(*) FROM dbopt.alert_rules WHERE enabled), '>=', 40::bigint, 'forty rules or more are on by default');
SELECT results_eq($$SELECT rule, warn, critical, for_time FROM dbopt.alert_rules WHERE rule IN ('pool_used_pct', 'slow_statements', 'buffer_hit_pct',
        'matview_staleness_hours', 'partitions_none_ahead', 'indexes_expected_missing', 'breakers_open') ORDER BY rule$$,
    $$VALUES ('breakers_open'::text, 1::float8, 3::float8, interval '0'), ('buffer_hit_pct', 90, 80, '5 min'), ('indexes_expected_missing', 1, NULL, '10 min'),
        ('matview_staleness_hours', 4, 24, '1 min'), ('partitions_none_ahead', NULL, 1, '1 min'), ('pool_used_pct', 80, 90, '5 min'),
        ('slow_statements', 10, 50, '1 min')$$, 'the customary thresholds');

-- what other rooms manage
CREATE TABLE ev (id bigint, at timestamptz NOT NULL) PARTITION BY RANGE (at);
SELECT count(*) FROM dbopt.partition_manage('ev', '1 day');
SELECT is((SELECT status FROM dbopt.health() WHERE check_name = 'partitions_none_ahead'), 'ok', 'partitions are ahead');
DO $$
DECLARE
    p regclass;
BEGIN
    FOR p IN SELECT partition FROM dbopt.partitions WHERE parent = 'ev'::regclass AND lower_time > now() LOOP
        EXECUTE format('DROP TABLE %s', p);
    END LOOP;
END $$;
SELECT is((SELECT status FROM dbopt.health() WHERE check_name = 'partitions_none_ahead'), 'critical', 'none ahead is critical');
SELECT is((SELECT status FROM dbopt.health() WHERE check_name = 'partitions_not_ahead'), 'warning', 'and fewer than wanted a warning');
SELECT dbopt.index_expect('CREATE INDEX ON public.not_there_yet (x)');
SELECT is((SELECT status FROM dbopt.health() WHERE check_name = 'indexes_expected_missing'), 'warning', 'an expected index is missing');
CREATE MATERIALIZED VIEW mv AS SELECT 1 AS one;
SELECT count(*) FROM dbopt.matview_manage('mv');
SELECT dbopt.matview_refresh('mv');
SELECT is((SELECT status FROM dbopt.health() WHERE check_name = 'matview_staleness_hours'), 'ok', 'a fresh matview is fresh');
UPDATE dbopt._matview_state SET last_refresh = now() - interval '5 hours';
SELECT is((SELECT status FROM dbopt.health() WHERE check_name = 'matview_staleness_hours'), 'warning', 'five hours old is stale');

-- webhooks
SELECT lives_ok($$SELECT dbopt.alert_webhook_set('team', 'https://hooks.example.org/x', min_level => 'critical')$$, 'a webhook');
SELECT lives_ok($$SELECT dbopt.alert_webhook_set('all', 'http://127.0.0.1:9/', '{"Authorization": "secret"}')$$, 'another');
SELECT throws_ok($$SELECT dbopt.alert_webhook_set('bad', 'file:///etc/passwd')$$, '23514', NULL, 'http only');
SELECT dbopt.alert_set('xid_age_pct', warn => -1, critical => 1e9, for_time => '0');
SELECT count(*) FROM dbopt.alert_check('fast');
SELECT results_eq($$SELECT webhook, body ->> 'rule', body ->> 'to' FROM dbopt.alert_outbox WHERE body ->> 'rule' = 'xid_age_pct'$$,
    $$VALUES ('all'::text, 'xid_age_pct'::text, 'warning'::text)$$, 'a warning goes where warnings are wanted');
SELECT dbopt.alert_set('xid_age_pct', warn => -2, critical => -1);
SELECT count(*) FROM dbopt.alert_check('fast');
SELECT is((SELECT count(*) FROM dbopt.alert_outbox WHERE body ->> 'rule' = 'xid_age_pct' AND body ->> 'to' = 'critical'), 2::bigint, 'a critical one everywhere');
SELECT count(*) FROM dbopt.alert_check('fast');
SELECT is((SELECT count(*) FROM dbopt.alert_outbox WHERE body ->> 'rule' = 'xid_age_pct'), 3::bigint, 'no change, no message');
SELECT dbopt.alert_mute('multixact_age_pct', now() + interval '1 hour', 'test');
SELECT dbopt.alert_set('multixact_age_pct', warn => -1, for_time => '0');
SELECT count(*) FROM dbopt.alert_check('fast');
SELECT is((SELECT count(*) FROM dbopt.alert_outbox WHERE body ->> 'rule' = 'multixact_age_pct'), 0::bigint, 'what is muted is not sent');

-- A stranger's function called net.http_post is not pg_net's, and gets nothing.
CREATE SCHEMA net;
CREATE FUNCTION net.http_post(text, jsonb, jsonb, jsonb, integer) RETURNS bigint LANGUAGE sql AS 'SELECT 42::bigint';
SELECT is(dbopt._alert_send(), 0::bigint, 'without pg_net nothing is sent');
SELECT is((SELECT count(*) FROM dbopt.alert_outbox WHERE sent_at IS NOT NULL), 0::bigint, 'and waits');
-- pg_net's is: an extension of another name stands in for it.
CREATE EXTENSION tsm_system_rows;
SET allow_system_table_mods = on;
UPDATE pg_extension SET extname = 'pg_net' WHERE extname = 'tsm_system_rows';
ALTER EXTENSION pg_net ADD FUNCTION net.http_post(text, jsonb, jsonb, jsonb, integer);
SELECT cmp_ok(dbopt._alert_send(), '>=', 3::bigint, 'with pg_net all are sent');
SELECT is((SELECT count(*) FROM dbopt.alert_outbox WHERE sent_at IS NULL OR request_id <> 42), 0::bigint, 'and marked as sent');
SELECT dbopt.alert_webhook_remove('team');
CREATE ROLE outbox_watcher;
GRANT pg_monitor TO outbox_watcher;
SET ROLE outbox_watcher;
SELECT throws_ok('SELECT * FROM dbopt.alert_webhook', '42501', NULL, 'headers may hold secrets: not for pg_monitor');
SELECT throws_ok($$SELECT dbopt.alert_webhook_set('x', 'http://10.0.0.1/')$$, '42501', NULL, 'nor may it choose where to');
RESET ROLE;
SELECT * FROM finish();
ROLLBACK;
