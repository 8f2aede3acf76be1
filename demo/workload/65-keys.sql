-- title: platform: API keys of a user
-- weight: 4
-- least_ratio: 10
-- most_ms: 50
-- claim: lookup 10-100x
\set u random(1, 3 * :cusers)
SELECT id, expires_at, last_used_at FROM platform.api_keys WHERE user_id = :u AND status = 'ACTIVE';
