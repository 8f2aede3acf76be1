-- The learning platform: users, courses, enrollments, lessons, progress, sessions, analytics events.
-- psql -v scale=1 -f learning.sql. Seeded: the same scale gives the same rows. Skewed: few users and
-- courses get most of the traffic. Only primary keys, as an application has them before anybody cared.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SELECT greatest(50, 300 * :scale)::int     AS organizations,
       greatest(200, 60000 * :scale)::int  AS users,
       greatest(300, 120000 * :scale)::int AS sessions,
       greatest(60, 24000 * :scale)::int    AS courses,
       greatest(400, 400000 * :scale)::int AS enrollments,
       greatest(800, 800000 * :scale)::int AS progress_rows,
       greatest(1500, 1500000 * :scale)::int AS events \gset
SELECT setseed(0.42);

CREATE SCHEMA learning;
CREATE TABLE learning.organizations (id text, name text NOT NULL, created_at timestamptz NOT NULL);
CREATE TABLE learning.users (
    id text, email text NOT NULL, name text NOT NULL, role text NOT NULL, organization_id text,
    is_active boolean NOT NULL, created_at timestamptz NOT NULL, last_login_at timestamptz);
CREATE TABLE learning.user_sessions (
    id text, user_id text NOT NULL, token text NOT NULL, expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL);
CREATE TABLE learning.courses (
    id text, title text NOT NULL, description text NOT NULL, category text NOT NULL,
    difficulty text NOT NULL, status text NOT NULL, tags text[] NOT NULL, instructor_id text,
    rating numeric(3, 2), created_at timestamptz NOT NULL);
CREATE TABLE learning.lessons (
    id text, course_id text NOT NULL, position int NOT NULL, title text NOT NULL);
CREATE TABLE learning.enrollments (
    id text, user_id text NOT NULL, course_id text NOT NULL, status text NOT NULL,
    progress int NOT NULL, enrolled_at timestamptz NOT NULL, completed_at timestamptz);
CREATE TABLE learning.progress (
    id text, user_id text NOT NULL, lesson_id text NOT NULL, course_id text NOT NULL,
    status text NOT NULL, score int, updated_at timestamptz NOT NULL);
CREATE TABLE learning.analytics_events (
    id text NOT NULL, user_id text, event_type text NOT NULL, data jsonb NOT NULL,
    timestamp timestamptz NOT NULL DEFAULT now());

INSERT INTO learning.organizations
SELECT 'o' || i, 'Organization ' || i, now() - interval '900 days' + i * interval '1 hour'
FROM generate_series(1, :organizations) i;

INSERT INTO learning.users
SELECT 'u' || i, 'user' || i || '@example.com', 'User ' || i,
       (ARRAY['STUDENT', 'STUDENT', 'STUDENT', 'STUDENT', 'STUDENT', 'STUDENT', 'INSTRUCTOR',
              'INSTRUCTOR', 'MANAGER', 'ADMIN'])[1 + floor(random() * 10)::int],
       'o' || 1 + floor(:organizations * power(random(), 2))::int, random() < 0.9,
       now() - random() * interval '800 days', now() - random() * interval '60 days'
FROM generate_series(1, :users) i;

INSERT INTO learning.user_sessions
SELECT 's' || i, 'u' || 1 + floor(:users * power(random(), 2))::int, md5('token' || i),
       now() - interval '60 days' + random() * interval '90 days', now() - random() * interval '60 days'
FROM generate_series(1, :sessions) i;

-- Text of English words and of "skill1" … "skill300", the frequent ones much more frequent.
WITH vocabulary AS (
    SELECT string_to_array('learn practice project team data model cloud design security network '
        'python java database analysis statistics writing marketing finance leadership testing '
        'mobile web server language history music health science physics biology chemistry '
        'engineering art photography video game business law startup product research method', ' ')
        || (SELECT array_agg('skill' || k ORDER BY k) FROM generate_series(1, 300) k) AS w)
INSERT INTO learning.courses
SELECT 'c' || i, initcap(t.title), t.description,
       (ARRAY['programming', 'data', 'design', 'business', 'marketing', 'languages', 'science', 'music',
              'health', 'law', 'writing', 'engineering'])[1 + floor(12 * power(random(), 1.5))::int],
       (ARRAY['BEGINNER', 'BEGINNER', 'INTERMEDIATE', 'ADVANCED'])[1 + floor(random() * 4)::int],
       (ARRAY['PUBLISHED', 'PUBLISHED', 'PUBLISHED', 'PUBLISHED', 'PUBLISHED', 'PUBLISHED', 'PUBLISHED',
              'DRAFT', 'DRAFT', 'ARCHIVED'])[1 + floor(random() * 10)::int],
       ARRAY['tag' || 1 + floor(200 * power(random(), 2))::int, 'tag' || 1 + floor(200 * power(random(), 2))::int,
             'tag' || 1 + floor(200 * power(random(), 2))::int],
       'u' || 1 + floor(:users * random())::int, (2.5 + 2.5 * sqrt(random()))::numeric(3, 2),
       now() - random() * interval '800 days'
FROM generate_series(1, :courses) i,
     LATERAL (SELECT string_agg(w[1 + floor(array_length(w, 1) * power(random(), 1.6))::int], ' ')
                         FILTER (WHERE k <= 5) AS title,
                     string_agg(w[1 + floor(array_length(w, 1) * power(random(), 1.3))::int], ' ')
                         FILTER (WHERE k > 5) AS description
              FROM vocabulary, generate_series(1, 35 + i % 10) k) t;

INSERT INTO learning.lessons
SELECT 'l' || i, 'c' || 1 + (i - 1) / 10, 1 + (i - 1) % 10, 'Lesson ' || 1 + (i - 1) % 10
FROM generate_series(1, :courses * 10) i;

INSERT INTO learning.enrollments
SELECT 'e' || i, 'u' || 1 + floor(:users * power(random(), 1.5))::int,
       'c' || 1 + floor(:courses * power(random(), 2))::int, s.status,
       CASE s.status WHEN 'COMPLETED' THEN 90 + floor(random() * 11)::int
                     ELSE floor(random() * 100)::int END,
       s.at, CASE s.status WHEN 'COMPLETED' THEN s.at + random() * interval '60 days' END
FROM (SELECT i, (ARRAY['ACTIVE', 'ACTIVE', 'ACTIVE', 'ACTIVE', 'COMPLETED', 'COMPLETED', 'COMPLETED',
                       'COMPLETED', 'DROPPED', 'PAUSED'])[1 + floor(random() * 10)::int] AS status,
             now() - interval '720 days' * (1 - i::float8 / :enrollments) AS at
      FROM generate_series(1, :enrollments) i) s;

-- Row i belongs to a user and a lesson that the workload can compute from i.
INSERT INTO learning.progress
SELECT 'p' || i, 'u' || 1 + i * 7919 % :users, 'l' || l.n, 'c' || 1 + (l.n - 1) / 10,
       (ARRAY['STARTED', 'COMPLETED', 'COMPLETED'])[1 + floor(random() * 3)::int],
       floor(random() * 101)::int, now() - interval '720 days' * (1 - i::float8 / :progress_rows)
FROM (SELECT i, 1 + i * 104729 % (:courses * 10) AS n
      FROM generate_series(1::bigint, :progress_rows) i) l;

-- Two years and two months of events, in the order of time as an application writes them.
INSERT INTO learning.analytics_events
SELECT 'ev' || i, 'u' || 1 + floor(:users * power(random(), 2))::int,
       (ARRAY['page_viewed', 'page_viewed', 'page_viewed', 'page_viewed', 'video_played', 'video_played',
              'lesson_completed', 'quiz_submitted', 'course_viewed', 'course_viewed', 'search', 'login',
              'login', 'logout', 'certificate_issued', 'payment'])[1 + floor(16 * power(random(), 1.3))::int],
       jsonb_build_object('course_id', 'c' || 1 + floor(:courses * power(random(), 2))::int,
                          'device', (ARRAY['web', 'ios', 'android'])[1 + floor(random() * 3)::int],
                          'seconds', floor(random() * 600)::int),
       now() - interval '790 days' * (1 - i::float8 / :events)
FROM generate_series(1, :events) i;

ALTER TABLE learning.organizations ADD PRIMARY KEY (id);
ALTER TABLE learning.users ADD PRIMARY KEY (id);
ALTER TABLE learning.user_sessions ADD PRIMARY KEY (id);
ALTER TABLE learning.courses ADD PRIMARY KEY (id);
ALTER TABLE learning.lessons ADD PRIMARY KEY (id);
ALTER TABLE learning.enrollments ADD PRIMARY KEY (id);
ALTER TABLE learning.progress ADD PRIMARY KEY (id);
ALTER TABLE learning.analytics_events ADD PRIMARY KEY (id, timestamp);

-- The application's analytics are plain views; dbopt's turn them into materialized views later.
CREATE VIEW learning.mv_user_learning_summary AS
SELECT u.id AS user_id,
       count(DISTINCT e.course_id) AS total_enrollments,
       count(DISTINCT CASE WHEN e.status = 'COMPLETED' THEN e.course_id END) AS completed_courses,
       avg(CASE WHEN e.status = 'COMPLETED' THEN e.progress END) AS avg_completion_progress,
       least(100, count(DISTINCT e.course_id) * 4
                  + count(DISTINCT CASE WHEN e.status = 'COMPLETED' THEN e.course_id END) * 6)
           AS engagement_score
FROM learning.users u
LEFT JOIN learning.enrollments e ON u.id = e.user_id
GROUP BY u.id;

CREATE VIEW learning.mv_course_performance AS
SELECT c.id AS course_id,
       count(DISTINCT e.user_id) AS total_enrollments,
       round(count(DISTINCT CASE WHEN e.status = 'COMPLETED' THEN e.user_id END)::numeric
             / nullif(count(DISTINCT e.user_id), 0) * 100, 2) AS completion_rate_percent,
       avg(e.progress) AS average_progress
FROM learning.courses c
LEFT JOIN learning.enrollments e ON c.id = e.course_id
GROUP BY c.id;

CREATE TABLE learning._sizes AS
SELECT * FROM (VALUES ('users', :users), ('sessions', :sessions), ('courses', :courses),
                      ('progress_rows', :progress_rows)) AS s (name, n);
