-- title: learning: last events of a course (JSON)
-- weight: 1
-- least_ratio: 2
-- most_ms: 200
-- claim: 50-90 % faster
\set c random(1, :courses)
SELECT user_id, event_type, timestamp FROM learning.analytics_events
WHERE data @> '{"course_id": "c:c"}' AND timestamp >= now() - interval '60 days'
ORDER BY timestamp DESC LIMIT 20;
