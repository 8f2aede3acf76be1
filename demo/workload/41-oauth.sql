-- title: publishing: account by external id
-- weight: 6
-- least_ratio: 10
-- most_ms: 50
-- claim: lookup 10-100x
\set a random(1, :accounts)
SELECT id, business_id FROM publishing.social_accounts
WHERE platform = 'twitter' AND platform_user_id = 'ext:a';
