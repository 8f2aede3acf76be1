-- title: social: full-text search in posts
-- weight: 1
-- least_ratio: 6.7
-- most_ms: 150
-- claim: 800 to 120 ms, below 150 ms
\set a random(100, 500)
\set b random(100, 500)
SELECT id, content FROM social.posts
WHERE to_tsvector('english', content) @@ to_tsquery('english', 'topic:a & topic:b') LIMIT 20;
