#include "pool/pool.hpp"
#include "core/breaker.hpp"
#include "core/retry.hpp"
#include "pg/machine.hpp"
#include "pg/pause.hpp"
#include "pg/remote.hpp"
#include "pg/transaction.hpp"
#include <cmath>
#include <map>
#include <stdexcept>

namespace dbopt::pool {

namespace {

constexpr int64_t timeout_ms = 1000;

struct reading {
    int version = 0; // 118 = 1.18
    int64_t used = 0, free = 0, waiting = 0, max_size = 0, clients_active = 0, paused = 0;
    double max_wait_ms = 0;
    core::pooler_reading totals;
};

// "PgBouncer 1.18.0" → 118
int version_of(const std::string &text) {
    int major = 0, minor = 0;
    const size_t digit = text.find_first_of("0123456789");
    if (digit == std::string::npos || sscanf(text.c_str() + digit, "%d.%d", &major, &minor) != 2)
        return 0;
    return major * 100 + minor;
}

// Columns by name: their number and order change between versions.
reading read_pgbouncer(const std::string &conninfo) {
    pg::remote console(conninfo, "pgbouncer", timeout_ms);
    reading r;
    const pg::remote_rows version = console.query("SHOW VERSION");
    if (!version.rows.empty() && version.rows[0][0])
        r.version = version_of(*version.rows[0][0]);
    std::map<std::string, int64_t> size_of;
    const pg::remote_rows databases = console.query("SHOW DATABASES");
    for (size_t i = 0; i < databases.rows.size(); ++i) {
        size_of[databases.text(i, "name")] = databases.number(i, "pool_size");
        r.paused += databases.number(i, "paused") != 0;
    }
    const pg::remote_rows pools = console.query("SHOW POOLS");
    for (size_t i = 0; i < pools.rows.size(); ++i) {
        const std::string database = pools.text(i, "database");
        if (database == "pgbouncer")
            continue;
        r.clients_active += pools.number(i, "cl_active");
        r.waiting += pools.number(i, "cl_waiting");
        r.used += pools.number(i, "sv_active");
        r.free += pools.number(i, "sv_idle") + pools.number(i, "sv_used");
        r.max_size += size_of[database];
        r.max_wait_ms = std::max(r.max_wait_ms, 1000.0 * static_cast<double>(pools.number(i, "maxwait")) +
                                                    static_cast<double>(pools.number(i, "maxwait_us")) / 1000);
    }
    const pg::remote_rows stats = console.query("SHOW STATS");
    for (size_t i = 0; i < stats.rows.size(); ++i) {
        if (stats.text(i, "database") == "pgbouncer")
            continue;
        r.totals.xact_count += static_cast<double>(stats.number(i, "total_xact_count"));
        r.totals.xact_time_us += static_cast<double>(stats.number(i, "total_xact_time"));
        r.totals.wait_time_us += static_cast<double>(stats.number(i, "total_wait_time"));
    }
    return r;
}

// The breaker opens with the first failed poll (a poll tries twice), for 10 s, 20 s, 40 s … up to five
// minutes; then one poll is let through.
constexpr core::breaker_policy policy{.failures = 1, .cooldown_s = 10, .cooldown_cap_s = 300};

core::breaker breaker_of(const pg::row &r, int failures, int until) {
    core::breaker b;
    b.in_a_row = b.opened = r.get<int32_t>(failures);
    if (const auto at = r.optional<pg::timestamptz>(until)) {
        b.state = core::breaker_state::open;
        b.until = at->us / 1'000'000;
    }
    return b;
}

void store(const std::string &name, const reading &r) {
    pg::execute("INSERT INTO dbopt.pool_sample (name, version, used, free, waiting, clients_active, max_size, max_wait_ms, "
                "xact_count, xact_time_us, wait_time_us, paused) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                {name, r.version, r.used, r.free, r.waiting, r.clients_active, r.max_size, r.max_wait_ms,
                 r.totals.xact_count, r.totals.xact_time_us, r.totals.wait_time_us, r.paused});
    pg::execute("UPDATE dbopt.pool SET failures = 0, retry_at = NULL, error = NULL, polled_at = pg_catalog.clock_timestamp() "
                "WHERE name = $1", {name});
}

void store_failure(const std::string &name, core::breaker b, const std::string &message) {
    b.failure(pg::clock().us / 1'000'000, policy);
    pg::execute("UPDATE dbopt.pool SET failures = $3, error = pg_catalog.left($2, 500), "
                "polled_at = pg_catalog.clock_timestamp(), retry_at = $4 WHERE name = $1",
                {name, message, b.opened, pg::timestamptz{b.until * 1'000'000}});
}

// A connection that is refused or breaks is tried once more after a moment: a pooler that reloads or is
// replaced is away for that long. One that gave no answer in a second would give none in the next.
reading read_with_retry(const std::string &conninfo) {
    constexpr core::retry_policy retry{.attempts = 2, .base_s = 0.1, .cap_s = 0.1};
    for (int attempt = 1;; ++attempt) {
        const int64_t started = pg::clock().us;
        try {
            return read_pgbouncer(conninfo);
        } catch (const pg::error &) {
            throw;
        } catch (const std::runtime_error &) {
            const double took_ms = static_cast<double>(pg::clock().us - started) / 1000;
            if (attempt >= retry.attempts || took_ms >= 0.9 * timeout_ms)
                throw;
        }
        pg::pause(static_cast<int64_t>(1000 * core::backoff(retry, attempt)));
    }
}

poll_result poll_one(const std::string &name, const std::string &conninfo, const core::breaker &b) {
    try {
        const reading r = read_with_retry(conninfo);
        store(name, r);
        return {name, "done", std::to_string(r.used) + " used, " + std::to_string(r.free) + " free, " +
                                  std::to_string(r.waiting) + " waiting"};
    } catch (const pg::error &) {
        throw;
    } catch (const std::runtime_error &e) {
        store_failure(name, b, e.what());
        return {name, "failed", e.what()};
    }
}

} // namespace

std::vector<poll_result> poll(const std::optional<std::string> &name) {
    std::vector<poll_result> out;
    const pg::result pools = pg::query("SELECT name, conninfo, failures, retry_at, error "
                                       "FROM dbopt.pool WHERE conninfo IS NOT NULL AND ($1::pg_catalog.text IS NULL OR name = $1) "
                                       "ORDER BY name", {name});
    for (const pg::row &r : pools) {
        core::breaker b = breaker_of(r, 2, 3);
        if (!b.allow(pg::clock().us / 1'000'000) && !name)
            out.push_back({r.get<std::string>(0), "skipped", "breaker open: " + r.get_or<std::string>(4, "")});
        else
            out.push_back(poll_one(r.get<std::string>(0), r.get<std::string>(1), b));
    }
    return out;
}

std::vector<sizing> sizes() {
    std::vector<sizing> out;
    const pg::result rows = pg::query(
        "SELECT l.name, l.version, l.clients_active, l.waiting, l.max_size, "
        "extract(epoch FROM f.at)::pg_catalog.float8, f.xact_count, f.xact_time_us, f.wait_time_us, "
        "extract(epoch FROM l.at)::pg_catalog.float8, l.xact_count, l.xact_time_us, l.wait_time_us "
        "FROM dbopt.pool p, LATERAL (SELECT * FROM dbopt.pool_sample s WHERE s.name = p.name ORDER BY s.at DESC LIMIT 1) l, "
        "LATERAL (SELECT * FROM dbopt.pool_sample s WHERE s.name = p.name AND s.at > l.at - interval '10 minutes' ORDER BY s.at LIMIT 1) f "
        "ORDER BY 1");
    for (const pg::row &r : rows) {
        const int pool_size = r.get<int32_t>(4);
        const auto advice = core::size_pooler(
            {r.get<double>(5), r.get<double>(6), r.get<double>(7), r.get<double>(8)},
            {r.get<double>(9), r.get<double>(10), r.get<double>(11), r.get<double>(12)},
            {.version = r.get<int32_t>(1), .clients_active = r.get<int32_t>(2), .clients_waiting = r.get<int32_t>(3),
             .pool_size = pool_size, .cpus = pg::read_machine().cpus});
        if (advice)
            out.push_back({r.get<std::string>(0), *advice, pool_size});
    }
    return out;
}

core::pool_profile profile(const std::string &environment) {
    const pg::result r = pg::query(
        "SELECT pg_catalog.current_setting('max_connections')::pg_catalog.int4 "
        "- pg_catalog.current_setting('superuser_reserved_connections')::pg_catalog.int4 "
        "- coalesce(pg_catalog.current_setting('reserved_connections', true)::pg_catalog.int4, 0), "
        "coalesce((SELECT pg_catalog.max(value)::pg_catalog.int4 FROM dbopt.history_points WHERE name = 'connections_active'), 0), "
        "pg_catalog.current_database()::pg_catalog.text");
    return core::make_profile({.environment = environment, .cpus = pg::read_machine().cpus,
                               .usable_connections = r[0].get<int32_t>(0), .busiest = r[0].get<int32_t>(1),
                               .database = r[0].get<std::string>(2)});
}

void background() {
    pg::transaction t;
    pg::set_local("search_path", "pg_catalog, pg_temp");
    pg::set_local("lock_timeout", "200ms");
    poll();
    pg::execute("DELETE FROM dbopt.pool_sample WHERE at < pg_catalog.clock_timestamp() - interval '1 hour'");
    t.commit();
}

} // namespace dbopt::pool
