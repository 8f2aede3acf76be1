#!/bin/bash
# Incremental against full refresh on the learning platform; ratios of one run.
#   matview.sh [ROWS]     default 4,000,000 enrollments; connects as libpq's environment says, with the
# right to create a database. Prints full, concurrent and incremental times for 0.01 %, 0.1 %, 1 %, 10 %.
rows=${1:-4000000} db=dbopt_bench_matview
p() { psql -X -q -A -t -v ON_ERROR_STOP=1 -d $db "$@"; }
psql -X -q -d postgres -c "DROP DATABASE IF EXISTS $db WITH (FORCE)" -c "CREATE DATABASE $db" || exit 1
trap 'psql -X -q -d postgres -c "DROP DATABASE $db WITH (FORCE)"' EXIT
p <<SQL
SET client_min_messages = warning;
CREATE EXTENSION dbopt;
SELECT dbopt.pause('matview');
CREATE TABLE users (id int PRIMARY KEY, name text);
CREATE TABLE courses (id int PRIMARY KEY, title text);
CREATE TABLE enrollments (id serial PRIMARY KEY, user_id int, course_id int, status text, progress int);
INSERT INTO users SELECT i, 'u' || i FROM generate_series(1, 100000) i;
INSERT INTO courses SELECT i, 'c' || i FROM generate_series(1, 2000) i;
SELECT setseed(0.5);
INSERT INTO enrollments (user_id, course_id, status, progress)
SELECT 1 + (random() * 99999)::int, 1 + (random() * 1999)::int, CASE WHEN random() < .3 THEN 'COMPLETED' ELSE 'ACTIVE' END,
       (random() * 100)::int FROM generate_series(1, $rows) i;
CREATE INDEX ON enrollments (user_id);
CREATE INDEX ON enrollments (course_id);
CREATE MATERIALIZED VIEW mv_user AS
SELECT u.id AS user_id, count(DISTINCT e.course_id) AS total_enrollments,
       count(DISTINCT CASE WHEN e.status = 'COMPLETED' THEN e.course_id END) AS completed_courses,
       avg(CASE WHEN e.status = 'COMPLETED' THEN e.progress END) AS avg_completion_progress,
       least(100, count(DISTINCT e.course_id) * 2) AS engagement_score
FROM users u LEFT JOIN enrollments e ON u.id = e.user_id GROUP BY u.id;
CREATE UNIQUE INDEX ON mv_user (user_id);
CREATE MATERIALIZED VIEW mv_course AS
SELECT c.id AS course_id, count(DISTINCT e.user_id) AS total_enrollments,
       round(count(DISTINCT CASE WHEN e.status = 'COMPLETED' THEN e.user_id END)::numeric
             / nullif(count(DISTINCT e.user_id), 0) * 100, 2) AS completion_rate_percent,
       avg(e.progress) AS average_progress
FROM courses c LEFT JOIN enrollments e ON c.id = e.course_id GROUP BY c.id;
CREATE UNIQUE INDEX ON mv_course (course_id);
VACUUM ANALYZE;
SQL
seconds() { local s; s=$(date +%s.%N); p -c "$1" >/dev/null; echo "$(date +%s.%N) $s" | awk '{printf "%.4f", $1 - $2}'; }
both() { seconds "REFRESH MATERIALIZED VIEW $1 mv_user; REFRESH MATERIALIZED VIEW $1 mv_course"; }
full=$(both ""); concurrent=$(both CONCURRENTLY)
echo "full $full s, concurrent $concurrent s (both views)"
p -c "SELECT dbopt.matview_manage('mv_user'), dbopt.matview_manage('mv_course')" >/dev/null
p -c "SELECT mode, round(duration_ms) FROM dbopt.matview_refresh_all()" | sed 's/^/first, with counting state: /'
for share in 10000 1000 100 10; do
    d=$((rows / share))
    p -c "INSERT INTO enrollments (user_id, course_id, status, progress) SELECT 1 + (random() * 99999)::int,
          1 + (random() * 1999)::int, 'ACTIVE', (random() * 100)::int FROM generate_series(1, $d / 2)" \
      -c "UPDATE enrollments SET status = 'COMPLETED', progress = 100 WHERE id IN (SELECT 1 + (random() * $rows)::int
          FROM generate_series(1, $d * 4 / 10))" \
      -c "DELETE FROM enrollments WHERE id IN (SELECT 1 + (random() * $rows)::int FROM generate_series(1, $d / 10))"
    p -c "SELECT string_agg(mode, ' '), sum(duration_ms) FROM dbopt.matview_refresh_all()" |
        awk -F'|' -v d=$d -v f="$full" -v c="$concurrent" \
            '{printf "%d changed rows: %s %.1f ms = %.1fx full, %.1fx concurrent\n", d, $1, $2, f * 1000 / $2, c * 1000 / $2}'
done
p -c "SELECT string_agg(mode, ' '), sum(duration_ms) FROM dbopt.matview_refresh_all()" |
    awk -F'|' '{printf "nothing changed: %s %.1f ms\n", $1, $2}'
p -c "SELECT 'difference ' || dbopt.matview_verify('mv_user') + dbopt.matview_verify('mv_course')"
