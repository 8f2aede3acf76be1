-- title: platform: organizations by part of the name
-- weight: 1
-- least_ratio: 2
-- most_ms: 150
-- claim: 50-90 % faster
\set o random(1, :corgs)
SELECT id, name FROM platform.organizations
WHERE name ILIKE '%' || substr(md5('org:o'), 1, 5) || '%' AND deleted_at IS NULL LIMIT 20;
