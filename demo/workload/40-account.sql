-- title: publishing: account lookup
-- weight: 8
-- least_ratio: 10
-- most_ms: 50
-- claim: lookup 10-100x
\set b random(1, :businesses)
SELECT id, platform_user_id FROM publishing.social_accounts
WHERE business_id = :b AND platform = 'linkedin' AND is_active = true LIMIT 1;
