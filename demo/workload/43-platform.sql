-- title: publishing: a platform's last 100 posts
-- weight: 2
-- least_ratio: 10
-- most_ms: 50
-- claim: lookup 10-100x
SELECT count(*), avg(engagement) FROM (
    SELECT engagement FROM publishing.published_posts WHERE platform = 'instagram'
    ORDER BY published_at DESC LIMIT 100) p;
