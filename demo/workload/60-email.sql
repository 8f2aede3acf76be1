-- title: platform: user by e-mail, any case
-- weight: 6
-- least_ratio: 10
-- most_ms: 50
-- claim: lookup 10-100x
\set u random(1, 3 * :cusers)
SELECT id, role FROM platform.users WHERE lower(email) = lower('person:u@example.com') AND deleted_at IS NULL;
