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
p -c "SELECT sum(r.duration_ms) FROM unnest('{mv_user,mv_course}'::regclass[]) m, dbopt.matview_refresh(m) r" |
    awk -v f="$full" '{printf "first refresh, counting states included: %.0f ms = %.2fx full\n", $1, $1 / f / 1000}'
p -c "SELECT 'states ' || pg_size_pretty(sum(pg_total_relation_size(store))) FROM dbopt._matview_store"
change() { # changed rows: 50 % inserts, 40 % updates, 10 % deletes
    echo "INSERT INTO enrollments (user_id, course_id, status, progress) SELECT 1 + (random() * 99999)::int,
          1 + (random() * 1999)::int, 'ACTIVE', (random() * 100)::int FROM generate_series(1, $1 / 2);
          UPDATE enrollments SET status = 'COMPLETED', progress = 100 WHERE id IN (SELECT 1 + (random() * $rows)::int
          FROM generate_series(1, $1 * 4 / 10));
          DELETE FROM enrollments WHERE id IN (SELECT 1 + (random() * $rows)::int FROM generate_series(1, $1 / 10));"
}
both="SELECT string_agg(r.mode, ' '), sum(r.duration_ms), sum(rows_changed) FROM unnest('{mv_user,mv_course}'::regclass[]) m, dbopt.matview_refresh(m) r;"
show() {
    awk -F'|' -v d="$1" -v f="$full" -v c="$concurrent" -v goal="$2" -v how="$3" '/\|/ {last = $0} END {split(last, r, "|");
        printf "%7d changed rows, %s session: %s, %d rows written, %.1f ms = %.1fx full (goal %sx), %.1fx concurrent\n", d, how, r[1], r[3], r[2], f * 1000 / r[2], goal, c * 1000 / r[2]}'
}
for point in 10000:500 1000:100 100:15 10:3; do
    d=$((rows / ${point%:*})) goal=${point#*:}
    change $d | p
    p -c "$both" | show $d $goal "new "
    # The same once more in a session that has refreshed before.
    { change 10; echo "$both"; change $d; echo "$both"; } | p | show $d $goal "warm"
done
p -c "SELECT string_agg(mode, ' '), sum(duration_ms) FROM dbopt.matview_refresh_all()" |
    awk -F'|' '{printf "nothing changed: %s %.1f ms\n", $1, $2}'
p -c "SELECT 'difference ' || dbopt.matview_verify('mv_user') + dbopt.matview_verify('mv_course')"
