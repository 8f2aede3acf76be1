-- title: campaign: user activity
-- weight: 5
-- least_ratio: 7.2
-- most_ms: 100
-- claim: 86 % (180 to 25 ms)
\set u random(1, :cusers)
SELECT "action", "createdAt" FROM campaign."UserActivity"
WHERE "userId" = 'user:u' ORDER BY "createdAt" DESC LIMIT 30;
