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
-- An index of a partitioned table is one build per partition, so look at the builds, not at the runs.
DO $$
BEGIN
    FOR i IN 1 .. 1000 LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM dbopt.index_builds WHERE status = 'building' AND detail !~ '^(gone|failed|cancelled|interrupted)');
        COMMIT; -- a snapshot that stays would keep the builds waiting
        PERFORM pg_sleep(0.2);
        COMMIT;
    END LOOP;
END $$;
SELECT status, count(*) FROM dbopt.index_builds GROUP BY status;
\else
SELECT ddl FROM public.advice ORDER BY rank \gexec
\endif
