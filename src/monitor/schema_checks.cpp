// Tables, indexes, constraints and sequences, from catalogs and cumulative statistics: every object
// is read once per probe, none is opened.
#include "monitor/checks.hpp"

namespace dbopt::monitor {

namespace {

constexpr check table_checks[] = {
    {"tables_many_dead_rows", "tables", {1, 20},
     "SELECT * FROM dbopt.maintenance_plan(); VACUUM the tables, and see dbopt.xmin_holders.", 900},
    {"tables_never_analyzed", "tables", {1, 50}, "ANALYZE them: the planner guesses.", 900},
    {"tables_stale_statistics", "tables", {1, 50}, "ANALYZE them; lower autovacuum_analyze_scale_factor.",
     900},
    {"tables_seq_scanned", "tables", {1, std::nullopt},
     "SELECT * FROM dbopt.index_suggest(); large tables are read from end to end.", 0, false},
    {"tables_low_cache_hit", "tables", {1, std::nullopt},
     "See dbopt.buffer_hit: more memory, an index, or fewer columns read.", 900},
    {"indexes_low_cache_hit", "tables", {1, std::nullopt}, "See dbopt.buffer_hit.", 900},
    {"table_freeze_pct", "%", {150, 300},
     "Autovacuum cannot freeze in time: VACUUM (FREEZE), see dbopt.xmin_holders."},
    {"tables_autovacuum_off", "tables", {1, std::nullopt},
     "ALTER TABLE … RESET (autovacuum_enabled), or vacuum them by a job.", 0, false},
    {"tables_vacuum_overdue", "tables", {1, 20}, "SELECT * FROM dbopt.maintenance_plan();", 900},
    {"tables_unlogged", "tables", {1, std::nullopt},
     "Unlogged tables are empty after a crash and absent on replicas.", 0, false},
};
constexpr const char *table_sql = R"(
WITH s AS (SELECT current_setting('autovacuum_vacuum_threshold')::float8 AS vt,
                  current_setting('autovacuum_vacuum_scale_factor')::float8 AS vs,
                  current_setting('autovacuum_analyze_threshold')::float8 AS at,
                  current_setting('autovacuum_analyze_scale_factor')::float8 AS ascale,
                  current_setting('autovacuum_freeze_max_age')::float8 AS fm),
t AS MATERIALIZED (
  SELECT c.oid, greatest(c.reltuples, 0)::float8 AS tuples, c.relpages, c.reltuples < 0 AS unknown,
         c.relkind, c.relpersistence, c.relnamespace, c.reloptions::text AS opt, age(nullif(c.relfrozenxid, '0'::xid)) AS xage,
         pg_stat_get_live_tuples(c.oid)::float8 AS live, pg_stat_get_dead_tuples(c.oid)::float8 AS dead,
         pg_stat_get_mod_since_analyze(c.oid)::float8 AS mods, pg_stat_get_numscans(c.oid) AS scans,
         pg_stat_get_tuples_returned(c.oid)::float8 AS read, pg_stat_get_blocks_fetched(c.oid)::float8 AS fetched,
         pg_stat_get_blocks_hit(c.oid)::float8 AS hit
  FROM pg_class c WHERE c.relkind IN ('r', 'm', 't') AND c.relpersistence <> 't'),
u AS MATERIALIZED (SELECT t.*, oid >= 16384 AND relkind <> 't' AS own FROM t),
-- per table: all its indexes together
i AS (SELECT x.indrelid, sum(pg_stat_get_blocks_fetched(x.indexrelid))::float8 AS fetched,
             sum(pg_stat_get_blocks_hit(x.indexrelid))::float8 AS hit
      FROM pg_index x WHERE x.indexrelid >= 16384 GROUP BY 1
      HAVING sum(pg_stat_get_blocks_fetched(x.indexrelid)) >= 100000),
a AS (
  SELECT array_agg(oid ORDER BY dead DESC) FILTER (WHERE own AND dead > 10000 AND dead > 0.2 * (live + dead)) AS dead,
         array_agg(oid) FILTER (WHERE own AND unknown AND live > 1000) AS never,
         array_agg(oid) FILTER (WHERE own AND NOT unknown AND mods > 10000 AND mods > 2 * (s.at + s.ascale * tuples)) AS stale,
         array_agg(oid ORDER BY read DESC) FILTER (WHERE own AND relkind = 'r' AND scans > 50 AND tuples > 100000 AND read / scans > 50000) AS seq,
         array_agg(oid ORDER BY fetched - hit DESC) FILTER (WHERE own AND fetched >= 100000 AND hit < 0.9 * fetched) AS cold,
         max(100 * xage / s.fm) AS freeze_pct, (array_agg(oid ORDER BY xage DESC) FILTER (WHERE xage > s.fm))[1] AS freeze_oid,
         array_agg(oid) FILTER (WHERE own AND opt ~ 'autovacuum_enabled=(false|off|0|no)') AS av_off,
         array_agg(oid ORDER BY dead DESC) FILTER (WHERE own AND dead > 3 * (s.vt + s.vs * tuples)) AS overdue,
         array_agg(oid) FILTER (WHERE own AND relpersistence = 'u'
             AND relnamespace <> (SELECT n.oid FROM pg_namespace n WHERE n.nspname = 'dbopt')) AS unlogged
  FROM u, s),
ic AS (SELECT array_agg(indrelid ORDER BY fetched - hit DESC) AS cold FROM i WHERE hit < 0.9 * fetched)
SELECT v.check_name, coalesce(cardinality(v.list), 0)::float8, CASE WHEN v.list IS NULL THEN 'none' ELSE
         (SELECT string_agg(o::regclass::text, ', ') FROM unnest(v.list[1:3]) o) || CASE WHEN cardinality(v.list) > 3 THEN ' …' ELSE '' END END
FROM a, ic, LATERAL (VALUES
  ('tables_many_dead_rows', dead), ('tables_never_analyzed', never), ('tables_stale_statistics', stale),
  ('tables_seq_scanned', seq), ('tables_low_cache_hit', a.cold), ('indexes_low_cache_hit', ic.cold),
  ('tables_autovacuum_off', av_off), ('tables_vacuum_overdue', overdue), ('tables_unlogged', unlogged)) v(check_name, list)
UNION ALL
SELECT 'table_freeze_pct', freeze_pct, coalesce(freeze_oid::regclass::text, 'all tables are frozen in time') FROM a)";

constexpr check index_checks[] = {
    {"indexes_invalid", "indexes", {1, std::nullopt},
     "A failed CREATE or REINDEX CONCURRENTLY: DROP INDEX CONCURRENTLY and build again.", 300},
    {"indexes_duplicate", "indexes", {1, std::nullopt}, "See dbopt.index_redundant; drop one of each pair.",
     0, false},
    {"indexes_unused_bytes", "bytes", {104857600, std::nullopt},
     "See dbopt.index_unused; check replicas too before dropping.", 0, false},
    {"tables_many_indexes", "tables", {1, std::nullopt},
     "More than 10 indexes on a table that is written: see dbopt.index_effectiveness.", 0, false},
    {"foreign_keys_unindexed", "constraints", {1, std::nullopt},
     "See dbopt.foreign_keys_unindexed for the CREATE INDEX commands.", 0, false},
    {"tables_without_primary_key", "tables", {1, std::nullopt},
     "Add a primary key: updates cannot be replicated, rows cannot be told apart.", 0, false},
    {"constraints_not_validated", "constraints", {1, std::nullopt}, "ALTER TABLE … VALIDATE CONSTRAINT.",
     0, false},
    {"triggers_disabled", "triggers", {1, std::nullopt}, "ALTER TABLE … ENABLE TRIGGER, if by mistake.", 0,
     false},
};
// The columns of int2vector start at 0. A key whose columns begin some index needs no other.
constexpr const char *index_sql = R"(
WITH x AS MATERIALIZED (
  SELECT i.indexrelid, i.indrelid, i.indisunique, i.indisprimary, i.indisexclusion, i.indisvalid, i.indkey,
         i.indpred IS NULL AS whole, i.indnkeyatts,
         i.indkey::text AS keys, i.indclass::text AS classes, i.indcollation::text AS collations,
         i.indoption::text AS options, coalesce(i.indexprs::text, '') AS exprs, coalesce(i.indpred::text, '') AS pred
  FROM pg_index i WHERE i.indrelid >= 16384),
d AS (SELECT array_agg(two) AS list FROM (
        SELECT max(indexrelid) AS two FROM x GROUP BY indrelid, keys, classes, collations, options, exprs, pred, indnkeyatts,
               (SELECT relam FROM pg_class c WHERE c.oid = x.indexrelid) HAVING count(*) > 1) g),
u AS (SELECT array_agg(x.indexrelid ORDER BY c.relpages DESC) AS list, sum(c.relpages)::float8 * 8192 AS bytes
      FROM x JOIN pg_class c ON c.oid = x.indexrelid
      WHERE NOT x.indisunique AND NOT x.indisexclusion AND x.indisvalid AND c.relkind = 'i' AND c.relpages > 128
        AND pg_stat_get_numscans(x.indexrelid) = 0),
many AS (SELECT array_agg(indrelid) AS list FROM (SELECT indrelid FROM x GROUP BY 1 HAVING count(*) > 10) g
         WHERE pg_stat_get_tuples_inserted(indrelid) + pg_stat_get_tuples_updated(indrelid) > 1000),
con AS MATERIALIZED (SELECT oid, conrelid, contype, conname, conkey, convalidated FROM pg_constraint WHERE conrelid >= 16384),
fk AS (SELECT array_agg(DISTINCT f.conrelid) AS list, count(*) AS n FROM con f
       WHERE f.contype = 'f' AND NOT EXISTS (SELECT FROM x WHERE x.indrelid = f.conrelid AND x.whole AND x.indisvalid
          AND (x.indkey::int2[])[0:cardinality(f.conkey) - 1] @> f.conkey)),
pk AS (SELECT array_agg(c.oid) AS list FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.oid >= 16384
        AND c.relpersistence = 'p' AND NOT c.relispartition AND NOT EXISTS (SELECT FROM x WHERE x.indrelid = c.oid AND x.indisprimary)
        AND NOT EXISTS (SELECT FROM pg_depend p WHERE p.classid = 'pg_class'::regclass AND p.objid = c.oid AND p.deptype = 'e')
        AND c.relnamespace <> (SELECT oid FROM pg_namespace WHERE nspname = 'information_schema'))
SELECT v.check_name, coalesce(v.n, cardinality(v.list), 0)::float8, CASE WHEN v.list IS NULL THEN 'none' ELSE
         (SELECT string_agg(o::regclass::text, ', ') FROM unnest(v.list[1:3]) o) || CASE WHEN cardinality(v.list) > 3 THEN ' …' ELSE '' END END
FROM d, u, many, fk, pk, LATERAL (VALUES
  ('indexes_invalid', (SELECT array_agg(indexrelid) FROM x WHERE NOT indisvalid
       AND NOT EXISTS (SELECT FROM pg_stat_get_progress_info('CREATE INDEX') p WHERE p.relid = x.indrelid)
       AND EXISTS (SELECT FROM pg_class c WHERE c.oid = indexrelid AND c.relkind = 'i')), NULL::float8),
  ('indexes_duplicate', d.list, NULL),
  ('indexes_unused_bytes', u.list, coalesce(u.bytes, 0)),
  ('tables_many_indexes', many.list, NULL),
  ('foreign_keys_unindexed', fk.list, fk.n),
  ('tables_without_primary_key', pk.list, NULL),
  ('constraints_not_validated', (SELECT array_agg(conrelid) FROM con WHERE NOT convalidated), NULL),
  ('triggers_disabled', (SELECT array_agg(tgrelid) FROM pg_trigger WHERE tgenabled = 'D' AND NOT tgisinternal AND tgrelid >= 16384), NULL)
) v(check_name, list, n))";

constexpr check sequence_checks[] = {
    {"sequence_used_pct", "%", {75, 90},
     "ALTER SEQUENCE … AS bigint, and the column too: ALTER TABLE … ALTER … TYPE bigint."},
};
// Read by dbopt, which skips a sequence that is locked instead of waiting for it.
constexpr const char *sequence_sql = R"(
SELECT 'sequence_used_pct', coalesce(max(used_pct), 0),
       coalesce((array_agg(sequence::text || CASE WHEN column_limited THEN ' (limited by its column)' ELSE '' END
                 ORDER BY used_pct DESC))[1], 'no sequences')
FROM dbopt._sequences())";

constexpr check matview_checks[] = {
    {"matviews_not_populated", "matviews", {1, std::nullopt}, "REFRESH MATERIALIZED VIEW.", 0, false},
    {"partitions_default_rows", "rows", {1, 1000000},
     "Rows fell into a default partition: CALL dbopt.partition_drain_default(parent)."},
    {"partitions_detach_pending", "partitions", {1, std::nullopt},
     "ALTER TABLE … DETACH PARTITION … FINALIZE."},
};
constexpr const char *matview_sql = R"(
SELECT 'matviews_not_populated', count(*)::float8, coalesce(string_agg(oid::regclass::text, ', '), 'none')
FROM pg_class WHERE relkind = 'm' AND NOT relispopulated AND oid >= 16384
UNION ALL SELECT 'partitions_default_rows', coalesce(sum(pg_stat_get_live_tuples(c.oid)), 0)::float8,
       coalesce(string_agg(c.oid::regclass::text, ', ') FILTER (WHERE pg_stat_get_live_tuples(c.oid) > 0), 'none')
FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partdefid WHERE p.partstrat = 'r'
UNION ALL SELECT 'partitions_detach_pending', count(*)::float8, coalesce(string_agg(inhrelid::regclass::text, ', '), 'none')
FROM pg_inherits WHERE inhdetachpending)";

constexpr probe probes[] = {
    {"tables", tier::normal, false, nullptr, table_sql, nullptr, table_checks},
    {"objects", tier::normal, false, nullptr, matview_sql, nullptr, matview_checks},
    {"sequences", tier::normal, false, nullptr, sequence_sql, nullptr, sequence_checks},
    {"indexes", tier::deep, false, nullptr, index_sql, nullptr, index_checks},
};

} // namespace

std::span<const probe> schema_probes() { return probes; }

} // namespace dbopt::monitor
