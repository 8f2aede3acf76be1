-- indexes suggested from the observed workload and built
SELECT count(*) = 1 AS here FROM pg_proc WHERE pronamespace = 'dbopt'::regnamespace AND proname = 'index_suggest' \gset
\if :here
CREATE TABLE public.advice AS SELECT * FROM dbopt.index_suggest();
SELECT rank, pg_size_pretty(size_bytes) AS size, round(benefit_pct::numeric, 2) AS gain_pct, ddl
FROM public.advice ORDER BY rank;
SELECT format('SELECT dbopt.index_apply(%L, verify => false)', ddl) FROM public.advice ORDER BY rank \gexec
SELECT format('CALL dbopt.wait(%s)', run_id) FROM dbopt.index_builds WHERE status IN ('queued', 'running') \gexec
\endif
