-- title: publishing: recent posts
-- weight: 6
-- least_ratio: 10
-- most_ms: 50
-- claim: lookup 10-100x
\set b random(1, :businesses)
SELECT id, platform, content, published_at FROM publishing.published_posts
WHERE business_id = :b ORDER BY published_at DESC LIMIT 10;
