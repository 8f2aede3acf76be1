-- title: social: audit log of a week
-- weight: 0.5
-- least_ratio: 5
-- most_ms: 200
-- claim: time series 5-10x
SELECT action, severity, count(*) FROM social.security_audit_logs
WHERE created_at >= now() - interval '7 days' GROUP BY action, severity;
