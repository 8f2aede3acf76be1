-- title: campaign: analytics dashboard
-- weight: 4
-- least_ratio: 6.25
-- most_ms: 200
-- claim: 84 % (500 to 80 ms)
\set c random(1, :ccampaigns)
SELECT sum("emailsSent"), sum("opens"), avg("openRate") FROM campaign."Analytics"
WHERE "campaignId" = 'camp:c' AND "createdAt" >= now() - interval '180 days';
