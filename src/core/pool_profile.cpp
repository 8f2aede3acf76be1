#include "core/pool_profile.hpp"
#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace dbopt::core {

namespace {

// Customary starting points by environment: smallest, usual and largest pool, idle timeout.
struct start {
    const char *environment;
    int min, usual, most, idle_s;
};
constexpr start starts[] = {
    {"development", 1, 5, 20, 10}, {"test", 1, 3, 5, 5},           {"staging", 5, 20, 50, 60},
    {"production", 10, 30, 100, 300}, {"high-load", 20, 50, 100, 600},
};

const start &start_of(const std::string &environment) {
    for (const start &s : starts)
        if (environment == s.environment)
            return s;
    throw std::invalid_argument("unknown environment \"" + environment +
                                "\": development, test, staging, production or high-load");
}

std::string text(int n) { return std::to_string(n); }

// The largest pool that helps: enough for what runs at once, no more than the machine can serve.
int choose_size(const start &from, const pool_situation &s, std::string &why) {
    int size = from.usual;
    why = "customary for " + std::string(from.environment);
    const int useful = 4 * s.cpus + 1; // waits for disk and network included
    if (useful > size && from.usual >= 20) {
        size = std::min(useful, from.most);
        why = text(s.cpus) + " cpus serve about " + text(useful) + " sessions at once";
    }
    if (s.busiest > 0 && s.busiest * 5 / 4 > size) {
        size = std::min(s.busiest * 5 / 4, from.most);
        why = text(s.busiest) + " sessions were active at once in the history, plus a quarter";
    }
    const int share = std::max(1, s.usable_connections * 8 / 10);
    if (size > share) {
        size = share;
        why = "80 % of the " + text(s.usable_connections) + " connections that the server has to give";
    }
    return size;
}

void add_spellings(pool_profile &p, const pool_situation &s) {
    const std::string most = text(p.max_size), least = text(p.min_size), idle = text(p.idle_timeout_s);
    const bool live = s.environment == "production" || s.environment == "high-load" ||
                      s.environment == "staging";
    auto &l = p.lines;
    l.push_back({"DATABASE_URL",
                 "postgresql://USER@HOST:5432/" + s.database + "?connection_limit=" + most +
                     "&pool_timeout=30&connect_timeout=5&statement_cache_size=100" +
                     (live ? "&sslmode=require" : ""),
                 "Prisma and others; the password belongs into a secret store or ~/.pgpass"});
    l.push_back({"DATABASE_READ_REPLICA_URL",
                 "postgresql://USER@REPLICA:5432/" + s.database + "?connection_limit=" + most + "&pool_timeout=30&connect_timeout=5" +
                     (live ? "&sslmode=require" : ""),
                 "for reads that may be a little old; how old: dbopt.replication"});
    l.push_back({"node-postgres",
                 "new Pool({ min: " + least + ", max: " + most + ", idleTimeoutMillis: " + idle +
                     "000, connectionTimeoutMillis: 5000, statement_timeout: 30000, maxLifetimeSeconds: 3600 })",
                 "the same in node-postgres"});
    l.push_back({"SQLAlchemy",
                 "create_engine(url, pool_size=" + text(std::max(1, p.max_size - p.max_size / 4)) +
                     ", max_overflow=" + text(p.max_size / 4) +
                     ", pool_timeout=30, pool_recycle=3600, pool_pre_ping=True)",
                 "pool_size + max_overflow is the limit"});
    l.push_back({"Knex",
                 "pool: { min: " + least + ", max: " + most + ", acquireTimeoutMillis: 30000, idleTimeoutMillis: " +
                     idle + "000 }",
                 "the same in Knex"});
    l.push_back({"pgbouncer.ini",
                 "default_pool_size = " + most + "\nmin_pool_size = " + least +
                     "\nreserve_pool_size = " + text(std::max(1, p.max_size / 5)) +
                     "\nserver_idle_timeout = " + idle + "\nserver_lifetime = 3600\nquery_wait_timeout = 30" +
                     "\nmax_client_conn = " + text(p.max_size * 20) + "\nmax_prepared_statements = 100",
                 "one pool per database and user; max_prepared_statements needs 1.21 or newer"});
}

} // namespace

pool_profile make_profile(const pool_situation &s) {
    const start &from = start_of(s.environment);
    pool_profile p;
    std::string why;
    p.max_size = choose_size(from, s, why);
    p.min_size = std::min(from.min, p.max_size);
    p.idle_timeout_s = from.idle_s;
    p.lines = {
        {"max_size", text(p.max_size), why},
        {"min_size", text(p.min_size),
         p.min_size < from.min ? "not more than max_size" : "customary for " + s.environment},
        {"idle_timeout", text(p.idle_timeout_s) + " s", "idle connections go back; customary for " + s.environment},
        {"connect_timeout", "5 s", "a server that does not answer is not worth more"},
        {"acquire_timeout", "30 s", "a client that waits longer should see an error"},
        {"statement_timeout", "30 s", "a runaway statement gives its connection back"},
        {"max_lifetime", "3600 s", "recycling frees a backend's caches and follows DNS changes"},
        {"pre_ping", "true", "a connection that died is noticed before it is used"},
        {"statement_cache", "100", "prepared statements per connection"},
        {"alert_at", "80 % / 90 %", "rule pool_used_pct, for 5 minutes"},
    };
    add_spellings(p, s);
    return p;
}

std::optional<pooler_advice> size_pooler(const pooler_reading &before, const pooler_reading &now,
                                         const pooler_state &state) {
    const double seconds = now.at - before.at;
    const double xacts = now.xact_count - before.xact_count;
    const double time = now.xact_time_us - before.xact_time_us;
    const double wait = now.wait_time_us - before.wait_time_us;
    if (seconds <= 0 || xacts < 0 || time < 0 || wait < 0)
        return std::nullopt;
    pooler_advice a;
    // Before 1.23 the time of a transaction began when its client began to wait.
    const double busy_us = state.version < 123 ? time - wait : time;
    a.busy_servers = std::clamp(busy_us / 1e6 / seconds, 0.0, static_cast<double>(std::max(state.pool_size, 1)));
    if (xacts > 0)
        a.mean_wait_ms = wait / 1000 / xacts;
    const int useful = 4 * state.cpus + 1;
    if (state.clients_waiting > 0) {
        const int wanted = static_cast<int>(std::ceil(a.busy_servers)) + state.clients_waiting;
        a.suggested_size = std::max(state.pool_size, std::min(wanted, std::max(useful, state.pool_size)));
        a.reason = text(state.clients_waiting) + " clients wait";
        if (a.suggested_size < wanted)
            a.reason += ": more than " + text(useful) + " busy connections do not help " + text(state.cpus) +
                        " cpus, so make the transactions shorter";
    } else {
        const int needed = std::max(2, static_cast<int>(std::ceil(a.busy_servers / 0.7)));
        a.suggested_size = needed < state.pool_size / 2 ? std::max(needed, state.pool_size / 2) : state.pool_size;
        a.reason = a.suggested_size < state.pool_size ? "most connections are idle" : "the size fits";
    }
    return a;
}

} // namespace dbopt::core
