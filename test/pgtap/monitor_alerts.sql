-- Alert rules as data: changing, muting, raising, notifying; bad input; rights.
BEGIN;
SELECT plan(19);
LISTEN dbopt_alert;
SELECT pg_advisory_xact_lock(1684434804, 1); -- the worker's round waits
DELETE FROM dbopt.alert_state;
DELETE FROM dbopt.alert_event;

SELECT cmp_ok((SELECT count(*) FROM dbopt.alert_rules WHERE enabled), '>=', 40::bigint, 'at least 40 rules are on');
SELECT results_eq($$SELECT warn, critical, for_time FROM dbopt.alert_rules WHERE rule = 'pool_used_pct'$$,
                  $$VALUES (80::float8, 90::float8, interval '5 minutes')$$, 'pool: 80 %, 90 %, 5 minutes');
SELECT results_eq($$SELECT warn, critical FROM dbopt.alert_rules WHERE rule = 'matview_staleness_hours'$$,
                  $$VALUES (4::float8, 24::float8)$$, 'matviews: 4 hours');

-- a rule made to fire: every database has transactions
SELECT lives_ok($$SELECT dbopt.alert_set('xid_age_pct', warn => 0, critical => 1e-12)$$, 'thresholds change');
SELECT is((SELECT status FROM dbopt.health('ok', 'fast') WHERE check_name = 'xid_age_pct'), 'critical', 'health() uses them too');
SELECT results_eq($$SELECT from_level, to_level FROM dbopt.alert_check('fast') WHERE rule = 'xid_age_pct'$$,
                  $$VALUES ('ok', 'critical')$$, 'it fires');
SELECT is_empty($$SELECT * FROM dbopt.alert_check('fast') WHERE rule = 'xid_age_pct'$$, 'once: only changes are told');
SELECT is((SELECT level FROM dbopt.alerts WHERE rule = 'xid_age_pct'), 'critical', 'it is listed');
SELECT is((SELECT count(*) FROM dbopt.alert_event WHERE rule = 'xid_age_pct'), 1::bigint, 'it is recorded');
SELECT cmp_ok((SELECT max(length(row_to_json(e)::text)) FROM dbopt.alert_event e), '<', 8000, 'it fits a NOTIFY');

-- muting
SELECT throws_ok($$SELECT dbopt.alert_mute('xid_age_pct', now() + interval '1 day', ' ')$$, '22023', 'a mute needs a reason', 'no mute without a reason');
SELECT lives_ok($$SELECT dbopt.alert_mute('multixact_age_pct', now() + interval '1 day', 'migration')$$, 'mute');
SELECT dbopt.alert_set('multixact_age_pct', warn => -1, critical => 0);
SELECT is((SELECT muted FROM dbopt.alert_check('fast') WHERE rule = 'multixact_age_pct'), true, 'a muted change is marked');

-- bad input
SELECT throws_ok($$SELECT dbopt.alert_set('xid_age', warn => 1)$$, '42704', 'alert rule "xid_age" does not exist', 'unknown rule');
SELECT throws_ok($$SELECT dbopt.alert_set('connections_used_pct', warn => 95)$$, '22023', NULL, 'warn above critical');
SELECT throws_ok($$SELECT dbopt.alert_set('buffer_hit_pct', warn => 70)$$, '22023', NULL, 'the other way round where low is bad');

-- off and back
SELECT dbopt.alert_set('xid_age_pct', enabled => false);
SELECT is_empty($$SELECT * FROM dbopt.alerts WHERE rule = 'xid_age_pct'$$, 'a rule that is off is not raised');
SELECT dbopt.alert_reset('xid_age_pct');
SELECT results_eq($$SELECT warn, critical, enabled FROM dbopt.alert_rules WHERE rule = 'xid_age_pct'$$,
                  $$VALUES (20::float8, 50::float8, true)$$, 'reset');

CREATE ROLE alert_reader ROLE CURRENT_USER;
GRANT pg_monitor TO alert_reader;
SET LOCAL ROLE alert_reader;
SELECT throws_ok($$SELECT dbopt.alert_set('xid_age_pct', warn => 1)$$, '42501', NULL, 'pg_monitor reads, it changes nothing');
SELECT * FROM finish();
ROLLBACK;
