// Connection pools: an application's own, seen through application_name, and a PgBouncer, asked over
// its console. Reading a PgBouncer happens in poll() alone, under a timeout and a breaker; views and
// health checks read what poll() stored, so that a dead pooler delays nobody.
#pragma once
#include "core/pool_profile.hpp"
#include "pg/query.hpp"

namespace dbopt::pool {

struct poll_result {
    std::string name;
    std::string status; // done, failed, skipped (the breaker is open)
    std::string detail;
};
// Asks every PgBouncer that is due; only `name` when it is given, whatever its breaker says.
std::vector<poll_result> poll(const std::optional<std::string> &name = {});

struct sizing {
    std::string name;
    core::pooler_advice advice;
    int pool_size = 0;
};
// From the counters' growth over the last 10 minutes of samples.
std::vector<sizing> sizes();

core::pool_profile profile(const std::string &environment);

void background(); // the worker's round: polls, and forgets samples older than an hour

} // namespace dbopt::pool
