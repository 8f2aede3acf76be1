-- title: social: SLA breaches
-- weight: 3
-- least_ratio: 2
-- most_ms: 50
-- claim: 50-90 % faster
\set w random(1, :workspaces)
SELECT id, priority, sla_deadline FROM social.conversations
WHERE workspace_id = :w AND status = 'PENDING' AND sla_deadline < now() - interval '300 days'
ORDER BY sla_deadline LIMIT 50;
