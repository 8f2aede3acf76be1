-- Health, alerts, history and pools as a user meets them.
\set SHOW_CONTEXT never
SET dbopt.slow_query_threshold = '1 h';

-- the contract: columns, tiers, statuses
SELECT check_name, status, unit, warn_at, critical_at FROM dbopt.health() WHERE check_name IN ('indexes_expected_missing', 'not_preloaded', 'partitions_none_ahead') ORDER BY 1;
SELECT count(*) >= 60 AS enough, count(*) FILTER (WHERE status NOT IN ('ok', 'warning', 'critical', 'skipped', 'error')) AS other,
       count(*) FILTER (WHERE status IN ('warning', 'critical') AND advice IS NULL) AS without_advice FROM dbopt.health('ok', 'deep');
SELECT status IN ('ok', 'warning', 'critical') AS status, ok > 10 AS ok, duration_ms >= 0 AS timed FROM dbopt.health_summary();
SELECT dbopt.health('fine');
SELECT dbopt.health('ok', 'slow');

-- rules
SELECT rule, unit, warn, critical, for_time, tier FROM dbopt.alert_rules
WHERE rule IN ('connections_used_pct', 'pool_used_pct', 'slow_statements', 'buffer_hit_pct', 'matview_staleness_hours') ORDER BY 1;
SELECT dbopt.alert_set('conections_used', warn => 1);
SELECT dbopt.alert_set('connections_used_pct', warn => 95);
SELECT dbopt.alert_mute('connections_used_pct', now() + interval '1 hour', ' ');
SELECT dbopt.alert_set('connections_used_pct', warn => 70, for_time => '2 minutes');
SELECT warn, critical, for_time, changed FROM dbopt.alert_rules WHERE rule = 'connections_used_pct';
SELECT dbopt.alert_reset('connections_used_pct');
SELECT dbopt.alert_webhook_set('bad', 'ftp://example.org');

-- a straight line ends where it ends
SELECT round(per_day::numeric, 3) AS per_day, round(days_left::numeric, 3) AS days_left, points
FROM dbopt._forecast(ARRAY(SELECT 86400.0 * d FROM generate_series(0, 9) d), ARRAY(SELECT 10.0 * d FROM generate_series(0, 9) d), 190);

-- slow statements
SELECT count(*) FROM dbopt.slow_queries;
SELECT * FROM dbopt.baseline_compare('none such');

-- pools
SELECT dbopt.pool_add('p');
SELECT dbopt.pool_add('p', 'host=/tmp password=secret');
SELECT setting, value FROM dbopt.pool_profile('test') WHERE setting IN ('min_size', 'idle_timeout', 'acquire_timeout', 'pre_ping') ORDER BY 1;
SELECT * FROM dbopt.pool_profile('moon');
