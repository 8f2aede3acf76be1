-- title: social: claim and publish 10 posts
-- weight: 2
-- least_ratio: 1
-- most_ms: 50
-- claim: a million scheduled posts a day
UPDATE social.posts SET status = 'PUBLISHED', published_at = now()
WHERE id IN (SELECT id FROM social.posts WHERE status = 'SCHEDULED' AND scheduled_at <= now()
             ORDER BY scheduled_at LIMIT 10 FOR UPDATE SKIP LOCKED);
