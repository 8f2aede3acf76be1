-- title: learning: one month of payments
-- weight: 0.5
-- least_ratio: 5
-- most_ms: 200
-- claim: time series 5-10x
\set d random(30, 700)
SELECT count(*), count(DISTINCT user_id), avg((data->>'seconds')::int) FROM learning.analytics_events
WHERE event_type = 'payment'
  AND timestamp >= now() - interval '30 days' - :d * interval '1 day' AND timestamp < now() - :d * interval '1 day';
