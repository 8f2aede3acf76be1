-- materialized views in the place of the application's views, managed by dbopt
DO $$
DECLARE v record;
BEGIN
    FOR v IN SELECT schemaname, viewname, definition FROM pg_views
             WHERE schemaname IN ('learning', 'social') AND viewname LIKE 'mv\_%' LOOP
        EXECUTE format('DROP VIEW %I.%I', v.schemaname, v.viewname);
        EXECUTE format('CREATE MATERIALIZED VIEW %I.%I AS %s', v.schemaname, v.viewname, v.definition);
    END LOOP;
END $$;
SELECT to_regprocedure('dbopt.matview_explain(regclass)') IS NOT NULL AS here \gset
\if :here
-- The unique index that each lacks, as dbopt.matview_explain() writes it.
SELECT e.fix FROM pg_matviews m, dbopt.matview_explain(format('%I.%I', schemaname, matviewname)::regclass) e
WHERE schemaname IN ('learning', 'social') AND e.fix ILIKE 'CREATE UNIQUE INDEX%' \gexec
SELECT m.* FROM pg_matviews v, dbopt.matview_manage(format('%I.%I', schemaname, matviewname)::regclass) m
WHERE schemaname IN ('learning', 'social');
\endif
