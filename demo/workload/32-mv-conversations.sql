-- title: social: response times (matview)
-- weight: 2
-- least_ratio: 10
-- most_ms: 10
-- claim: 10-100x, below 10 ms
\set w random(1, :workspaces)
SELECT platform, sum(conversations), avg(avg_response_seconds), sum(resolved) FROM social.mv_conversation_metrics
WHERE workspace_id = :w AND day >= current_date - 90 GROUP BY platform;
