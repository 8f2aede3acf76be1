-- title: platform: administrators of an organization
-- weight: 4
-- least_ratio: 10
-- most_ms: 50
-- claim: lookup 10-100x
\set o random(1, :corgs)
SELECT id, email FROM platform.users
WHERE organization_id = :o AND role = 'admin' AND status = 'ACTIVE' AND deleted_at IS NULL;
