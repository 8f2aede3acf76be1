-- title: learning: activity of a user
-- weight: 6
-- least_ratio: 10
-- most_ms: 50
-- claim: lookup 10-100x, below 50 ms
\set u random(1, :users)
SELECT event_type, data, timestamp FROM learning.analytics_events
WHERE user_id = 'u:u' ORDER BY timestamp DESC LIMIT 50;
