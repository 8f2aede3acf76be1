-- What a refresh of the two learning summaries costs when one row of a thousand has changed: the
-- server's own REFRESH, then dbopt's. Prints "refresh <tab> full ms <tab> dbopt ms".
\set QUIET on
\pset tuples_only on
\pset format unaligned
SELECT to_regproc('dbopt.matview_refresh') IS NOT NULL AS here \gset
\if :here
-- Both are up to date and the changes of the last run are known.
SELECT dbopt.matview_refresh('learning.mv_user_learning_summary'), dbopt.matview_refresh('learning.mv_course_performance') \g /dev/null
UPDATE learning.enrollments SET progress = least(100, progress + 1) WHERE hashtext(id) % 1000 = 7;
SELECT clock_timestamp() AS t0 \gset
SELECT dbopt.matview_refresh('learning.mv_user_learning_summary'), dbopt.matview_refresh('learning.mv_course_performance') \g /dev/null
SELECT clock_timestamp() AS t1 \gset
REFRESH MATERIALIZED VIEW learning.mv_user_learning_summary;
REFRESH MATERIALIZED VIEW learning.mv_course_performance;
SELECT 'refresh', 1000 * extract(epoch FROM clock_timestamp() - :'t1'), 1000 * extract(epoch FROM :'t1'::timestamptz - :'t0');
\endif
