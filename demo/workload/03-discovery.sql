-- title: learning: course discovery
-- weight: 6
-- least_ratio: 8.3
-- most_ms: 100
-- claim: 500 to 60 ms, below 100 ms
\set k random(1, 12)
SELECT id, title, rating FROM learning.courses
WHERE status = 'PUBLISHED' AND category = (ARRAY['programming', 'data', 'design', 'business', 'marketing',
    'languages', 'science', 'music', 'health', 'law', 'writing', 'engineering'])[:k]
  AND difficulty = 'ADVANCED'
ORDER BY rating DESC LIMIT 20;
