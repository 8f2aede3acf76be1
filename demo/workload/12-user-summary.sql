-- title: learning: most engaged users (matview)
-- weight: 0.5
-- least_ratio: 14
-- most_ms: 200
-- claim: 2.5 s to 180 ms, 14x
SELECT user_id, total_enrollments, completed_courses, engagement_score FROM learning.mv_user_learning_summary
ORDER BY engagement_score DESC, completed_courses DESC LIMIT 50;
