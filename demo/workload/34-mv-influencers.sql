-- title: social: influencers by return (matview)
-- weight: 2
-- least_ratio: 10
-- most_ms: 10
-- claim: 10-100x, below 10 ms
\set w random(1, :workspaces)
SELECT influencer_id, collaborations, cost, revenue, roi_percent FROM social.mv_influencer_metrics
WHERE workspace_id = :w ORDER BY roi_percent DESC NULLS LAST LIMIT 10;
