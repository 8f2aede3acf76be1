-- title: learning: events of a week by type
-- weight: 0.5
-- least_ratio: 5
-- most_ms: 200
-- claim: time series 5-10x
SELECT event_type, count(*), count(DISTINCT user_id) FROM learning.analytics_events
WHERE timestamp >= now() - interval '7 days' GROUP BY event_type;
