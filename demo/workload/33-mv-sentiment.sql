-- title: social: sentiment trend (matview)
-- weight: 2
-- least_ratio: 10
-- most_ms: 10
-- claim: 10-100x, below 10 ms
\set w random(1, :workspaces)
SELECT day, mentions, positive, negative, reach FROM social.mv_listening_sentiment_trends
WHERE workspace_id = :w AND day >= current_date - 90 ORDER BY day;
