-- title: learning: my active courses
-- weight: 8
-- least_ratio: 10
-- most_ms: 50
-- claim: lookup 10-100x, below 50 ms
\set u random(1, :users)
SELECT e.course_id, c.title, e.progress
FROM learning.enrollments e JOIN learning.courses c ON c.id = e.course_id
WHERE e.user_id = 'u:u' AND e.status = 'ACTIVE';
