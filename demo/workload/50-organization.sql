-- title: campaign: organization lookup
-- weight: 8
-- least_ratio: 13.3
-- most_ms: 50
-- claim: 93 % (200 to 15 ms)
\set o random(1, :corgs)
SELECT "id", "name" FROM campaign."Organization" WHERE "clerkOrganizationId" = 'clerk_:o';
