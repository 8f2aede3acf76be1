-- Measures the indexes of the zoo, then rebuilds them.
SET search_path = zoo, public;
\pset footer off
CREATE TABLE public.index_truth AS
    SELECT c.oid::regclass AS index, a.amname AS method, pg_relation_size(c.oid) / 8192 AS pages,
        NULL::float8 AS density, NULL::bigint AS rebuilt
    FROM pg_class c JOIN pg_am a ON a.oid = relam
    WHERE relnamespace = 'zoo'::regnamespace AND relkind = 'i' AND relname LIKE 'i\_%';
UPDATE public.index_truth SET density = (pgstatindex(index)).avg_leaf_density WHERE method = 'btree';
CREATE TABLE public.index_sample AS
    SELECT 0 AS seed, b.* FROM dbopt.index_bloat((SELECT index FROM public.index_truth LIMIT 1)) b LIMIT 0;
SELECT set_config('zoo.seeds', :'seeds', false) \g /dev/null
DO $$
BEGIN
    FOR s IN 1 .. current_setting('zoo.seeds')::int LOOP
        INSERT INTO public.index_sample SELECT s, b.*
            FROM public.index_truth h, dbopt.index_bloat(h.index, seed => s) b;
    END LOOP;
END $$;
SELECT format('REINDEX INDEX %s', index) FROM public.index_truth \gexec
UPDATE public.index_truth SET rebuilt = pg_relation_size(index) / 8192;
\echo 'Indexes: reclaimable, per cent of the size; error is the worst of all seeds'
SELECT t.index, t.method, t.pages, t.rebuilt, round(avg(s.rebuilt_pages)) AS predicted,
    round((100.0 * (t.pages - t.rebuilt) / t.pages)::numeric, 2) AS reclaim,
    round(max(abs(s.reclaimable_pct - 100.0 * (t.pages - t.rebuilt) / t.pages))::numeric, 2) AS err,
    round(max(abs(s.density_pct - t.density))::numeric, 2) AS density_err,
    round(avg(s.sampled_pages)) AS sampled, round(avg(s.duration_ms)::numeric, 1) AS ms
FROM public.index_truth t JOIN public.index_sample s ON s.index = t.index
GROUP BY t.index, t.method, t.pages, t.rebuilt ORDER BY t.method, 7 DESC NULLS LAST;
SELECT t.method, count(DISTINCT t.index) AS indexes,
    round(max(abs(s.reclaimable_pct - 100.0 * (t.pages - t.rebuilt) / t.pages))::numeric, 2) AS "worst error (2 b-tree, 5 others)",
    round(100.0 * avg((abs(s.reclaimable_pct - 100.0 * (t.pages - t.rebuilt) / t.pages) <= 2)::int), 1) AS "within 2 pp, %"
FROM public.index_truth t JOIN public.index_sample s ON s.index = t.index GROUP BY 1 ORDER BY 1;
