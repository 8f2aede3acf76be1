-- bloat and health
SELECT to_regprocedure('dbopt.bloat_collect()') IS NOT NULL AS here \gset
\if :here
SELECT relation, kind, pg_size_pretty(reclaimable_bytes) AS reclaimable, round(reclaimable_pct::numeric, 1) AS pct
FROM dbopt.bloat_collect() WHERE status = 'done' ORDER BY reclaimable_bytes DESC NULLS LAST LIMIT 5;
\endif
SELECT to_regprocedure('dbopt.health(text, text)') IS NOT NULL AS here \gset
\if :here
SELECT check_name, status, value, unit, left(detail, 80) AS detail FROM dbopt.health('warning');
\endif
