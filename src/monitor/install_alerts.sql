-- ---- alerts ----

CREATE TABLE dbopt.alert_state (
    rule          text PRIMARY KEY,
    level         text NOT NULL,
    since         float8 NOT NULL,
    pending       text NOT NULL,
    pending_since float8 NOT NULL,
    last_raised   text NOT NULL,
    ended_at      float8 NOT NULL,
    told          text NOT NULL,
    value         float8,
    detail        text
) WITH (fillfactor = 50);
COMMENT ON TABLE dbopt.alert_state IS 'where each rule stands, so that a restart changes nothing; times in seconds since 2000-01-01 UTC; told: the level that people know of';
REVOKE ALL ON dbopt.alert_state FROM PUBLIC;

CREATE TABLE dbopt.alert_event (
    event_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    rule       text NOT NULL,
    from_level text NOT NULL,
    to_level   text NOT NULL,
    value      float8,
    unit       text,
    detail     text,
    advice     text,
    muted      boolean NOT NULL
);
CREATE INDEX alert_event_at ON dbopt.alert_event (at);
COMMENT ON TABLE dbopt.alert_event IS 'every change of an alert''s level; also sent as NOTIFY dbopt_alert (JSON) and to the log';
REVOKE ALL ON dbopt.alert_event FROM PUBLIC;

CREATE FUNCTION dbopt.alert_check(tier text DEFAULT 'normal', OUT rule text, OUT from_level text, OUT to_level text, OUT value float8,
    OUT detail text, OUT muted boolean)
RETURNS SETOF record LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off AS 'MODULE_PATHNAME', 'dbopt_alert_check';
COMMENT ON FUNCTION dbopt.alert_check(text) IS
    'one round of the alert rules; returns the changes, stores them, sends NOTIFY dbopt_alert. The worker does this every 10 seconds';

CREATE VIEW dbopt.alert_rules AS
SELECT c.check_name AS rule, c.unit, coalesce(s.warn, c.warn_at) AS warn, coalesce(s.critical, c.critical_at) AS critical, c.low_is_bad,
       coalesce(s.for_time, pg_catalog.make_interval(secs => c.for_seconds)) AS for_time, coalesce(s.enabled, c.alerts) AS enabled,
       CASE c.tier WHEN 0 THEN 'fast' WHEN 1 THEN 'normal' ELSE 'deep' END AS tier,
       s.muted_until, s.mute_reason, s.rule IS NOT NULL AS changed, c.advice
FROM dbopt._checks() c LEFT JOIN dbopt.alert_setting s ON s.rule = c.check_name;
COMMENT ON VIEW dbopt.alert_rules IS 'every rule with its thresholds as they apply now; change them with alert_set and alert_mute';

CREATE FUNCTION dbopt._require_rule(rule text) RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF rule IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'rule must not be NULL', HINT = 'SELECT rule FROM dbopt.alert_rules lists them.';
    END IF;
    IF NOT EXISTS (SELECT FROM dbopt._checks() c WHERE c.check_name = rule) THEN
        RAISE undefined_object USING MESSAGE = format('alert rule "%s" does not exist', rule),
            HINT = coalesce('Did you mean "' || (SELECT c.check_name FROM dbopt._checks() c
                WHERE c.check_name LIKE '%' || replace(split_part(rule, '_', 1), '%', '') || '%' ORDER BY 1 LIMIT 1) || '"? ', '')
                || 'SELECT rule FROM dbopt.alert_rules lists them.';
    END IF;
END $$;
COMMENT ON FUNCTION dbopt._require_rule(text) IS 'internal: raises 42704 for an unknown rule';

CREATE FUNCTION dbopt.alert_set(rule text, warn float8 DEFAULT NULL, critical float8 DEFAULT NULL, for_time interval DEFAULT NULL,
    enabled boolean DEFAULT NULL) RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    c record;
BEGIN
    PERFORM dbopt._require_rule(alert_set.rule);
    SELECT r.low_is_bad, coalesce(alert_set.warn, r.warn) AS warn, coalesce(alert_set.critical, r.critical) AS critical
        INTO c FROM dbopt.alert_rules r WHERE r.rule = alert_set.rule;
    IF c.warn = 'NaN' OR c.critical = 'NaN' OR (CASE WHEN c.low_is_bad THEN c.warn < c.critical ELSE c.warn > c.critical END) THEN
        RAISE invalid_parameter_value USING MESSAGE = format('thresholds of rule "%s" are in the wrong order: warn %s, critical %s', alert_set.rule, c.warn, c.critical),
            HINT = CASE WHEN c.low_is_bad THEN 'Low values are bad here: critical must be below warn.' ELSE 'critical must be above warn.' END;
    END IF;
    IF alert_set.for_time < interval '0' THEN
        RAISE invalid_parameter_value USING MESSAGE = format('for_time %s of rule "%s" is negative', alert_set.for_time, alert_set.rule),
            HINT = 'It is how long a value must be bad before an alert is raised; 0 raises it at once.';
    END IF;
    INSERT INTO dbopt.alert_setting AS s (rule, warn, critical, for_time, enabled)
    VALUES (alert_set.rule, alert_set.warn, alert_set.critical, alert_set.for_time, alert_set.enabled)
    ON CONFLICT (rule) DO UPDATE SET warn = coalesce(excluded.warn, s.warn), critical = coalesce(excluded.critical, s.critical),
        for_time = coalesce(excluded.for_time, s.for_time), enabled = coalesce(excluded.enabled, s.enabled),
        changed_by = SESSION_USER, changed_at = now();
    IF NOT alert_set.enabled THEN
        DELETE FROM dbopt.alert_state a WHERE a.rule = alert_set.rule;
    END IF;
END $$;
COMMENT ON FUNCTION dbopt.alert_set(text, float8, float8, interval, boolean) IS
    'changes a rule; what is NULL stays as it is. The thresholds apply to health() too';

CREATE FUNCTION dbopt.alert_reset(rule text) RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM dbopt._require_rule(alert_reset.rule);
    DELETE FROM dbopt.alert_setting s WHERE s.rule = alert_reset.rule;
END $$;
COMMENT ON FUNCTION dbopt.alert_reset(text) IS 'back to the rule''s defaults, unmuted';

CREATE FUNCTION dbopt.alert_mute(rule text, mute_until timestamptz, reason text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM dbopt._require_rule(alert_mute.rule);
    IF mute_until IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'mute_until must not be NULL',
            HINT = 'Say until when; ''infinity'' mutes for good, a time in the past unmutes.';
    END IF;
    IF mute_until > now() AND coalesce(btrim(reason), '') = '' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'a mute needs a reason', HINT = 'Whoever finds it muted wants to know why.';
    END IF;
    INSERT INTO dbopt.alert_setting AS s (rule, muted_until, mute_reason) VALUES (alert_mute.rule, mute_until, reason)
    ON CONFLICT ON CONSTRAINT alert_setting_pkey DO UPDATE SET muted_until = excluded.muted_until, mute_reason = excluded.mute_reason,
        changed_by = SESSION_USER, changed_at = now();
END $$;
COMMENT ON FUNCTION dbopt.alert_mute(text, timestamptz, text) IS
    'no NOTIFY and no log line for this rule until then (its changes are still recorded); a time in the past unmutes';

-- Webhooks. What is told goes into the outbox in the same transaction; the worker hands it to pg_net
-- where that is installed. Elsewhere any program may take it from there.
CREATE TABLE dbopt.alert_webhook (
    name      text PRIMARY KEY CHECK (name <> ''),
    -- no blank or line end: nothing that could become a header or a second request
    url       text NOT NULL CHECK (url ~ '^https?://[^[:space:][:cntrl:]]+$' AND length(url) <= 2000),
    headers   jsonb NOT NULL DEFAULT '{"Content-Type": "application/json"}'
        CHECK (jsonb_typeof(headers) = 'object' AND NOT headers @? '$.* ? (@.type() != "string")' AND headers::text !~ '\\([nrtbf]|u00[01])'),
    min_level text NOT NULL DEFAULT 'warning' CHECK (min_level IN ('warning', 'critical')),
    enabled   boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE dbopt.alert_webhook IS 'where alerts are sent: alert_webhook_set, alert_webhook_remove. Headers may hold secrets: superusers only';
SELECT pg_catalog.pg_extension_config_dump('dbopt.alert_webhook', '');
REVOKE ALL ON dbopt.alert_webhook FROM PUBLIC;

CREATE TABLE dbopt.alert_outbox (
    outbox_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    webhook    text NOT NULL REFERENCES dbopt.alert_webhook ON DELETE CASCADE,
    body       jsonb NOT NULL,
    attempts   int NOT NULL DEFAULT 0,
    retry_at   timestamptz,
    sent_at    timestamptz,
    request_id bigint,
    error      text
);
CREATE INDEX alert_outbox_waiting ON dbopt.alert_outbox (outbox_id) WHERE sent_at IS NULL;
CREATE INDEX alert_outbox_webhook ON dbopt.alert_outbox (webhook);
COMMENT ON TABLE dbopt.alert_outbox IS
    'alerts on their way to webhooks; request_id is pg_net''s. Without pg_net take rows WHERE sent_at IS NULL FOR UPDATE SKIP LOCKED and set sent_at';
REVOKE ALL ON dbopt.alert_outbox FROM PUBLIC;
GRANT SELECT ON dbopt.alert_outbox TO pg_monitor;

CREATE FUNCTION dbopt.alert_webhook_set(name text, url text, headers jsonb DEFAULT NULL, min_level text DEFAULT 'warning', enabled boolean DEFAULT true)
RETURNS void LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO dbopt.alert_webhook AS w (name, url, headers, min_level, enabled)
    VALUES (alert_webhook_set.name, alert_webhook_set.url, coalesce(alert_webhook_set.headers, '{"Content-Type": "application/json"}'),
            alert_webhook_set.min_level, alert_webhook_set.enabled)
    ON CONFLICT (name) DO UPDATE SET url = excluded.url, headers = coalesce(alert_webhook_set.headers, w.headers),
        min_level = excluded.min_level, enabled = excluded.enabled $$;
COMMENT ON FUNCTION dbopt.alert_webhook_set(text, text, jsonb, text, boolean) IS
    'sends alerts to this address as JSON (through pg_net where it is installed, else see dbopt.alert_outbox); an existing one is changed';

CREATE FUNCTION dbopt.alert_webhook_remove(name text) RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM dbopt.alert_webhook w WHERE w.name = alert_webhook_remove.name;
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('webhook "%s" does not exist', name), HINT = 'SELECT name FROM dbopt.alert_webhook lists them.';
    END IF;
END $$;
COMMENT ON FUNCTION dbopt.alert_webhook_remove(text) IS 'sends no more alerts there; what is on its way is forgotten';

CREATE FUNCTION dbopt._alert_send() RETURNS bigint LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'dbopt_alert_send';
COMMENT ON FUNCTION dbopt._alert_send() IS 'internal: hands the outbox to pg_net; returns how many';
REVOKE ALL ON FUNCTION dbopt.alert_webhook_set(text, text, jsonb, text, boolean), dbopt.alert_webhook_remove(text), dbopt._alert_send() FROM PUBLIC;

CREATE VIEW dbopt.alerts AS
SELECT a.rule, a.level, timestamptz '2000-01-01 00:00:00+00' + pg_catalog.make_interval(secs => a.since) AS since,
       a.value, r.unit, r.warn, r.critical, a.detail, r.advice, r.muted_until > pg_catalog.now() AS muted, r.muted_until, r.mute_reason
FROM dbopt.alert_state a JOIN dbopt.alert_rules r USING (rule) WHERE a.level <> 'ok'
ORDER BY a.level = 'critical' DESC, a.since;
COMMENT ON VIEW dbopt.alerts IS 'alerts that are raised now; their past is in dbopt.alert_event';

REVOKE ALL ON FUNCTION dbopt.alert_check(text), dbopt.alert_set(text, float8, float8, interval, boolean), dbopt.alert_reset(text),
    dbopt.alert_mute(text, timestamptz, text) FROM PUBLIC;
GRANT SELECT ON dbopt.alert_state, dbopt.alert_event, dbopt.alert_rules, dbopt.alerts TO pg_monitor;
