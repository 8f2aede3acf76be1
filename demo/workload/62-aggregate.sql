-- title: platform: event stream of an aggregate
-- weight: 4
-- least_ratio: 10
-- most_ms: 50
-- claim: lookup 10-100x
\set a random(1, :pevents / 8)
SELECT version, event_type, payload FROM platform.events
WHERE aggregate_id = md5('aggregate:a')::uuid ORDER BY version;
