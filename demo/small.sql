-- Three smaller applications: a publishing tool (schema publishing), a campaign tool written with
-- Prisma and its quoted names (schema campaign), an event-sourced platform (schema platform).
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT greatest(200, 30000 * :scale)::int    AS businesses,
       greatest(400, 100000 * :scale)::int   AS accounts,
       greatest(1000, 300000 * :scale)::int  AS published,
       greatest(100, 80000 * :scale)::int    AS organizations,
       greatest(200, 40000 * :scale)::int    AS users,
       greatest(400, 120000 * :scale)::int   AS campaigns,
       greatest(400, 100000 * :scale)::int   AS contents,
       greatest(600, 150000 * :scale)::int   AS approvals,
       greatest(1000, 400000 * :scale)::int  AS analytics,
       greatest(1000, 300000 * :scale)::int  AS activities,
       greatest(1000, 400000 * :scale)::int  AS events,
       greatest(300, 80000 * :scale)::int    AS keys \gset
SELECT setseed(0.77);

CREATE SCHEMA publishing;
CREATE TABLE publishing.social_accounts (
    id int, business_id int NOT NULL, platform text NOT NULL, platform_user_id text NOT NULL,
    is_active boolean NOT NULL, access_token text NOT NULL);
CREATE TABLE publishing.published_posts (
    id int, business_id int NOT NULL, platform text NOT NULL, content text NOT NULL, engagement int NOT NULL,
    published_at timestamptz NOT NULL);
INSERT INTO publishing.social_accounts
SELECT i, 1 + floor(:businesses * power(random(), 1.3))::int,
       (ARRAY['linkedin', 'twitter', 'facebook', 'instagram'])[1 + floor(random() * 4)::int],
       'ext' || i, random() < 0.9, md5('access' || i)
FROM generate_series(1, :accounts) i;
INSERT INTO publishing.published_posts
SELECT i, 1 + floor(:businesses * power(random(), 1.8))::int,
       (ARRAY['linkedin', 'twitter', 'facebook', 'instagram'])[1 + floor(4 * power(random(), 1.5))::int],
       'Post number ' || i || ' of a long campaign about growth', floor(1000 * power(random(), 4))::int,
       now() - interval '365 days' * (1 - i::float8 / :published)
FROM generate_series(1, :published) i;
ALTER TABLE publishing.social_accounts ADD PRIMARY KEY (id);
ALTER TABLE publishing.published_posts ADD PRIMARY KEY (id);

CREATE SCHEMA campaign;
CREATE TABLE campaign."Organization" (
    "id" text, "clerkOrganizationId" text NOT NULL, "name" text NOT NULL, "createdAt" timestamptz NOT NULL);
CREATE TABLE campaign."User" ("id" text, "organizationId" text NOT NULL, "email" text NOT NULL);
CREATE TABLE campaign."Campaign" (
    "id" text, "organizationId" text NOT NULL, "name" text NOT NULL, "status" text NOT NULL,
    "nextScheduled" timestamptz, "createdAt" timestamptz NOT NULL);
CREATE TABLE campaign."Content" (
    "id" text, "campaignId" text NOT NULL, "authorId" text NOT NULL, "title" text NOT NULL, "status" text NOT NULL);
CREATE TABLE campaign."ContentApproval" (
    "id" text, "contentId" text NOT NULL, "assignedTo" text NOT NULL, "status" text NOT NULL,
    "createdAt" timestamptz NOT NULL);
CREATE TABLE campaign."Analytics" (
    "id" text, "campaignId" text NOT NULL, "emailsSent" int NOT NULL, "opens" int NOT NULL,
    "openRate" float8 NOT NULL, "createdAt" timestamptz NOT NULL);
CREATE TABLE campaign."UserActivity" (
    "id" text, "userId" text NOT NULL, "action" text NOT NULL, "createdAt" timestamptz NOT NULL);
INSERT INTO campaign."Organization"
SELECT 'org' || i, 'clerk_' || i, 'Organization ' || i, now() - random() * interval '700 days'
FROM generate_series(1, :organizations) i;
INSERT INTO campaign."User"
SELECT 'user' || i, 'org' || 1 + floor(:organizations * random())::int, 'person' || i || '@example.com'
FROM generate_series(1, :users) i;
INSERT INTO campaign."Campaign"
SELECT 'camp' || i, 'org' || 1 + floor(:organizations * power(random(), 1.5))::int, 'Campaign ' || i, s,
       CASE WHEN s IN ('ACTIVE', 'PAUSED') THEN now() + (random() - 0.3) * interval '30 days' END,
       now() - random() * interval '700 days'
FROM (SELECT i, (ARRAY['DRAFT', 'DRAFT', 'ACTIVE', 'PAUSED', 'COMPLETED', 'COMPLETED', 'COMPLETED',
                       'COMPLETED', 'ARCHIVED', 'ARCHIVED'])[1 + floor(random() * 10)::int] AS s
      FROM generate_series(1, :campaigns) i) c;
INSERT INTO campaign."Content"
SELECT 'content' || i, 'camp' || 1 + floor(:campaigns * power(random(), 1.3))::int,
       'user' || 1 + floor(:users * power(random(), 1.3))::int, 'Content ' || i,
       (ARRAY['DRAFT', 'REVIEW', 'APPROVED', 'PUBLISHED'])[1 + floor(random() * 4)::int]
FROM generate_series(1, :contents) i;
INSERT INTO campaign."ContentApproval"
SELECT 'approval' || i, 'content' || 1 + floor(:contents * random())::int,
       'user' || 1 + floor(:users * power(random(), 1.5))::int,
       (ARRAY['PENDING', 'APPROVED', 'APPROVED', 'APPROVED', 'REJECTED'])[1 + floor(random() * 5)::int],
       now() - interval '365 days' * (1 - i::float8 / :approvals)
FROM generate_series(1, :approvals) i;
INSERT INTO campaign."Analytics"
SELECT 'an' || i, 'camp' || 1 + floor(:campaigns * power(random(), 1.5))::int, 1000 + floor(random() * 9000)::int,
       floor(random() * 1000)::int, random(), now() - interval '365 days' * (1 - i::float8 / :analytics)
FROM generate_series(1, :analytics) i;
INSERT INTO campaign."UserActivity"
SELECT 'act' || i, 'user' || 1 + floor(:users * power(random(), 1.5))::int,
       (ARRAY['OPENED', 'EDITED', 'COMMENTED', 'APPROVED'])[1 + floor(random() * 4)::int],
       now() - interval '365 days' * (1 - i::float8 / :activities)
FROM generate_series(1, :activities) i;
ALTER TABLE campaign."Organization" ADD PRIMARY KEY ("id");
ALTER TABLE campaign."User" ADD PRIMARY KEY ("id");
ALTER TABLE campaign."Campaign" ADD PRIMARY KEY ("id");
ALTER TABLE campaign."Content" ADD PRIMARY KEY ("id");
ALTER TABLE campaign."ContentApproval" ADD PRIMARY KEY ("id");
ALTER TABLE campaign."Analytics" ADD PRIMARY KEY ("id");
ALTER TABLE campaign."UserActivity" ADD PRIMARY KEY ("id");

CREATE SCHEMA platform;
CREATE TABLE platform.organizations (
    id int, name text NOT NULL, domain text, status text NOT NULL, created_at timestamptz NOT NULL,
    deleted_at timestamptz);
CREATE TABLE platform.users (
    id int, organization_id int NOT NULL, email text NOT NULL, first_name text NOT NULL, last_name text NOT NULL,
    status text NOT NULL, role text NOT NULL, last_login_at timestamptz, deleted_at timestamptz);
CREATE TABLE platform.events (
    id bigint, aggregate_id uuid NOT NULL, version int NOT NULL, organization_id int NOT NULL,
    event_type text NOT NULL, correlation_id uuid NOT NULL, payload jsonb NOT NULL,
    created_at timestamptz NOT NULL, processed_at timestamptz);
CREATE TABLE platform.api_keys (
    id int, user_id int NOT NULL, key_hash text NOT NULL, status text NOT NULL, expires_at timestamptz NOT NULL,
    last_used_at timestamptz, use_count int NOT NULL);
INSERT INTO platform.organizations
SELECT i, initcap((ARRAY['north', 'south', 'east', 'west', 'blue', 'green', 'red', 'silver'])[1 + floor(random() * 8)::int]
           || ' ' || substr(md5('org' || i), 1, 6)) || ' ' || (ARRAY['Labs', 'Works', 'Group', 'Systems'])[1 + i % 4],
       CASE WHEN random() < 0.4 THEN 'org' || i || '.example.com' END,
       (ARRAY['ACTIVE', 'ACTIVE', 'ACTIVE', 'SUSPENDED'])[1 + floor(random() * 4)::int],
       now() - random() * interval '900 days', CASE WHEN random() < 0.1 THEN now() END
FROM generate_series(1, :organizations) i;
INSERT INTO platform.users
SELECT i, 1 + floor(:organizations * power(random(), 1.5))::int, 'Person' || i || '@Example.com',
       'First' || i % 997, 'Last' || i % 4999,
       (ARRAY['ACTIVE', 'ACTIVE', 'ACTIVE', 'INVITED', 'LOCKED'])[1 + floor(random() * 5)::int],
       (ARRAY['member', 'member', 'member', 'member', 'member', 'member', 'admin', 'owner'])[1 + floor(random() * 8)::int],
       now() - random() * interval '90 days', CASE WHEN random() < 0.05 THEN now() END
FROM generate_series(1, :users * 3) i;
INSERT INTO platform.events
SELECT i, md5('aggregate' || 1 + floor(:events / 8 * power(random(), 1.3))::int)::uuid, i % 20,
       1 + floor(:organizations * power(random(), 2))::int,
       (ARRAY['TestCreated', 'TestStarted', 'TestFinished', 'UserInvited', 'UserJoined', 'KeyRotated'])[1 + floor(random() * 6)::int],
       md5('correlation' || i / 3)::uuid, jsonb_build_object('n', i),
       now() - interval '365 days' * (1 - i::float8 / :events),
       CASE WHEN random() > 0.005 THEN now() END
FROM generate_series(1, :events) i;
INSERT INTO platform.api_keys
SELECT i, 1 + floor(:users * 3 * random())::int, md5('key' || i),
       (ARRAY['ACTIVE', 'ACTIVE', 'ACTIVE', 'REVOKED'])[1 + floor(random() * 4)::int],
       now() + (random() - 0.3) * interval '400 days', now() - random() * interval '90 days',
       floor(10000 * power(random(), 4))::int
FROM generate_series(1, :keys) i;
ALTER TABLE platform.organizations ADD PRIMARY KEY (id);
ALTER TABLE platform.users ADD PRIMARY KEY (id);
ALTER TABLE platform.events ADD PRIMARY KEY (id);
ALTER TABLE platform.api_keys ADD PRIMARY KEY (id);

CREATE TABLE publishing._sizes AS
SELECT * FROM (VALUES ('businesses', :businesses), ('accounts', :accounts), ('corgs', :organizations),
                      ('cusers', :users), ('ccampaigns', :campaigns), ('pevents', :events),
                      ('keys', :keys)) AS s (name, n);
