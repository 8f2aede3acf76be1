-- title: social: activity of a workspace (matview)
-- weight: 2
-- least_ratio: 10
-- most_ms: 10
-- claim: 10-100x, below 10 ms
\set w random(1, :workspaces)
SELECT day, posts, published, scheduled, failed FROM social.mv_daily_workspace_activity
WHERE workspace_id = :w AND day >= current_date - 30 ORDER BY day;
