-- title: platform: events by correlation
-- weight: 3
-- least_ratio: 10
-- most_ms: 50
-- claim: lookup 10-100x
\set c random(1, :pevents / 3)
SELECT id, event_type, created_at FROM platform.events WHERE correlation_id = md5('correlation:c')::uuid;
