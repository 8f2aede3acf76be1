-- title: social: mentions of a month
-- weight: 0.5
-- least_ratio: 5
-- most_ms: 200
-- claim: time series 5-10x
\set d random(30, 700)
SELECT sentiment, count(*), sum(reach) FROM social.listening_mentions
WHERE mentioned_at >= now() - interval '30 days' - :d * interval '1 day'
  AND mentioned_at < now() - :d * interval '1 day' GROUP BY sentiment;
