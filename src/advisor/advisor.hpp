// Index advice: which indexes make a workload cheapest within a budget, and what one would change.
//
// Everything is planned by the real planner with hypothetical indexes (pg/whatif.hpp); sizes come
// from a sample (pg/index_sample.hpp); the search is core/index_search.hpp. Nothing is created.
#pragma once
#include "pg/entry.hpp"
#include "pg/whatif.hpp"

namespace dbopt::advisor {

struct weighted_query {
    std::string text;
    double weight = 1;
    int64_t query_id = 0; // 0: as the server computes it, or its position
    Oid role = InvalidOid; // plan as this role, contained; InvalidOid: as the caller
    std::vector<pg::whatif::engine::bound> parameters; // sampled values of $1 …
    double rows = 0; // returned or changed so far, of an observed statement
};
struct suggest_options {
    std::vector<weighted_query> queries;
    std::optional<int64_t> budget_bytes;
    std::optional<int> max_indexes;
    int max_width = 3; // columns of an index, INCLUDE ones too
    std::vector<std::string> methods;
    double time_limit_s = 30;
    bool observed = false; // the queries are the captured workload: weigh the tables' writes
};
struct suggestion {
    Oid relation = InvalidOid;
    std::string ddl;
    int64_t size_bytes = 0;
    double build_ms = 0;
    double cost_before = 0, cost_after = 0; // of the whole workload, cumulative
    double write_cost = 0;                  // in the same unit
    std::vector<int64_t> query_ids;
    std::string reason;
};
// The captured workload of this database as the caller may see it: weights are calls.
std::vector<weighted_query> observed_workload();

// Queries that cannot be planned are skipped with a WARNING; if none can, that is the error.
std::vector<suggestion> suggest(const suggest_options &options);

struct whatif_result {
    double cost_before = 0, cost_after = 0;
    std::vector<std::string> used, warnings;
    std::string plan;
};
whatif_result what_if(const std::string &query, const std::vector<std::string> &ddl);

int64_t estimated_size(const std::string &ddl);

// The database worker's round: moves each queued build to its next state.
void background();

} // namespace dbopt::advisor
