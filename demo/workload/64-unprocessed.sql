-- title: platform: unprocessed events
-- weight: 3
-- least_ratio: 10
-- most_ms: 50
-- claim: lookup 10-100x
SELECT id, event_type FROM platform.events WHERE processed_at IS NULL ORDER BY created_at LIMIT 100;
