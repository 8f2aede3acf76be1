-- title: learning: full-text search
-- weight: 2
-- least_ratio: 6.7
-- most_ms: 150
-- claim: 800 to 120 ms, below 150 ms
\set a random(40, 300)
SELECT id, title FROM learning.courses
WHERE to_tsvector('english', title || ' ' || description) @@ to_tsquery('english', 'python & skill:a')
ORDER BY rating DESC LIMIT 20;
