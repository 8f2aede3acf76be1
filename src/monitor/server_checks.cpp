// The cluster: wraparound, replication, WAL, checkpoints, cache, spill, disk and memory.
#include "monitor/checks.hpp"

namespace dbopt::monitor {

namespace {

constexpr check wraparound_checks[] = {
    {"xid_age_pct", "%", {20, 50}, "VACUUM (FREEZE) the oldest tables; remove what holds xmin back."},
    {"multixact_age_pct", "%", {20, 50}, "VACUUM (FREEZE) the tables with the oldest relminmxid."},
};
constexpr const char *wraparound_sql = R"(
SELECT v.* FROM (
  SELECT max(age(datfrozenxid)) AS x, max(mxid_age(datminmxid)) AS m,
         (array_agg(datname ORDER BY age(datfrozenxid) DESC))[1] AS xd,
         (array_agg(datname ORDER BY mxid_age(datminmxid) DESC))[1] AS md FROM pg_database) d,
LATERAL (VALUES
  ('xid_age_pct', 100 * x / 2147483648.0, format('%s transactions since the oldest freeze, in database %I', x, xd)),
  ('multixact_age_pct', 100 * m / 2147483648.0, format('%s multixacts since the oldest freeze, in database %I', m, md))
) v(check_name, value, detail))";

constexpr check replication_checks[] = {
    {"replica_lag_bytes", "bytes", {67108864, 1073741824},
     "See dbopt.replication: network, the replica's disk, or conflicts there.", 60},
    {"replica_lag_seconds", "s", {30, 300}, "See dbopt.replication.", 60},
    {"replicas_not_streaming", "replicas", {1, std::nullopt},
     "A replica catches up or takes a backup; look at its log if that lasts.", 300},
    {"sync_replicas_missing", "replicas", {std::nullopt, 1},
     "Commits wait: bring the synchronous standby back or change synchronous_standby_names."},
    {"slots_inactive", "slots", {1, std::nullopt},
     "SELECT pg_drop_replication_slot(name) if nobody will come back for it.", 300},
    {"slot_retained_bytes", "bytes", {1073741824, 10737418240.0},
     "Bring the consumer back or drop the slot; set max_slot_wal_keep_size."},
    {"slots_lost", "slots", {std::nullopt, 1},
     "The slot lost WAL that it needs: rebuild its consumer and drop the slot."},
    {"standby_delay_seconds", "s", {30, 300},
     "This standby is behind: long queries here, network, or disk.", 60},
    {"wal_receiver_down", "state", {std::nullopt, 1},
     "This standby receives no WAL: check primary_conninfo and the primary.", 60},
    {"subscriptions_down", "subscriptions", {1, std::nullopt},
     "An enabled subscription has no worker: see the log and pg_stat_subscription_stats.", 60},
};
constexpr const char *replication_sql = R"(
WITH here AS (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END AS lsn,
                     pg_is_in_recovery() AS standby),
r AS (SELECT count(*) AS n, max(pg_wal_lsn_diff(lsn, replay_lsn)) AS bytes,
             max(extract(epoch FROM replay_lag)) AS s,
             count(*) FILTER (WHERE state <> 'streaming') AS other,
             count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) AS sync
      FROM pg_stat_replication, here WHERE application_name <> 'pg_basebackup'),
s AS (SELECT count(*) FILTER (WHERE NOT active) AS idle,
             max(pg_wal_lsn_diff(lsn, restart_lsn)) AS retained,
             (array_agg(slot_name ORDER BY pg_wal_lsn_diff(lsn, restart_lsn) DESC NULLS LAST))[1] AS worst,
             count(*) FILTER (WHERE wal_status = 'lost') AS lost, count(*) AS n
      FROM pg_replication_slots, here WHERE NOT temporary)
SELECT v.* FROM here, r, s, LATERAL (VALUES
  ('replica_lag_bytes', CASE WHEN r.n > 0 THEN coalesce(r.bytes, 0) END, format('%s replicas', r.n)),
  ('replica_lag_seconds', CASE WHEN r.n > 0 THEN coalesce(r.s, 0) END, format('%s replicas', r.n)),
  ('replicas_not_streaming', CASE WHEN r.n > 0 THEN r.other END, format('%s of %s replicas do not stream', r.other, r.n)),
  ('sync_replicas_missing', CASE WHEN current_setting('synchronous_standby_names') <> '' AND NOT standby
      THEN CASE WHEN r.sync = 0 THEN 1 ELSE 0 END END,
   CASE WHEN current_setting('synchronous_standby_names') = '' THEN 'no synchronous replication' ELSE format('%s synchronous replicas connected', r.sync) END),
  ('slots_inactive', CASE WHEN s.n > 0 THEN s.idle END, format('%s of %s slots without consumer', s.idle, s.n)),
  ('slot_retained_bytes', CASE WHEN s.n > 0 THEN coalesce(s.retained, 0) END, CASE WHEN s.n > 0 THEN format('most: slot %s', s.worst) ELSE 'no slots' END),
  ('slots_lost', CASE WHEN s.n > 0 THEN s.lost END, format('%s slots', s.n)),
  ('standby_delay_seconds', CASE WHEN standby THEN CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
      ELSE coalesce(extract(epoch FROM now() - pg_last_xact_replay_timestamp()), 0) END END,
   CASE WHEN standby THEN 'since the last replayed commit' ELSE 'not a standby' END),
  ('wal_receiver_down', CASE WHEN standby AND current_setting('primary_conninfo', true) <> ''
      THEN CASE WHEN EXISTS (SELECT FROM pg_stat_wal_receiver w WHERE w.status = 'streaming') THEN 0 ELSE 1 END END,
   CASE WHEN standby THEN 'WAL receiver' ELSE 'not a standby' END),
  ('subscriptions_down', (SELECT CASE WHEN count(*) > 0 THEN count(*) FILTER (WHERE t.pid IS NULL) END
      FROM pg_subscription b LEFT JOIN pg_stat_subscription t ON t.subid = b.oid AND t.relid IS NULL
      WHERE b.subenabled AND b.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())),
   'enabled subscriptions without a worker')
) v(check_name, value, detail))";

constexpr check wal_checks[] = {
    {"archiver_failing", "state", {std::nullopt, 1},
     "The last attempt of archive_command failed: WAL piles up; see the log.", 60},
    {"checkpoints_requested_pct", "%", {50, std::nullopt},
     "Raise max_wal_size: checkpoints come before their time.", 900},
    {"wal_buffers_full", "per hour", {1000, std::nullopt}, "Raise wal_buffers."},
    {"wal_bytes_per_hour", "bytes", {53687091200.0, std::nullopt},
     "Much WAL: fewer indexes, wal_compression, longer checkpoint_timeout.", 900, false},
};
constexpr const char *wal_sql = R"(
SELECT 'archiver_failing', CASE WHEN current_setting('archive_mode') <> 'off' THEN
         CASE WHEN last_failed_time > coalesce(last_archived_time, '-infinity') THEN 1 ELSE 0 END END::float8,
       CASE WHEN current_setting('archive_mode') = 'off' THEN 'archive_mode is off'
            ELSE format('%s archived, %s failures, last failed: %s', archived_count, failed_count, coalesce(last_failed_wal, 'never')) END
FROM pg_stat_archiver
UNION ALL
SELECT v.check_name, v.value, v.detail FROM (
  SELECT max(delta) FILTER (WHERE name = 'checkpoints_requested') AS req,
         max(delta) FILTER (WHERE name = 'checkpoints_timed') AS timed,
         max(per_hour) FILTER (WHERE name = 'wal_buffers_full') AS full_,
         max(per_hour) FILTER (WHERE name = 'wal_bytes') AS bytes,
         max(seconds) AS seconds
  FROM dbopt._window('1 hour') WHERE name IN ('checkpoints_requested', 'checkpoints_timed', 'wal_buffers_full', 'wal_bytes')) w,
LATERAL (VALUES
  ('checkpoints_requested_pct', CASE WHEN req + timed >= 3 THEN 100 * req / (req + timed) END::float8,
   format('%s requested, %s timed in %s minutes', req, timed, round(seconds::numeric / 60))),
  ('wal_buffers_full', full_, format('over the last %s minutes', round(seconds::numeric / 60))),
  ('wal_bytes_per_hour', bytes, pg_size_pretty(bytes::bigint) || ' per hour')
) v(check_name, value, detail))";

constexpr check database_checks[] = {
    {"buffer_hit_pct", "%", {90, 80, true},
     "Raise shared_buffers, or find the queries that read much: dbopt.slow_queries.", 300},
    {"rollback_pct", "%", {10, 50},
     "Many transactions fail: look for errors in the log.", 300},
    {"deadlocks_per_hour", "per hour", {1, 10},
     "Lock rows in one order; see log_lock_waits."},
    {"temp_bytes_per_hour", "bytes", {1073741824, 10737418240.0},
     "Sorts and hashes spill: raise work_mem for those queries, or index the sort."},
    {"checksum_failures", "pages", {std::nullopt, 1},
     "Data is damaged: take a copy of the folder, test the disk, restore from backup."},
    {"recovery_conflicts_per_hour", "per hour", {10, 100},
     "Queries on this standby are cancelled: hot_standby_feedback or max_standby_streaming_delay."},
    {"sessions_killed_per_hour", "per hour", {10, std::nullopt},
     "Sessions die by error or kill: look in the log."},
    {"sessions_abandoned_per_hour", "per hour", {100, std::nullopt},
     "Clients vanish without goodbye: network, or processes that crash.", 0, false},
};
constexpr const char *database_sql = R"(
WITH w AS MATERIALIZED (SELECT name, delta, per_hour, seconds FROM dbopt._window('1 hour')),
p AS (SELECT max(delta) FILTER (WHERE name = 'blks_hit') AS hit, max(delta) FILTER (WHERE name = 'blks_read') AS read,
             max(delta) FILTER (WHERE name = 'xact_commit') AS ok, max(delta) FILTER (WHERE name = 'xact_rollback') AS bad,
             max(per_hour) FILTER (WHERE name = 'deadlocks') AS deadlocks, max(per_hour) FILTER (WHERE name = 'temp_bytes') AS temp,
             max(per_hour) FILTER (WHERE name = 'conflicts') AS conflicted, max(per_hour) FILTER (WHERE name = 'sessions_killed') AS killed,
             max(per_hour) FILTER (WHERE name = 'sessions_abandoned') AS gone, round((max(seconds) / 60)::numeric) AS minutes FROM w)
SELECT v.* FROM p, pg_stat_database d, LATERAL (VALUES
  ('buffer_hit_pct', CASE WHEN hit + read >= 100000 THEN 100 * hit / (hit + read) END,
   CASE WHEN hit + read >= 100000 THEN format('over %s minutes', minutes) ELSE 'too few reads to judge' END),
  ('rollback_pct', CASE WHEN ok + bad >= 1000 THEN 100 * bad / (ok + bad) END,
   CASE WHEN ok + bad >= 1000 THEN format('%s of %s transactions in %s minutes', bad, ok + bad, minutes) ELSE 'too few transactions to judge' END),
  ('deadlocks_per_hour', p.deadlocks, format('over %s minutes', minutes)),
  ('temp_bytes_per_hour', temp, format('over %s minutes; in all %s', minutes, pg_size_pretty(d.temp_bytes))),
  ('checksum_failures', d.checksum_failures::float8, coalesce('last: ' || d.checksum_last_failure::text, CASE WHEN d.checksum_failures IS NULL THEN 'checksums are off' ELSE 'none' END)),
  ('recovery_conflicts_per_hour', CASE WHEN pg_is_in_recovery() THEN conflicted END, CASE WHEN pg_is_in_recovery() THEN format('over %s minutes', minutes) ELSE 'not a standby' END),
  ('sessions_killed_per_hour', killed, format('over %s minutes', minutes)),
  ('sessions_abandoned_per_hour', gone, format('over %s minutes', minutes))
) v(check_name, value, detail) WHERE d.datname = current_database())";

constexpr check machine_checks[] = {
    {"disk_used_pct", "%", {80, 90}, "Free or add space; see dbopt.growth_forecast."},
    {"memory_available_pct", "%", {10, 5, true},
     "The machine runs out of memory: lower work_mem or the number of sessions.", 60},
    {"load_per_cpu", "load/cpu", {2, 5}, "The machine is overloaded: see dbopt.slow_queries.", 300},
};
constexpr const char *machine_sql = R"(
SELECT 'disk_used_pct', (100.0 * (total_bytes - free_bytes) / nullif(total_bytes, 0))::float8,
       format('%s: %s of %s free', path, pg_size_pretty(free_bytes), pg_size_pretty(total_bytes))
FROM (SELECT * FROM dbopt._filesystems() ORDER BY 1.0 - free_bytes::float8 / nullif(total_bytes, 0) DESC NULLS LAST LIMIT 1) f
UNION ALL
SELECT v.* FROM dbopt._machine() m, LATERAL (VALUES
  ('memory_available_pct', 100.0 * available_bytes / nullif(memory_bytes, 0), pg_size_pretty(available_bytes) || ' available'),
  ('load_per_cpu', load1 / cpus, format('load %s on %s cpus', round(load1::numeric, 2), cpus))
) v(check_name, value, detail))";

constexpr check forecast_checks[] = {
    {"disk_full_days", "days", {30, 7, true}, "Add space or shorten retention; see dbopt.growth_forecast."},
    {"wal_folder_bytes", "bytes", {53687091200.0, std::nullopt},
     "WAL is kept: look at slots, archiving and wal_keep_size."},
    {"collation_mismatch", "databases", {std::nullopt, 1},
     "REINDEX what depends on text order, then ALTER DATABASE ... REFRESH COLLATION VERSION."},
    {"extensions_outdated", "extensions", {1, std::nullopt}, "ALTER EXTENSION ... UPDATE.", 0, false},
};
constexpr const char *forecast_sql = R"(
SELECT 'disk_full_days', (SELECT days_left FROM dbopt.growth_forecast WHERE subject = 'disk'), 'from the history'
UNION ALL SELECT 'wal_folder_bytes', nullif(dbopt._folder_bytes('pg_wal'), -1)::float8, 'pg_wal'
UNION ALL SELECT 'collation_mismatch', count(*)::float8, 'the library''s collation version is not the recorded one'
  FROM pg_database WHERE datname = current_database() AND datcollversion IS NOT NULL
   AND datcollversion <> pg_database_collation_actual_version(oid)
UNION ALL SELECT 'extensions_outdated', count(*)::float8, coalesce(string_agg(name, ', ' ORDER BY name), 'none')
  FROM pg_available_extensions WHERE installed_version IS NOT NULL AND installed_version <> default_version)";

constexpr probe probes[] = {
    {"wraparound", tier::fast, false, nullptr, wraparound_sql, nullptr, wraparound_checks},
    {"replication", tier::fast, true, nullptr, replication_sql, nullptr, replication_checks},
    {"wal", tier::fast, true, nullptr, wal_sql, nullptr, wal_checks},
    {"database", tier::fast, false, nullptr, database_sql, nullptr, database_checks},
    {"machine", tier::fast, true, nullptr, machine_sql, nullptr, machine_checks},
    {"forecast", tier::deep, true, nullptr, forecast_sql, nullptr, forecast_checks},
};

} // namespace

std::span<const probe> server_probes() { return probes; }

} // namespace dbopt::monitor
