-- The outbox against hostile addresses, headers, texts, owners and readers; its size.
BEGIN;
SELECT plan(34);
SELECT pg_advisory_xact_lock(1684434804, 1); -- the worker's round waits
DELETE FROM dbopt.alert_state;
DELETE FROM dbopt.alert_webhook;

-- addresses: nothing that could become a header or a second request
SELECT throws_ok(format('SELECT dbopt.alert_webhook_set(%L, %L)', 'bad', u), '23514', NULL, 'refused: ' || regexp_replace(left(u, 40), '\s', '_', 'g'))
FROM unnest(ARRAY[E'https://example.org/\r\nX-Injected: 1', E'https://example.org/\nGET / HTTP/1.1', 'https://example.org/a b', E'https://example.org/\t',
    'javascript:alert(1)', 'file:///etc/passwd', 'gopher://127.0.0.1/', '', 'https://', ' https://example.org/', 'https://example.org/' || repeat('x', 2000)]) u;
SELECT throws_ok(format('SELECT dbopt.alert_webhook_set(%L, %L, %L)', 'bad', 'https://example.org/', h), '23514', NULL, 'refused: ' || h)
FROM unnest(ARRAY['[]', '"text"', '{"a": 1}', '{"a": null}', '{"a": {"b": "c"}}', '{"Authorization": "x\r\nX-Injected: 1"}', '{"a\nb": "c"}', '{"a": "\u0001"}']) h;
SELECT throws_ok($$SELECT dbopt.alert_webhook_set('', 'https://example.org/')$$, '23514', NULL, 'a webhook has a name');
SELECT lives_ok($$SELECT dbopt.alert_webhook_set('team', 'https://example.org/T0/secret%20path?a=b&c=d', '{"Authorization": "Bearer abc.def"}')$$, 'a usual one');

-- a stand-in for pg_net: keeps what it gets, fails when told to
CREATE SCHEMA net;
CREATE TABLE net.sent (url text, body jsonb, headers jsonb, timeout int);
CREATE TABLE net.fails (why text);
CREATE FUNCTION net.http_post(url text, body jsonb, params jsonb, headers jsonb, timeout_milliseconds int) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM net.fails) THEN
        RAISE EXCEPTION 'cannot send to %', url;
    END IF;
    INSERT INTO net.sent VALUES (url, body, headers, timeout_milliseconds);
    RETURN 42;
END $$;
CREATE EXTENSION tsm_system_rows;
SET allow_system_table_mods = on;
UPDATE pg_extension SET extname = 'pg_net' WHERE extname = 'tsm_system_rows';
ALTER EXTENSION pg_net ADD FUNCTION net.http_post(text, jsonb, jsonb, jsonb, integer);

-- hostile text: a gid that speaks HTML, JSON and SQL
SELECT dbopt.alert_set('xid_age_pct', warn => -2, critical => -1, for_time => '0');
SELECT count(*) FROM dbopt.alert_check('fast');
UPDATE dbopt.alert_outbox SET body = body || jsonb_build_object('detail', E'</script>"}\n''; DROP TABLE net.sent; -- Zoë 数据 \\');
CREATE TEMP TABLE wanted AS SELECT body FROM dbopt.alert_outbox WHERE body ->> 'rule' = 'xid_age_pct';
DELETE FROM dbopt.alert_outbox WHERE body ->> 'rule' <> 'xid_age_pct';

-- a function that belongs to somebody else is not called with all rights
CREATE ROLE net_owner;
ALTER FUNCTION net.http_post(text, jsonb, jsonb, jsonb, integer) OWNER TO net_owner;
SELECT is(dbopt._alert_send(), 0::bigint, 'somebody else''s pg_net is not called');
ALTER FUNCTION net.http_post(text, jsonb, jsonb, jsonb, integer) OWNER TO CURRENT_USER;

-- it fails: kept, tried later, the address stays secret
INSERT INTO net.fails VALUES ('down');
SELECT is(dbopt._alert_send(), 0::bigint, 'a failure sends nothing');
SELECT results_eq('SELECT attempts, error, sent_at IS NULL, retry_at > clock_timestamp() FROM dbopt.alert_outbox',
    $$VALUES (1, 'cannot send to ...'::text, true, true)$$, 'it is noted without the address, and tried later');
DELETE FROM net.fails;
SELECT is(dbopt._alert_send(), 0::bigint, 'not at once');
UPDATE dbopt.alert_outbox SET retry_at = clock_timestamp() - interval '1 s';
UPDATE dbopt.alert_webhook SET enabled = false;
SELECT is(dbopt._alert_send(), 0::bigint, 'not to a webhook that is switched off');
UPDATE dbopt.alert_webhook SET enabled = true;
SELECT is(dbopt._alert_send(), 1::bigint, 'then it goes');
SELECT results_eq('SELECT url, body, headers ->> ''Authorization'', timeout FROM net.sent',
    $$SELECT 'https://example.org/T0/secret%20path?a=b&c=d'::text, body, 'Bearer abc.def'::text, 5000 FROM wanted$$, 'as it was, whatever it contains');

-- bounded
INSERT INTO dbopt.alert_outbox (webhook, body) SELECT 'team', '{}' FROM generate_series(1, 10500);
SELECT dbopt.alert_set('multixact_age_pct', warn => -2, critical => -1, for_time => '0');
SELECT count(*) FROM dbopt.alert_check('fast');
SELECT cmp_ok((SELECT count(*) FROM dbopt.alert_outbox), '<=', 10000::bigint, 'ten thousand messages at most');

-- readers
CREATE ROLE outbox_reader;
GRANT pg_monitor TO outbox_reader;
CREATE ROLE outbox_nobody;
SET ROLE outbox_reader;
SELECT lives_ok('SELECT count(*) FROM dbopt.alert_outbox', 'pg_monitor reads messages');
SELECT throws_ok('SELECT url FROM dbopt.alert_webhook', '42501', NULL, 'not addresses');
SELECT throws_ok($$INSERT INTO dbopt.alert_outbox (webhook, body) VALUES ('team', '{}')$$, '42501', NULL, 'and sends none');
SELECT throws_ok('SELECT dbopt._alert_send()', '42501', NULL, 'nor makes the server send');
SET ROLE outbox_nobody;
SELECT throws_ok('SELECT * FROM dbopt.alert_outbox', '42501', NULL, 'others read nothing');
RESET ROLE;
SELECT * FROM finish();
ROLLBACK;
