-- title: learning: course performance (matview)
-- weight: 0.5
-- least_ratio: 14
-- most_ms: 200
-- claim: 2.5 s to 180 ms, 14x
SELECT course_id, total_enrollments, completion_rate_percent, average_progress
FROM learning.mv_course_performance ORDER BY total_enrollments DESC LIMIT 50;
