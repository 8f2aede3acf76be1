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
     "ALTER TABLE ... RESET (autovacuum_enabled), or vacuum them by a job.", 0, false},
    {"tables_vacuum_overdue", "tables", {1, 20}, "SELECT * FROM dbopt.maintenance_plan();", 900},
    {"tables_unlogged", "tables", {1, std::nullopt},
     "Unlogged tables are empty after a crash and absent on replicas.", 0, false},
};
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
    {"constraints_not_validated", "constraints", {1, std::nullopt}, "ALTER TABLE ... VALIDATE CONSTRAINT.",
     0, false},
    {"triggers_disabled", "triggers", {1, std::nullopt}, "ALTER TABLE ... ENABLE TRIGGER, if by mistake.", 0,
     false},
};
constexpr check sequence_checks[] = {
    {"sequence_used_pct", "%", {75, 90},
     "ALTER SEQUENCE ... AS bigint, and the column too: ALTER TABLE ... ALTER ... TYPE bigint."},
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
     "ALTER TABLE ... DETACH PARTITION ... FINALIZE."},
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
    {"tables", tier::normal, false, nullptr, nullptr, nullptr, table_checks, measure_tables},
    {"objects", tier::normal, false, nullptr, matview_sql, nullptr, matview_checks},
    {"sequences", tier::normal, false, nullptr, sequence_sql, nullptr, sequence_checks},
    {"indexes", tier::deep, false, nullptr, nullptr, nullptr, index_checks, measure_indexes},
};

} // namespace

std::span<const probe> schema_probes() { return probes; }

} // namespace dbopt::monitor
