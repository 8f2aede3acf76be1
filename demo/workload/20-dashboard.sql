-- title: social: campaign dashboard
-- weight: 4
-- least_ratio: 2
-- most_ms: 200
-- claim: 50-90 % faster
\set c random(1, :campaigns)
\set w mod(:c - 1, :workspaces) + 1
SELECT platform, count(*), sum(impressions), sum(likes) FROM social.posts
WHERE workspace_id = :w AND campaign_id = :c AND published_at >= now() - interval '90 days'
GROUP BY platform;
