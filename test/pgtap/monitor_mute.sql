-- What a mute keeps quiet, what is told when it ends; the rules on caches; what a disabled rule forgets.
BEGIN;
SELECT plan(42);
SELECT pg_advisory_xact_lock(1684434804, 1); -- the worker's round waits
DELETE FROM dbopt.alert_state;
DELETE FROM dbopt.alert_outbox;
SELECT dbopt.alert_webhook_set('mute_test', 'http://127.0.0.1:9/');
SELECT setval(pg_get_serial_sequence('dbopt.alert_event', 'event_id'), 1000, false);
DELETE FROM dbopt.alert_event;

-- One round; what it recorded of a rule, as "from>to muted".
CREATE FUNCTION pg_temp.round(which text) RETURNS text LANGUAGE sql AS
    $$SELECT string_agg(from_level || '>' || to_level || CASE WHEN muted THEN ' muted' ELSE '' END, ', ') FROM dbopt.alert_check('fast') WHERE rule = which$$;
CREATE FUNCTION pg_temp.expire(which text) RETURNS void LANGUAGE sql AS
    $$UPDATE dbopt.alert_setting SET muted_until = clock_timestamp() - interval '1 s' WHERE rule = which$$;
-- Time passes: what is pending has been so for an hour.
CREATE FUNCTION pg_temp.an_hour_later(which text) RETURNS void LANGUAGE sql AS
    $$UPDATE dbopt.alert_state SET pending_since = pending_since - 3600, since = since - 3600, ended_at = ended_at - 3600 WHERE rule = which$$;
CREATE FUNCTION pg_temp.bad(which text) RETURNS void LANGUAGE sql AS $$SELECT dbopt.alert_set(which, warn => -2, critical => -1, for_time => '0')$$;
CREATE FUNCTION pg_temp.good(which text) RETURNS void LANGUAGE sql AS $$SELECT dbopt.alert_set(which, warn => 1e11, critical => 1e12)$$;

-- raised while muted, still there when the mute ends: told then
SELECT dbopt.alert_mute('xid_age_pct', now() + interval '1 hour', 'maintenance');
SELECT pg_temp.bad('xid_age_pct');
SELECT is(pg_temp.round('xid_age_pct'), 'ok>critical muted', 'recorded, but quiet');
SELECT is((SELECT count(*) FROM dbopt.alert_outbox WHERE body ->> 'rule' = 'xid_age_pct'), 0::bigint, 'nothing is sent');
SELECT is((SELECT muted FROM dbopt.alerts WHERE rule = 'xid_age_pct'), true, 'it is listed as muted');
SELECT is(pg_temp.round('xid_age_pct'), NULL, 'once');
SELECT pg_temp.expire('xid_age_pct');
SELECT is((SELECT muted FROM dbopt.alerts WHERE rule = 'xid_age_pct'), false, 'the mute has ended by itself');
SELECT is(pg_temp.round('xid_age_pct'), 'ok>critical', 'now it is told');
SELECT is((SELECT count(*) FROM dbopt.alert_outbox WHERE body ->> 'rule' = 'xid_age_pct'), 1::bigint, 'and sent');
SELECT is(pg_temp.round('xid_age_pct'), NULL, 'once, too');

-- told, then muted, over while muted: the end is told when the mute ends
SELECT dbopt.alert_mute('xid_age_pct', now() + interval '1 hour', 'again');
SELECT pg_temp.good('xid_age_pct');
SELECT is(pg_temp.round('xid_age_pct'), NULL, 'not over at once');
SELECT pg_temp.an_hour_later('xid_age_pct');
SELECT is(pg_temp.round('xid_age_pct'), 'critical>ok muted', 'over, quietly');
SELECT pg_temp.expire('xid_age_pct');
SELECT is(pg_temp.round('xid_age_pct'), 'critical>ok', 'told when the mute ends');
SELECT is(pg_temp.round('xid_age_pct'), NULL, 'once');

-- came and went while muted: nobody hears of it
SELECT dbopt.alert_mute('multixact_age_pct', now() + interval '1 hour', 'test');
SELECT pg_temp.bad('multixact_age_pct');
SELECT is(pg_temp.round('multixact_age_pct'), 'ok>critical muted', 'raised, quietly');
SELECT pg_temp.good('multixact_age_pct');
SELECT is(pg_temp.round('multixact_age_pct'), NULL, 'going');
SELECT pg_temp.an_hour_later('multixact_age_pct');
SELECT is(pg_temp.round('multixact_age_pct'), 'critical>ok muted', 'gone');
SELECT pg_temp.expire('multixact_age_pct');
SELECT is(pg_temp.round('multixact_age_pct'), NULL, 'nothing to tell');
SELECT is((SELECT count(*) FROM dbopt.alert_outbox WHERE body ->> 'rule' = 'multixact_age_pct'), 0::bigint, 'nothing was sent');

-- raised while muted, over after the mute but before the next round: an end that nobody waits for
SELECT dbopt.alert_mute('multixact_age_pct', now() + interval '1 hour', 'test');
SELECT pg_temp.an_hour_later('multixact_age_pct');
SELECT pg_temp.bad('multixact_age_pct');
SELECT is(pg_temp.round('multixact_age_pct'), 'ok>critical muted', 'raised again after the cooldown, quietly');
SELECT pg_temp.good('multixact_age_pct');
SELECT pg_temp.round('multixact_age_pct');
SELECT pg_temp.an_hour_later('multixact_age_pct');
SELECT pg_temp.expire('multixact_age_pct');
SELECT is(pg_temp.round('multixact_age_pct'), 'critical>ok muted', 'its end is recorded only');

-- the rules on caches
SELECT results_eq($$SELECT rule, warn, critical, low_is_bad FROM dbopt.alert_rules WHERE rule = 'buffer_hit_pct'$$,
    $$VALUES ('buffer_hit_pct'::text, 90::float8, 80::float8, true)$$, 'buffer hits below 90 % are bad');
SELECT dbopt.alert_set('buffer_hit_pct', warn => 100.5, for_time => '0');
SELECT isnt((SELECT status FROM dbopt.health('ok', 'fast') WHERE check_name = 'buffer_hit_pct'), 'ok', 'no ratio is above 100 %: warned or too little to say');

SELECT results_eq($$SELECT warn, critical, low_is_bad, for_time FROM dbopt.alert_rules WHERE rule = 'cache_hit_pct'$$,
    $$VALUES (70::float8, 60::float8, true, interval '5 minutes')$$, 'the result cache: 70 % and 60 %');
SELECT is((SELECT status FROM dbopt.health('ok', 'fast') WHERE check_name = 'cache_hit_pct'), 'skipped', 'without a cache there is nothing to say');
CREATE VIEW dbopt.cache_statistics AS SELECT 65::bigint AS hits, 35::bigint AS misses;
SELECT is((SELECT status FROM dbopt.health('ok', 'fast') WHERE check_name = 'cache_hit_pct'), 'warning', '65 % is a warning');
CREATE OR REPLACE VIEW dbopt.cache_statistics AS SELECT 59::bigint AS hits, 41::bigint AS misses;
SELECT is((SELECT status FROM dbopt.health('ok', 'fast') WHERE check_name = 'cache_hit_pct'), 'critical', '59 % is critical');


-- raised, then it does not apply any more: without a value the round goes on, and the alert ends
SELECT dbopt.alert_set('cache_hit_pct', for_time => '0');
SELECT is(pg_temp.round('cache_hit_pct'), 'ok>critical', 'raised');
DROP VIEW dbopt.cache_statistics;
SELECT lives_ok($$SELECT * FROM dbopt.alert_check('fast')$$, 'a raised check that does not apply any more stops no round');
SELECT is((SELECT value FROM dbopt.alert_state WHERE rule = 'cache_hit_pct'), NULL, 'it has no value');
SELECT pg_temp.an_hour_later('cache_hit_pct');
SELECT is(pg_temp.round('cache_hit_pct'), 'critical>ok', 'and it is over after a minute');
-- one that fails says nothing: the alert stays
CREATE VIEW dbopt.cache_statistics AS SELECT 1::bigint AS hits, 99::bigint AS misses;
SELECT pg_temp.an_hour_later('cache_hit_pct');
SELECT is(pg_temp.round('cache_hit_pct'), 'ok>critical', 'raised again');
CREATE OR REPLACE VIEW dbopt.cache_statistics AS SELECT (1 / (random() * 0)::int)::bigint AS hits, 99::bigint AS misses;
SELECT pg_temp.an_hour_later('cache_hit_pct');
SELECT is(pg_temp.round('cache_hit_pct'), NULL, 'a failing check ends no alert');

-- switched off: forgotten, and raised anew when it is on again
SELECT dbopt.alert_reset('xid_age_pct');
SELECT pg_temp.an_hour_later('xid_age_pct');
SELECT pg_temp.bad('xid_age_pct');
SELECT is(pg_temp.round('xid_age_pct'), 'ok>critical', 'raised');
SELECT dbopt.alert_set('xid_age_pct', enabled => false);
SELECT is(pg_temp.round('xid_age_pct'), NULL, 'a rule that is off says nothing');
SELECT dbopt.alert_set('xid_age_pct', enabled => true);
SELECT is(pg_temp.round('xid_age_pct'), 'ok>critical', 'on again it starts anew');

-- payloads stay below the limit of NOTIFY
SELECT cmp_ok((SELECT max(octet_length(body::text)) FROM dbopt.alert_outbox), '<', 8000, 'every message fits a NOTIFY');

-- what cannot be meant is answered with the value and a hint
SELECT throws_ok($$SELECT dbopt.alert_set('connections_used_pct', for_time => '-1 s')$$, '22023',
    'for_time -00:00:01 of rule "connections_used_pct" is negative', 'a negative for_time');
SELECT lives_ok($$SELECT dbopt.alert_set('connections_used_pct', for_time => '0')$$, 'at once is fine');
SELECT throws_ok($$SELECT dbopt.alert_set(NULL)$$, '22004', 'rule must not be NULL', 'no rule');
SELECT throws_ok($$SELECT dbopt.alert_mute(NULL, now(), 'x')$$, '22004', 'rule must not be NULL', 'no rule to mute');
SELECT throws_ok($$SELECT dbopt.alert_mute('connections_used_pct', NULL, 'x')$$, '22004', 'mute_until must not be NULL', 'until when?');
SELECT lives_ok($$SELECT dbopt.alert_mute('connections_used_pct', 'infinity', 'for good')$$, 'for good');
SELECT lives_ok($$SELECT dbopt.alert_mute('connections_used_pct', now() - interval '1 hour', 'over')$$, 'a time in the past unmutes');
SELECT * FROM finish();
ROLLBACK;
