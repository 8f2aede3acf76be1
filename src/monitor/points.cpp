// The figures that every snapshot keeps: counters of the database and the cluster, and gauges.
#include "monitor/monitor.hpp"
#include "pg/compat.hpp"

namespace dbopt::monitor {

namespace {

constexpr auto counter = point_kind::counter;
constexpr auto gauge = point_kind::gauge;

// Append only: dbopt.history refers to these by position.
constexpr point all_points[] = {
    {"xact_commit", counter, "", "transactions committed in this database"},
    {"xact_rollback", counter, "", "transactions rolled back in this database"},
    {"blks_read", counter, "blocks", "blocks read from outside shared buffers"},
    {"blks_hit", counter, "blocks", "blocks found in shared buffers"},
    {"tup_returned", counter, "rows", "rows read by scans"},
    {"tup_fetched", counter, "rows", "rows fetched by index scans"},
    {"tup_inserted", counter, "rows", "rows inserted"},
    {"tup_updated", counter, "rows", "rows updated"},
    {"tup_deleted", counter, "rows", "rows deleted"},
    {"conflicts", counter, "", "queries cancelled by recovery conflicts"},
    {"temp_files", counter, "files", "temporary files written"},
    {"temp_bytes", counter, "bytes", "bytes written to temporary files"},
    {"deadlocks", counter, "", "deadlocks detected"},
    {"sessions", counter, "", "sessions established"},
    {"sessions_abandoned", counter, "", "sessions lost to the network or the client"},
    {"sessions_killed", counter, "", "sessions ended by an operator or a fatal error"},
    {"active_time_seconds", counter, "s", "time spent executing statements"},
    {"checkpoints_timed", counter, "", "checkpoints begun on schedule"},
    {"checkpoints_requested", counter, "", "checkpoints begun on request"},
    {"checkpoint_buffers", counter, "blocks", "blocks written by checkpoints"},
    {"maxwritten_clean", counter, "", "background writer rounds stopped at their limit"},
    {"wal_bytes", counter, "bytes", "WAL written by the cluster"},
    {"wal_buffers_full", counter, "", "WAL written because its buffers were full"},
    {"connections", gauge, "", "client sessions of the cluster"},
    {"connections_active", gauge, "", "client sessions that execute a statement"},
    {"connections_idle_in_transaction", gauge, "", "sessions idle inside a transaction"},
    {"connections_limit", gauge, "", "sessions that ordinary roles may open"},
    {"database_bytes", gauge, "bytes", "size of this database"},
    {"xid_age", gauge, "transactions", "age of the oldest unfrozen transaction id of the cluster"},
    {"disk_free_bytes", gauge, "bytes", "free space where the data directory is"},
    {"disk_total_bytes", gauge, "bytes", "space of the file system of the data directory"},
    {"uptime_seconds", gauge, "s", "time since the server started"},
    {"locks_waiting", gauge, "", "sessions that wait for a lock"},
    {"sequence_used_pct", gauge, "%", "how far the fullest sequence is used up"},
    {"waits_lock", gauge, "", "active sessions that wait for a lock"},
    {"waits_lwlock", gauge, "", "active sessions that wait inside the server"},
    {"waits_io", gauge, "", "active sessions that wait for the disk"},
    {"waits_other", gauge, "", "active sessions that wait for something else"},
    {"longest_lock_wait_seconds", gauge, "s", "how long the longest wait for a lock has lasted"},
    {"longest_transaction_seconds", gauge, "s", "age of the oldest transaction of a client"},
};

// Columns 0 to 22 are the counters above, in order.
constexpr const char *counters_17 = R"(
SELECT xact_commit, xact_rollback, blks_read, blks_hit, tup_returned, tup_fetched, tup_inserted,
       tup_updated, tup_deleted, conflicts, temp_files, temp_bytes, deadlocks, sessions,
       sessions_abandoned, sessions_fatal + sessions_killed, active_time / 1000,
       c.num_timed, c.num_requested, c.buffers_written, b.maxwritten_clean, w.wal_bytes, w.wal_buffers_full
FROM pg_catalog.pg_stat_database d, pg_catalog.pg_stat_checkpointer c, pg_catalog.pg_stat_bgwriter b,
     pg_catalog.pg_stat_wal w WHERE d.datname = pg_catalog.current_database())";
constexpr const char *counters_15 = R"(
SELECT xact_commit, xact_rollback, blks_read, blks_hit, tup_returned, tup_fetched, tup_inserted,
       tup_updated, tup_deleted, conflicts, temp_files, temp_bytes, deadlocks, sessions,
       sessions_abandoned, sessions_fatal + sessions_killed, active_time / 1000,
       b.checkpoints_timed, b.checkpoints_req, b.buffers_checkpoint, b.maxwritten_clean, w.wal_bytes,
       w.wal_buffers_full
FROM pg_catalog.pg_stat_database d, pg_catalog.pg_stat_bgwriter b, pg_catalog.pg_stat_wal w
WHERE d.datname = pg_catalog.current_database())";

constexpr const char *gauges = R"(
SELECT count(*) FILTER (WHERE a.backend_type = 'client backend'),
       count(*) FILTER (WHERE a.backend_type = 'client backend' AND a.state = 'active'),
       count(*) FILTER (WHERE a.state LIKE 'idle in transaction%'),
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true)::int, 0),
       coalesce(nullif($1, -1), dbopt._database_bytes()),
       (SELECT max(age(datfrozenxid)) FROM pg_database),
       (SELECT free_bytes FROM dbopt._filesystems() LIMIT 1),
       (SELECT total_bytes FROM dbopt._filesystems() LIMIT 1),
       extract(epoch FROM now() - pg_postmaster_start_time()),
       (SELECT count(DISTINCT l.pid) FROM pg_lock_status() l WHERE NOT l.granted),
       (SELECT max(q.used_pct) FROM dbopt._sequences() q),
       count(*) FILTER (WHERE a.state = 'active' AND a.wait_event_type = 'Lock'),
       count(*) FILTER (WHERE a.state = 'active' AND a.wait_event_type = 'LWLock'),
       count(*) FILTER (WHERE a.state = 'active' AND a.wait_event_type = 'IO'),
       count(*) FILTER (WHERE a.state = 'active' AND a.wait_event_type NOT IN ('Lock', 'LWLock', 'IO')),
       coalesce((SELECT extract(epoch FROM clock_timestamp() - min(l.waitstart)) FROM pg_lock_status() l WHERE NOT l.granted), 0),
       coalesce(extract(epoch FROM clock_timestamp() - min(a.xact_start) FILTER (WHERE a.backend_type = 'client backend'
           AND a.pid <> pg_backend_pid())), 0)
FROM pg_stat_get_activity(NULL) a)";

void append(std::vector<std::optional<double>> &out, const pg::result &r, size_t columns) {
    for (size_t i = 0; i < columns; ++i)
        out.push_back(r.empty() || r[0].null(static_cast<int>(i))
                          ? std::nullopt
                          : std::optional<double>(std::stod(r[0].get<std::string>(static_cast<int>(i)))));
}

constexpr size_t counter_columns = 23;

} // namespace

std::span<const point> points() { return all_points; }

std::vector<std::optional<double>> read_points(bool with_gauges, int64_t database_bytes) {
    std::vector<std::optional<double>> out;
    append(out, pg::query(pg::compat::server_version >= 17 ? counters_17 : counters_15), counter_columns);
    if (with_gauges)
        append(out, pg::query(gauges, {database_bytes}), std::size(all_points) - counter_columns);
    return out;
}

recent_growth counters_since(double span_seconds) {
    // Kept: planning over all partitions would take longer than running.
    static const auto *base = new pg::statement(
        "(SELECT extract(epoch FROM pg_catalog.clock_timestamp() - h.taken_at)::pg_catalog.float8, "
        "pg_catalog.array_replace(h.values, NULL, 'NaN') FROM dbopt.history h "
        "WHERE h.taken_at <= $1 ORDER BY h.taken_at DESC LIMIT 1) UNION ALL "
        "(SELECT extract(epoch FROM pg_catalog.clock_timestamp() - h.taken_at)::pg_catalog.float8, "
        "pg_catalog.array_replace(h.values, NULL, 'NaN') FROM dbopt.history h "
        "ORDER BY h.taken_at LIMIT 1) LIMIT 1", {TIMESTAMPTZOID});
    const pg::timestamptz until{pg::clock().us - static_cast<int64_t>(span_seconds * 1e6)};
    const pg::result then = base->run({until});
    std::vector<double> old;
    recent_growth out;
    if (!then.empty()) {
        out.seconds = then[0].get<double>(0);
        old = then[0].get<std::vector<double>>(1);
    } else {
        out.seconds = pg::scalar<double>("SELECT extract(epoch FROM pg_catalog.clock_timestamp() - stats_reset)::pg_catalog.float8 "
                                         "FROM pg_catalog.pg_stat_database WHERE datname = pg_catalog.current_database()");
    }
    const auto now = read_points(false);
    for (size_t i = 0; i < counter_columns; ++i) {
        counter_growth g{.name = all_points[i].name};
        if (now[i]) {
            const double before = i < old.size() && old[i] <= *now[i] ? old[i] : 0; // NaN compares as false
            g.delta = *now[i] - before;
            if (out.seconds)
                g.per_hour = 3600 * *g.delta / std::max(*out.seconds, 3600.0);
        }
        out.counters.push_back(g);
    }
    return out;
}

} // namespace dbopt::monitor
