-- The social media platform: workspaces, accounts, campaigns, posts, conversations, messages, audit
-- logs, mentions, influencers and their collaborations. psql -v scale=1 -f social.sql
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT greatest(20, 200 * :scale)::int       AS workspaces,
       greatest(50, 2000 * :scale)::int      AS users,
       greatest(50, 4000 * :scale)::int      AS campaigns,
       greatest(1000, 500000 * :scale)::int  AS posts,
       greatest(400, 200000 * :scale)::int   AS conversations,
       greatest(800, 400000 * :scale)::int   AS messages,
       greatest(1000, 600000 * :scale)::int  AS audit_logs,
       greatest(1000, 600000 * :scale)::int  AS mentions,
       greatest(50, 4000 * :scale)::int      AS influencers,
       greatest(100, 40000 * :scale)::int    AS collaborations \gset
SELECT setseed(0.17);

CREATE SCHEMA social;
CREATE TABLE social.workspaces (id int, name text NOT NULL, plan text NOT NULL, created_at timestamptz NOT NULL);
CREATE TABLE social.users (id int, workspace_id int NOT NULL, email text NOT NULL, role text NOT NULL);
CREATE TABLE social.campaigns (
    id int, workspace_id int NOT NULL, name text NOT NULL, status text NOT NULL, tags text[] NOT NULL);
CREATE TABLE social.social_accounts (
    id int, workspace_id int NOT NULL, platform text NOT NULL, handle text NOT NULL, is_active boolean NOT NULL);
CREATE TABLE social.posts (
    id bigint, workspace_id int NOT NULL, campaign_id int, author_id int NOT NULL, platform text NOT NULL,
    status text NOT NULL, content text NOT NULL, tags text[] NOT NULL, ai_generated boolean NOT NULL,
    scheduled_at timestamptz, published_at timestamptz, impressions int NOT NULL, likes int NOT NULL,
    shares int NOT NULL, created_at timestamptz NOT NULL);
CREATE TABLE social.conversations (
    id bigint, workspace_id int NOT NULL, platform text NOT NULL, status text NOT NULL, priority text NOT NULL,
    sentiment text NOT NULL, response_seconds int, sla_deadline timestamptz, created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL);
CREATE TABLE social.messages (
    id bigint, conversation_id bigint NOT NULL, direction text NOT NULL, body text NOT NULL,
    created_at timestamptz NOT NULL);
CREATE TABLE social.security_audit_logs (
    id bigint, workspace_id int NOT NULL, user_id int, action text NOT NULL, severity text NOT NULL,
    ip_address inet, details jsonb NOT NULL, created_at timestamptz NOT NULL);
CREATE TABLE social.listening_mentions (
    id bigint, workspace_id int NOT NULL, platform text NOT NULL, author text NOT NULL, content text NOT NULL,
    sentiment text NOT NULL, reach int NOT NULL, engagement int NOT NULL, is_influencer boolean NOT NULL,
    mentioned_at timestamptz NOT NULL);
CREATE TABLE social.influencers (
    id int, workspace_id int NOT NULL, handle text NOT NULL, platform text NOT NULL, followers int NOT NULL);
CREATE TABLE social.collaborations (
    id int, influencer_id int NOT NULL, status text NOT NULL, cost numeric(10, 2) NOT NULL,
    revenue numeric(10, 2) NOT NULL, started_at timestamptz NOT NULL);

INSERT INTO social.workspaces
SELECT i, 'Workspace ' || i, (ARRAY['free', 'pro', 'enterprise'])[1 + i % 3], now() - interval '900 days'
FROM generate_series(1, :workspaces) i;
INSERT INTO social.users
SELECT i, 1 + floor(:workspaces * power(random(), 2))::int, 'member' || i || '@example.com', 'EDITOR'
FROM generate_series(1, :users) i;
INSERT INTO social.campaigns
SELECT i, 1 + (i - 1) % :workspaces, 'Campaign ' || i,
       (ARRAY['ACTIVE', 'PAUSED', 'FINISHED'])[1 + floor(random() * 3)::int],
       ARRAY['tag' || 1 + floor(300 * power(random(), 2))::int]
FROM generate_series(1, :campaigns) i;
INSERT INTO social.social_accounts
SELECT i, 1 + (i - 1) % :workspaces, (ARRAY['x', 'facebook', 'instagram', 'linkedin', 'tiktok'])[1 + i % 5],
       'handle' || i, random() < 0.9
FROM generate_series(1, :workspaces * 5) i;

-- A quarter is still to publish: a backlog that is due, and posts for the days to come.
INSERT INTO social.posts
SELECT i, p.w, p.w + :workspaces * floor(random() * :campaigns / :workspaces * 0.999)::int,
       1 + floor(:users * random())::int,
       (ARRAY['x', 'x', 'instagram', 'instagram', 'facebook', 'linkedin', 'tiktok'])[1 + floor(random() * 7)::int],
       p.status, 'Post ' || i || ' on topic' || 1 + floor(500 * power(random(), 2))::int || ' and topic'
           || 1 + floor(500 * power(random(), 2))::int || ': ' || repeat('news about our product and team ', 2),
       ARRAY['tag' || 1 + floor(300 * power(random(), 2))::int, 'tag' || 1 + floor(300 * power(random(), 2))::int],
       random() < 0.3,
       CASE p.status WHEN 'PUBLISHED' THEN p.at WHEN 'FAILED' THEN p.at
                     WHEN 'SCHEDULED' THEN now() - interval '5 days' + random() * interval '6 days' END,
       CASE p.status WHEN 'PUBLISHED' THEN p.at + random() * interval '30 seconds' END,
       floor(10000 * power(random(), 4))::int, floor(1000 * power(random(), 4))::int,
       floor(100 * power(random(), 4))::int, p.at - interval '1 day'
FROM (SELECT i, 1 + floor(:workspaces * power(random(), 1.5))::int AS w,
             CASE WHEN i > :posts * 0.8 THEN 'SCHEDULED'
                  ELSE (ARRAY['PUBLISHED', 'PUBLISHED', 'PUBLISHED', 'PUBLISHED', 'PUBLISHED', 'PUBLISHED',
                              'PUBLISHED', 'PUBLISHED', 'DRAFT', 'FAILED'])[1 + floor(random() * 10)::int] END AS status,
             now() - interval '720 days' * (1 - i::float8 / :posts) AS at
      FROM generate_series(1, :posts) i) p;

INSERT INTO social.conversations
SELECT i, 1 + floor(:workspaces * power(random(), 1.5))::int,
       (ARRAY['x', 'instagram', 'facebook', 'linkedin'])[1 + floor(random() * 4)::int], c.status,
       (ARRAY['LOW', 'NORMAL', 'NORMAL', 'NORMAL', 'HIGH', 'URGENT'])[1 + floor(random() * 6)::int],
       (ARRAY['POSITIVE', 'NEUTRAL', 'NEUTRAL', 'NEGATIVE'])[1 + floor(random() * 4)::int],
       CASE WHEN random() < 0.8 THEN floor(7200 * power(random(), 3))::int END,
       c.at + interval '4 hours', c.at, c.at + random() * interval '2 days'
FROM (SELECT i, CASE WHEN i > :conversations * 0.97 THEN 'OPEN'
                     ELSE (ARRAY['OPEN', 'CLOSED', 'CLOSED', 'CLOSED', 'CLOSED', 'CLOSED', 'CLOSED', 'RESOLVED',
                                 'RESOLVED', 'RESOLVED', 'RESOLVED', 'PENDING'])[1 + floor(random() * 12)::int] END AS status,
             now() - interval '720 days' * (1 - i::float8 / :conversations) AS at
      FROM generate_series(1, :conversations) i) c;
INSERT INTO social.messages
SELECT i, 1 + floor(:conversations * (i::float8 / :messages) * 0.999)::bigint,
       CASE WHEN i % 2 = 0 THEN 'IN' ELSE 'OUT' END, 'Hello, this is message ' || i || ' of the thread.',
       now() - interval '720 days' * (1 - i::float8 / :messages)
FROM generate_series(1, :messages) i;

INSERT INTO social.security_audit_logs
SELECT i, 1 + floor(:workspaces * power(random(), 1.5))::int, 1 + floor(:users * random())::int,
       (ARRAY['LOGIN', 'LOGIN', 'LOGIN', 'LOGOUT', 'TOKEN_REFRESH', 'POST_PUBLISHED', 'ROLE_CHANGED',
              'LOGIN_FAILED', 'EXPORT', 'API_KEY_CREATED'])[1 + floor(10 * power(random(), 1.3))::int],
       (ARRAY['INFO', 'INFO', 'INFO', 'INFO', 'WARNING', 'CRITICAL'])[1 + floor(6 * power(random(), 1.4))::int],
       ('10.' || i % 200 || '.' || i % 7 || '.' || i % 250)::inet, jsonb_build_object('request', i),
       now() - interval '790 days' * (1 - i::float8 / :audit_logs)
FROM generate_series(1, :audit_logs) i;
INSERT INTO social.listening_mentions
SELECT i, 1 + floor(:workspaces * power(random(), 1.5))::int,
       (ARRAY['x', 'instagram', 'facebook', 'reddit', 'news'])[1 + floor(random() * 5)::int],
       'author' || floor(50000 * power(random(), 3))::int, 'They said something about brand ' || i % 500,
       (ARRAY['POSITIVE', 'NEUTRAL', 'NEUTRAL', 'NEGATIVE'])[1 + floor(random() * 4)::int],
       floor(100000 * power(random(), 5))::int, floor(1000 * power(random(), 4))::int, random() < 0.03,
       now() - interval '790 days' * (1 - i::float8 / :mentions)
FROM generate_series(1, :mentions) i;
INSERT INTO social.influencers
SELECT i, 1 + (i - 1) % :workspaces, 'influencer' || i,
       (ARRAY['x', 'instagram', 'tiktok', 'youtube'])[1 + i % 4], floor(1000000 * power(random(), 4))::int
FROM generate_series(1, :influencers) i;
INSERT INTO social.collaborations
SELECT i, 1 + floor(:influencers * power(random(), 1.5))::int,
       (ARRAY['PROPOSED', 'ACTIVE', 'COMPLETED', 'COMPLETED', 'COMPLETED'])[1 + floor(random() * 5)::int],
       (random() * 5000)::numeric(10, 2), (random() * 15000)::numeric(10, 2), now() - random() * interval '700 days'
FROM generate_series(1, :collaborations) i;

ALTER TABLE social.workspaces ADD PRIMARY KEY (id);
ALTER TABLE social.users ADD PRIMARY KEY (id);
ALTER TABLE social.campaigns ADD PRIMARY KEY (id);
ALTER TABLE social.social_accounts ADD PRIMARY KEY (id);
ALTER TABLE social.posts ADD PRIMARY KEY (id);
ALTER TABLE social.conversations ADD PRIMARY KEY (id);
ALTER TABLE social.messages ADD PRIMARY KEY (id);
ALTER TABLE social.security_audit_logs ADD PRIMARY KEY (id, created_at);
ALTER TABLE social.listening_mentions ADD PRIMARY KEY (id, mentioned_at);
ALTER TABLE social.influencers ADD PRIMARY KEY (id);
ALTER TABLE social.collaborations ADD PRIMARY KEY (id);

CREATE VIEW social.mv_daily_post_metrics AS
SELECT workspace_id, (published_at AT TIME ZONE 'UTC')::date AS day,
       count(*) AS posts, count(DISTINCT platform) AS platforms, count(DISTINCT campaign_id) AS campaigns,
       count(*) FILTER (WHERE ai_generated) AS ai_generated_posts,
       sum(impressions) AS impressions, sum(likes) AS likes, sum(shares) AS shares
FROM social.posts
WHERE status = 'PUBLISHED'
GROUP BY workspace_id, (published_at AT TIME ZONE 'UTC')::date;

CREATE VIEW social.mv_daily_workspace_activity AS
SELECT workspace_id, (created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS posts,
       count(*) FILTER (WHERE status = 'PUBLISHED') AS published,
       count(*) FILTER (WHERE status = 'SCHEDULED') AS scheduled,
       count(*) FILTER (WHERE status = 'FAILED') AS failed,
       count(*) FILTER (WHERE status = 'DRAFT') AS drafts
FROM social.posts
GROUP BY workspace_id, (created_at AT TIME ZONE 'UTC')::date;

CREATE VIEW social.mv_conversation_metrics AS
SELECT workspace_id, platform, (created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS conversations,
       avg(response_seconds) AS avg_response_seconds,
       count(*) FILTER (WHERE status IN ('RESOLVED', 'CLOSED')) AS resolved,
       count(*) FILTER (WHERE sentiment = 'POSITIVE') AS positive,
       count(*) FILTER (WHERE sentiment = 'NEGATIVE') AS negative
FROM social.conversations
GROUP BY workspace_id, platform, (created_at AT TIME ZONE 'UTC')::date;

CREATE VIEW social.mv_listening_sentiment_trends AS
SELECT workspace_id, (mentioned_at AT TIME ZONE 'UTC')::date AS day, count(*) AS mentions,
       count(*) FILTER (WHERE sentiment = 'POSITIVE') AS positive,
       count(*) FILTER (WHERE sentiment = 'NEGATIVE') AS negative,
       sum(reach) AS reach, sum(engagement) AS engagement,
       count(*) FILTER (WHERE is_influencer) AS influencer_mentions
FROM social.listening_mentions
GROUP BY workspace_id, (mentioned_at AT TIME ZONE 'UTC')::date;

CREATE VIEW social.mv_influencer_metrics AS
SELECT i.id AS influencer_id, i.workspace_id, i.followers, count(c.id) AS collaborations,
       count(c.id) FILTER (WHERE c.status = 'COMPLETED') AS completed,
       sum(c.cost) AS cost, sum(c.revenue) AS revenue,
       round((sum(c.revenue) - sum(c.cost)) / nullif(sum(c.cost), 0) * 100, 2) AS roi_percent
FROM social.influencers i
LEFT JOIN social.collaborations c ON c.influencer_id = i.id
GROUP BY i.id, i.workspace_id, i.followers;

CREATE TABLE social._sizes AS
SELECT * FROM (VALUES ('workspaces', :workspaces), ('campaigns', :campaigns), ('posts', :posts),
                      ('conversations', :conversations), ('influencers', :influencers)) AS s (name, n);
