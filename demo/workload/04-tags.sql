-- title: learning: courses by tag
-- weight: 3
-- least_ratio: 2
-- most_ms: 100
-- claim: 50-90 % faster
\set k random_zipfian(1, 200, 1.2)
SELECT id, title, rating FROM learning.courses
WHERE tags @> ARRAY['tag:k'] AND status = 'PUBLISHED' ORDER BY rating DESC LIMIT 20;
