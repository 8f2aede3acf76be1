-- title: social: inbox
-- weight: 6
-- least_ratio: 2
-- most_ms: 50
-- claim: 50-90 % faster
\set w random(1, :workspaces)
SELECT id, platform, priority, updated_at FROM social.conversations
WHERE workspace_id = :w AND status = 'OPEN' AND priority = 'URGENT' AND sentiment = 'NEGATIVE'
ORDER BY updated_at DESC LIMIT 25;
