-- Self-check of samples: a difference is found, reported, mended by a full refresh, and ends incremental
-- refreshes until somebody names the mode again. Staleness and differences are health checks.
SELECT plan(13);
SET client_min_messages = error;
SELECT dbopt.pause('matview') IS NULL AS paused \gset
CREATE SCHEMA mvc;
SET search_path = mvc, public;
CREATE TABLE b (id serial PRIMARY KEY, g int, t text, v int);
INSERT INTO b (g, t, v) SELECT nullif(i % 50, 7), 'it''s ' || i % 3, i FROM generate_series(1, 1000) i;
CREATE MATERIALIZED VIEW sums AS SELECT g, t, count(*) AS n, sum(v) AS s FROM b GROUP BY g, t;
SELECT count(*) AS managed FROM dbopt.matview_manage('sums', '1 hour', 'auto', '2 hours') \gset
SELECT is((SELECT mode FROM dbopt.matview_refresh('sums')), 'full', 'first refresh');
SET dbopt.matview_check_interval = 1;
SELECT pg_sleep(1.1) AS waited \gset
SELECT is((SELECT mode FROM dbopt.matview_refresh('sums')), 'incremental', 'a due check looks even if nothing changed');
SELECT ok((SELECT last_check IS NOT NULL AND incremental_off IS NULL FROM dbopt.matviews WHERE matview = 'sums'::regclass), 'a sample was right');
-- Somebody damages the state: one is added to the sum of every group (16 bytes of key, 8 of n, 8 of a count,
-- 16 of the sum).
SELECT format($u$UPDATE %s SET data = (SELECT string_agg(set_byte(substr(data, 1 + 48 * i, 48), 32,
    (get_byte(data, 48 * i + 32) + 1) %% 256), '' ORDER BY i) FROM generate_series(0, length(data) / 48 - 1) i)
    WHERE bucket >= 0$u$, store::regclass)
FROM dbopt._matview_store WHERE slot = 0 AND matview = 'sums'::regclass \gexec
INSERT INTO b (g, t, v) SELECT g, t, 1 FROM sums;
SELECT pg_sleep(1.1) AS waited \gset
SELECT alike((SELECT mode || ': ' || reason FROM dbopt.matview_refresh('sums')), 'full: a self-check found % rows that differ%', 'a difference is found and mended');
SELECT is(dbopt.matview_verify('sums'), 0::bigint, 'exact again');
SELECT alike((SELECT incremental_off FROM dbopt.matviews WHERE matview = 'sums'::regclass), 'a self-check%', 'incremental is off');
SELECT is((SELECT severity FROM dbopt.matview_recommendations WHERE matview = 'sums'::regclass AND recommendation = 'report the difference'), 'critical', 'and a recommendation');
SELECT is((SELECT status || ' ' || detail FROM dbopt.health() WHERE check_name = 'matviews_wrong'), 'critical mvc.sums', 'and a health check');
INSERT INTO b (g, t, v) VALUES (1, 'x', 1);
SELECT alike((SELECT mode || ': ' || reason FROM dbopt.matview_refresh('sums')), 'full: incremental is off%', 'refreshes are full meanwhile');
SELECT count(*) AS managed FROM dbopt.matview_manage('sums', mode => 'auto') \gset
SELECT count(*) AS first FROM dbopt.matview_refresh('sums') \gset
INSERT INTO b (g, t, v) VALUES (1, 'x', 1);
SELECT is((SELECT mode FROM dbopt.matview_refresh('sums')), 'incremental', 'naming the mode again allows it');
SELECT is((SELECT value FROM dbopt.health() WHERE check_name = 'matviews_stale'), 0::float8, 'nothing is stale');
UPDATE dbopt._matview_state SET last_refresh = now() - interval '3 hours' WHERE matview = 'sums'::regclass;
SELECT is((SELECT status || ' ' || detail FROM dbopt.health() WHERE check_name = 'matviews_stale'), 'warning mvc.sums', 'older than its own max_staleness');
UPDATE dbopt._matview_state SET last_refresh = now() - interval '5 hours' WHERE matview = 'sums'::regclass;
SELECT is((SELECT status FROM dbopt.health() WHERE check_name = 'matview_staleness_hours'), 'warning', 'older than four hours is a warning');
SELECT * FROM finish();
SELECT dbopt.matview_unmanage('sums') IS NULL AS unmanaged \gset
SELECT dbopt.resume('matview') IS NULL AS resumed \gset
DROP SCHEMA mvc CASCADE;
