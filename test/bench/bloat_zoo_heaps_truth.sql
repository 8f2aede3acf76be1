-- Measures the heaps of the zoo three ways, then rewrites them.
SET search_path = zoo, public;
\pset footer off
CREATE TABLE public.heap_truth AS
    SELECT c.oid::regclass AS relation, pg_relation_size(c.oid) / 8192 AS pages,
        pg_table_size(c.oid) AS size, NULL::float8 AS dead, NULL::float8 AS free,
        NULL::float8 AS exact_dead, NULL::float8 AS exact_free, NULL::float8 AS exact_reclaim,
        NULL::float8 AS ms_peer, NULL::float8 AS ms_exact, NULL::float8 AS reclaimed,
        NULL::bigint AS before_bytes
    FROM pg_class c WHERE relnamespace = 'zoo'::regnamespace AND relkind IN ('r', 'm');
CREATE TABLE public.heap_sample AS
    SELECT 0 AS seed, 0::bigint AS wall_us, b.* FROM dbopt.table_bloat('t_empty') b LIMIT 0;
-- Two visits: the first sets hint bits and warms the cache for everybody.
SELECT count((dbopt.table_bloat(relation, 'exact')).pages) AS warm FROM public.heap_truth \gset
SELECT clock_timestamp() AS mark \gset
DO $$
DECLARE r record; p record; e record; t timestamptz; m float8;
BEGIN
    FOR r IN SELECT * FROM public.heap_truth LOOP
        t := clock_timestamp();
        SELECT * INTO p FROM pgstattuple(r.relation);
        m := extract(epoch FROM clock_timestamp() - t) * 1000;
        SELECT * INTO e FROM dbopt.table_bloat(r.relation, 'exact');
        UPDATE public.heap_truth SET dead = 100.0 * p.dead_tuple_len / nullif(p.table_len, 0),
            free = 100.0 * p.free_space / nullif(p.table_len, 0), ms_peer = m, ms_exact = e.duration_ms,
            exact_dead = e.dead_pct, exact_free = e.free_pct, exact_reclaim = e.reclaimable_pct,
            before_bytes = pg_relation_size(r.relation) + coalesce((SELECT pg_relation_size(reltoastrelid)
                FROM pg_class WHERE oid = r.relation AND reltoastrelid <> 0), 0)
        WHERE relation = r.relation;
    END LOOP;
END $$;
SELECT set_config('zoo.seeds', :'seeds', false) \g /dev/null
DO $$
BEGIN
    FOR s IN 1 .. current_setting('zoo.seeds')::int LOOP
        INSERT INTO public.heap_sample SELECT s, 0, b.*
            FROM public.heap_truth h, dbopt.table_bloat(h.relation, seed => s) b;
    END LOOP;
END $$;
SELECT format('VACUUM FULL %s', relation) FROM public.heap_truth h JOIN pg_class c ON c.oid = relation
    WHERE relkind = 'r' OR relkind = 'm' \gexec
UPDATE public.heap_truth SET reclaimed = 100.0 * (before_bytes - pg_relation_size(relation) -
    coalesce((SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE oid = relation
        AND reltoastrelid <> 0), 0)) / nullif(before_bytes, 0);
\echo 'Heaps: per cent of the size; errors are of the sample, worst of all seeds'
SELECT h.relation, h.pages, round(avg(s.sampled_pages)) AS sampled, round(h.dead::numeric, 2) AS dead,
    round(h.free::numeric, 2) AS free, round(h.reclaimed::numeric, 2) AS reclaim,
    round(max(abs(s.dead_pct - h.dead))::numeric, 2) AS dead_err,
    round(max(abs(s.free_pct - h.free))::numeric, 2) AS free_err,
    round(max(abs(s.reclaimable_pct - h.reclaimed))::numeric, 2) AS reclaim_err,
    round((h.exact_reclaim - h.reclaimed)::numeric, 2) AS exact_reclaim_err,
    round(max(greatest(s.dead_pct_high - s.dead_pct_low, s.free_pct_high - s.free_pct_low) / 2)::numeric, 2) AS half_width,
    round(h.ms_peer::numeric, 1) AS ms_peer, round(h.ms_exact::numeric, 1) AS ms_exact,
    round(avg(s.duration_ms)::numeric, 2) AS ms_sample
FROM public.heap_truth h JOIN public.heap_sample s USING (relation)
GROUP BY h.relation, h.pages, h.dead, h.free, h.reclaimed, h.exact_reclaim, h.ms_peer, h.ms_exact
ORDER BY 9 DESC NULLS LAST;
\echo 'Goals'
WITH big AS (SELECT *, s.pages AS p FROM public.heap_sample s JOIN public.heap_truth h USING (relation)
             WHERE h.pages >= 8000),
     every AS (SELECT * FROM public.heap_sample s JOIN public.heap_truth h USING (relation) WHERE h.dead IS NOT NULL)
SELECT count(DISTINCT relation) AS heaps_8000,
    round(100.0 * avg((abs(dead_pct - dead) <= 1 AND abs(free_pct - free) <= 1)::int), 2) AS "within 1 pp, % (goal 99)",
    round(100.0 * avg((dead BETWEEN dead_pct_low - 0.005 AND dead_pct_high + 0.005)::int), 1) AS "dead covered, % (93-99)",
    round(100.0 * avg((free BETWEEN free_pct_low - 0.005 AND free_pct_high + 0.005)::int), 1) AS "free covered, %",
    round(100.0 * avg((reclaimed BETWEEN reclaimable_pct_low - 0.005 AND reclaimable_pct_high + 0.005)::int), 1) AS "reclaim covered, %",
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY greatest(dead_pct_high - dead_pct_low, free_pct_high - free_pct_low) / 2)::numeric, 3) AS "median half-width (0.3)",
    round(max(abs(reclaimable_pct - reclaimed))::numeric, 2) AS "reclaim worst (0.5)",
    round(100.0 * avg((abs(reclaimable_pct - reclaimed) <= 0.5)::int), 2) AS "reclaim within 0.5, %"
FROM big;
SELECT count(*) AS heaps, round(max(abs(exact_dead - dead))::numeric, 2) AS "exact dead diff (0.00)",
    round(max(abs(exact_free - free))::numeric, 2) AS "exact free diff (0.00)",
    round(max(abs(exact_reclaim - reclaimed))::numeric, 2) AS "exact reclaim err",
    round((sum(ms_peer) / sum(ms_exact))::numeric, 1) AS "exact x faster (2)",
    round((sum(before_bytes) / 1e9)::numeric, 2) AS gb, round(sum(ms_peer)::numeric) AS ms_peer,
    round((SELECT sum(duration_ms) / max(seed) FROM public.heap_sample)::numeric, 1) AS "ms sample, all heaps",
    round((SELECT min(ms) FROM (SELECT sum(duration_ms) AS ms FROM public.heap_sample GROUP BY seed) s)::numeric, 1)
        AS "best of the seeds (100)"
FROM public.heap_truth;
