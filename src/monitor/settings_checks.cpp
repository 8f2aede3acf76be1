// Settings that endanger data or waste the machine.
#include "monitor/checks.hpp"

namespace dbopt::monitor {

namespace {

constexpr check settings_checks[] = {
    {"durability_off", "settings", {std::nullopt, 1},
     "fsync and full_page_writes must be on: a crash destroys the data otherwise."},
    {"autovacuum_off", "settings", {std::nullopt, 1}, "Set autovacuum and track_counts to on."},
    {"planner_features_off", "settings", {1, std::nullopt},
     "An enable_... setting is off: reset it; it was meant for one test, as a rule."},
    {"partition_pruning_off", "settings", {1, std::nullopt},
     "Set enable_partition_pruning to on: queries read every partition."},
    {"shared_buffers_pct", "%", {60, std::nullopt},
     "shared_buffers leaves too little memory for sessions and the page cache.", 0, false},
    {"shared_buffers_small", "state", {1, std::nullopt},
     "shared_buffers is at its default on a larger machine: see dbopt.settings_advice.", 0, false},
    {"work_mem_risk_pct", "%", {100, 300},
     "work_mem x max_connections exceeds the memory: lower one of them.", 0, false},
    {"settings_pending_restart", "settings", {1, std::nullopt}, "Restart the server when convenient.", 0,
     false},
    {"password_md5", "settings", {1, std::nullopt}, "Set password_encryption to scram-sha-256.", 0, false},
    {"statement_statistics_off", "settings", {1, std::nullopt},
     "Set track_activities, track_counts and track_io_timing to on.", 0, false},
    {"no_transaction_timeout", "settings", {1, std::nullopt},
     "Set idle_in_transaction_session_timeout: a forgotten transaction blocks vacuum for ever.", 0, false},
    {"checksums_off", "state", {1, std::nullopt},
     "pg_checksums --enable (server stopped): silent damage stays unseen.", 0, false},
};
constexpr const char *settings_sql = R"(
WITH s AS MATERIALIZED (SELECT name, setting, pending_restart FROM pg_show_all_settings()),
g AS (SELECT (SELECT setting::bigint * 8192 FROM s WHERE name = 'shared_buffers') AS sb,
             current_setting('max_connections')::bigint AS mc,
             (SELECT setting::bigint * 1024 FROM s WHERE name = 'work_mem') AS wm),
o AS (SELECT array_agg(name ORDER BY name) AS off FROM s WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off'),
av AS (SELECT array_agg(name ORDER BY name) AS off FROM s WHERE name IN ('autovacuum', 'track_counts') AND setting = 'off'),
en AS (SELECT array_agg(name ORDER BY name) AS off FROM s WHERE name LIKE 'enable\_%' AND setting = 'off'
        AND name NOT IN ('enable_partitionwise_join', 'enable_partitionwise_aggregate', 'enable_partition_pruning')),
st AS (SELECT array_agg(name ORDER BY name) AS off FROM s WHERE name IN ('track_activities', 'track_io_timing') AND setting = 'off'),
pr AS (SELECT array_agg(name ORDER BY name) AS off FROM s WHERE pending_restart)
SELECT v.* FROM g, o, av, en, st, pr, dbopt._machine() m, LATERAL (VALUES
  ('durability_off', coalesce(cardinality(o.off), 0)::float8, coalesce(array_to_string(o.off, ', '), 'fsync and full_page_writes are on')),
  ('autovacuum_off', coalesce(cardinality(av.off), 0), coalesce(array_to_string(av.off, ', '), 'autovacuum is on')),
  ('planner_features_off', coalesce(cardinality(en.off), 0), coalesce(array_to_string(en.off, ', '), 'none')),
  ('partition_pruning_off', CASE WHEN current_setting('enable_partition_pruning')::bool THEN 0 ELSE 1 END, 'enable_partition_pruning = ' || current_setting('enable_partition_pruning')),
  ('shared_buffers_pct', 100.0 * sb / memory_bytes, format('%s of %s', pg_size_pretty(sb), pg_size_pretty(memory_bytes))),
  ('shared_buffers_small', CASE WHEN sb <= 134217728 AND memory_bytes > 4294967296 THEN 1 ELSE 0 END, pg_size_pretty(sb)),
  ('work_mem_risk_pct', 100.0 * wm * mc / memory_bytes, format('%s x %s connections', pg_size_pretty(wm), mc)),
  ('settings_pending_restart', coalesce(cardinality(pr.off), 0), coalesce(array_to_string(pr.off, ', '), 'none')),
  ('password_md5', CASE WHEN current_setting('password_encryption') = 'md5' THEN 1 ELSE 0 END, 'password_encryption = ' || current_setting('password_encryption')),
  ('statement_statistics_off', coalesce(cardinality(st.off), 0), coalesce(array_to_string(st.off, ', '), 'none')),
  ('no_transaction_timeout', CASE WHEN current_setting('idle_in_transaction_session_timeout') = '0' THEN 1 ELSE 0 END, 'idle_in_transaction_session_timeout = ' || current_setting('idle_in_transaction_session_timeout')),
  ('checksums_off', CASE WHEN current_setting('data_checksums') = 'on' THEN 0 ELSE 1 END, 'data_checksums = ' || current_setting('data_checksums'))
) v(check_name, value, detail))";

constexpr probe probes[] = {
    {"settings", tier::normal, false, nullptr, settings_sql, nullptr, settings_checks},
};

} // namespace

std::span<const probe> settings_probes() { return probes; }

} // namespace dbopt::monitor
