// Pool sizes: what an application should ask for, and what a pooler's counters say about its size.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dbopt::core {

struct pool_situation {
    std::string environment;   // development, test, staging, production, high-load
    int cpus = 1;
    int usable_connections = 97; // max_connections without the reserved ones
    int busiest = 0;           // most active sessions seen in the history, 0: unknown
    std::string database = "app";
};

struct profile_line {
    std::string setting;
    std::string value;
    std::string reason;
};

struct pool_profile {
    int min_size = 0;
    int max_size = 0;
    int idle_timeout_s = 0;
    std::vector<profile_line> lines;
};
// Throws std::invalid_argument for an unknown environment.
pool_profile make_profile(const pool_situation &s);

// Two readings of PgBouncer's SHOW STATS (sums over databases) and the state at the second one.
struct pooler_reading {
    double at = 0;              // seconds
    double xact_count = 0;
    double xact_time_us = 0;
    double wait_time_us = 0;
};
struct pooler_state {
    int version = 0;            // 118 for 1.18, 123 for 1.23
    int clients_active = 0;
    int clients_waiting = 0;
    int pool_size = 0;
    int cpus = 1;
};
struct pooler_advice {
    double busy_servers = 0;    // mean number of server connections at work
    std::optional<double> mean_wait_ms; // per transaction
    int suggested_size = 0;
    std::string reason;
};
// Nothing when the counters went backwards (restart) or no time passed.
std::optional<pooler_advice> size_pooler(const pooler_reading &before, const pooler_reading &now,
                                         const pooler_state &state);

} // namespace dbopt::core
