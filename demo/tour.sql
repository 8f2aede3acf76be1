-- Five minutes with dbopt on the demo's data:  scripts/demo --load, then psql … -f demo/tour.sql
\pset border 1
\pset footer off
SET client_min_messages = warning;

-- 1. What is there, and does it work?
SELECT * FROM dbopt.status();

-- 2. What should be set up? Nothing happens until dry_run => false.
SELECT area, object, command, status FROM dbopt.setup() WHERE status = 'planned';

-- 3. What do the applications do most of the time?
SELECT calls, round(mean_ms::numeric, 1) AS mean_ms, round(p95_ms::numeric, 1) AS p95_ms, left(query, 70) AS query
FROM dbopt.workload WHERE query ILIKE 'select%' AND query NOT ILIKE '%dbopt%' ORDER BY total_ms DESC LIMIT 5;

-- 4. Which indexes would help most? Measured by planning the observed statements with and without them.
SELECT rank, ddl, pg_size_pretty(size_bytes) AS size, round(benefit_pct::numeric, 1) AS gain_pct
FROM dbopt.index_suggest(max_indexes => 5);

-- 5. What would this one do for that query? No index is built.
SELECT round(cost_before) AS before, round(cost_after) AS after, used
FROM dbopt.index_whatif($$SELECT id FROM learning.users WHERE email = 'user42@example.com' AND is_active$$,
                        ARRAY['CREATE INDEX ON learning.users (email) WHERE is_active']);

-- 6. A plain table of events becomes partitioned by month while the application goes on.
CALL dbopt.partition_convert('social.security_audit_logs', 'created_at', '1 month');
SELECT action, status, count(*), min(partition) AS first, max(partition) AS last
FROM dbopt.partition_manage('social.security_audit_logs', '1 month', retention => '24 months') GROUP BY 1, 2;

-- 7. A materialized view that is refreshed by what changed.
CREATE MATERIALIZED VIEW learning.enrollments_of_course AS
SELECT course_id, count(*) AS enrollments, count(*) FILTER (WHERE status = 'COMPLETED') AS completed
FROM learning.enrollments GROUP BY course_id;
CREATE UNIQUE INDEX ON learning.enrollments_of_course (course_id);
SELECT * FROM dbopt.matview_manage('learning.enrollments_of_course', every => '5 minutes');
SELECT mode, status, rows_changed, round(duration_ms) AS ms FROM dbopt.matview_refresh('learning.enrollments_of_course');
UPDATE learning.enrollments SET status = 'COMPLETED' WHERE status = 'ACTIVE' AND progress > 97 AND user_id < 'u2';
SELECT mode, status, rows_changed, round(duration_ms) AS ms FROM dbopt.matview_refresh('learning.enrollments_of_course');

-- 8. How much of a table is air? Measured from a sample of its pages, with bounds.
UPDATE social.conversations SET updated_at = now() WHERE id % 3 = 0;
SELECT round(dead_pct::numeric, 1) AS dead_pct, round(free_pct::numeric, 1) AS free_pct,
       pg_size_pretty(reclaimable_bytes) AS reclaimable, sampled_pages, pages, round(duration_ms) AS ms
FROM dbopt.table_bloat('social.conversations');

-- 9. Is the server well?
SELECT check_name, status, left(detail, 60) AS detail FROM dbopt.health('warning') LIMIT 6;

-- 10. All advice in one list, ranked; the best three of each kind.
SELECT area, action, object, expected_gain FROM (
    SELECT *, row_number() OVER (PARTITION BY area ORDER BY n) AS k
    FROM dbopt.optimize() WITH ORDINALITY o (area, object, action, command, reason, expected_gain, status, detail, n)
) a WHERE k <= 3 ORDER BY n;
