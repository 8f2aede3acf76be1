-- title: campaign: campaigns to send next
-- weight: 3
-- least_ratio: 6.7
-- most_ms: 100
-- claim: 85 % (300 to 45 ms)
SELECT "id", "name", "nextScheduled" FROM campaign."Campaign"
WHERE "status" = 'ACTIVE' AND "nextScheduled" >= now() ORDER BY "nextScheduled" LIMIT 50;
