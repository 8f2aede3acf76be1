-- title: campaign: content workflow
-- weight: 4
-- least_ratio: 7.1
-- most_ms: 100
-- claim: 86 % (250 to 35 ms)
\set u random(1, :cusers)
SELECT a."id", c."title", a."createdAt"
FROM campaign."ContentApproval" a JOIN campaign."Content" c ON c."id" = a."contentId"
WHERE a."assignedTo" = 'user:u' AND a."status" = 'PENDING' ORDER BY a."createdAt" DESC LIMIT 50;
