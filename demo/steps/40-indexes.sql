-- indexes suggested by dbopt.index_suggest() and built
SELECT EXISTS (SELECT FROM pg_proc WHERE pronamespace = 'dbopt'::regnamespace AND proname = 'index_apply') AS apply \gset
-- From what the server has seen: the statements of the first measurement.
CREATE TABLE public.advice AS SELECT * FROM dbopt.index_suggest();
SELECT count(*) = 0 AS unseen FROM public.advice \gset
\if :unseen
\echo the workload was not observed: the statements are handed over
INSERT INTO public.advice SELECT * FROM dbopt.index_suggest(
    (SELECT array_agg(query ORDER BY query) FROM public.application_query),
    (SELECT array_agg(weight ORDER BY query) FROM public.application_query));
\endif
SELECT rank, pg_size_pretty(size_bytes) AS size, round(benefit_pct::numeric, 2) AS gain_pct, ddl
FROM public.advice ORDER BY rank;
\if :apply
SELECT dbopt.index_apply(ddl, verify => false) AS run_id FROM public.advice ORDER BY rank \g /dev/null
SELECT format('CALL dbopt.wait(%s)', run_id) FROM dbopt.index_builds ORDER BY run_id \gexec
SELECT status, count(*) FROM dbopt.index_builds GROUP BY status;
\else
SELECT ddl FROM public.advice ORDER BY rank \gexec
\endif
