-- title: social: audit log of a workspace
-- weight: 3
-- least_ratio: 5
-- most_ms: 50
-- claim: time series 5-10x
\set w random(1, :workspaces)
SELECT user_id, action, ip_address, created_at FROM social.security_audit_logs
WHERE workspace_id = :w AND created_at >= now() - interval '30 days' ORDER BY created_at DESC LIMIT 50;
