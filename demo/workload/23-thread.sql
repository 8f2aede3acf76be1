-- title: social: messages of a conversation
-- weight: 8
-- least_ratio: 10
-- most_ms: 50
-- claim: lookup 10-100x, below 50 ms
\set c random(1, :conversations)
SELECT direction, body, created_at FROM social.messages WHERE conversation_id = :c ORDER BY created_at;
