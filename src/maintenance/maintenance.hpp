// Maintenance by need. plan() says what would help and what stands in the way; run() carries it out,
// one relation at a time, through workers (VACUUM and REINDEX CONCURRENTLY need top level).
#pragma once
#include "pg/entry.hpp"

namespace dbopt::maintenance {

struct settings {
    double reindex_min_pct = 30;      // share that a rebuild must give back at least
    int reindex_min_kb = 8192;        // and how much of it
    int old_transaction_s = 10;       // CONCURRENTLY is not started beside transactions older than that
    int workers = 2;                  // relations at a time
    double cost_delay_ms = 2;         // of VACUUM and ANALYZE, as autovacuum's
    int lock_timeout_ms = 500;        // of commands that are one transaction
    int reindex_rest_pct = 50;        // pause after a REINDEX before the next, of the time it took
    int reindex_parallel = 0;         // max_parallel_maintenance_workers of REINDEX
    int keep_days = 365;              // of rows in maintenance_runs
};
extern settings config;
void define_settings();

struct task {
    int priority = 5;
    Oid relation = InvalidOid;
    std::string action = {}, command = {}, reason = {};
    std::string blocker = {};              // why it is not worth doing now; empty when it is
    std::string gain = {};
    int64_t predicted_bytes = -1;     // of an index after REINDEX
    int64_t dead_bytes = -1, dead_left = -1; // measured before VACUUM, and what it cannot remove
};

// Ordered by priority. Indexes are measured for at most `measure_ms`.
std::vector<task> plan(int64_t measure_ms = 15000);
// The tasks that a caller asks for by name, needed or not; blockers are looked up all the same.
std::vector<task> chosen(const std::vector<std::string> &actions, const std::vector<Oid> &relations);

struct run_options {
    std::vector<std::string> actions;  // empty: all
    std::vector<Oid> relations;        // empty: all
    int64_t max_ms = 3600 * 1000;
    bool dry_run = false;
};
// Body of CALL maintenance_run: commits between tasks.
void run(const pg::arguments &args, const run_options &o);

} // namespace dbopt::maintenance
