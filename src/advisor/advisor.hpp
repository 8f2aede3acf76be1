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
    std::string path;      // and under these schemas, with the temporary ones last
    bool utility = false;  // DECLARE CURSOR, COPY …: carries a query, or has no plan
    std::vector<pg::whatif::engine::bound> parameters; // sampled values of $1 …
    double rows = 0; // returned or changed so far, of an observed statement
    std::vector<std::string> steady = {}, passing = {}; // parameters that had one value in all samples, or not
};
struct search_figures;
struct suggest_options {
    std::vector<weighted_query> queries;
    std::optional<int64_t> budget_bytes;
    std::optional<int> max_indexes;
    int max_width = 3; // columns of an index, INCLUDE ones too
    std::vector<std::string> methods;
    double time_limit_s = 30;
    search_figures *measure = nullptr; // how fast and how exact the search is, on demand
    bool observed = false; // the queries are the captured workload: weigh the tables' writes
};
struct search_figures {
    double plans_per_s = 0;      // what-if plans with one hypothetical index
    double recostings_per_s = 0; // costs of a query under a set, by arithmetic
    double median_error_pct = 0, p90_error_pct = 0; // of these against plans, random sets
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
void define_settings(); // from _PG_init

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

// Why a statement cannot be planned as that role (contained); nothing: it can.
std::optional<std::string> plan_problem(const std::string &query, Oid role);

int64_t estimated_size(const std::string &ddl);

// The database worker's round: moves each queued build to its next state.
void background();

} // namespace dbopt::advisor
