-- title: social: posts by tag
-- weight: 2
-- least_ratio: 2
-- most_ms: 150
-- claim: 50-90 % faster
\set k random(100, 300)
SELECT id, platform, impressions FROM social.posts
WHERE tags @> ARRAY['tag:k'] AND status = 'PUBLISHED' ORDER BY published_at DESC LIMIT 20;
