-- title: learning: session check
-- weight: 12
-- least_ratio: 10
-- most_ms: 50
-- claim: lookup 10-100x, below 50 ms
\set s random(1, :sessions)
SELECT user_id FROM learning.user_sessions WHERE token = md5('token:s') AND expires_at > now();
