// SQL entry points of the advisor: arguments in, rows out.
#include "advisor/advisor.hpp"
#include "advisor/builds.hpp"

#include <cmath>

using namespace dbopt;

// Two decimals, as EXPLAIN prints costs.
static double rounded(double d) { return std::round(d * 100) / 100; }

DBOPT_FUNCTION(dbopt_index_suggest) {
    advisor::suggest_options o;
    if (!args.null(0)) {
        const auto texts = args.get<std::vector<std::string>>(0);
        const auto weights = args.get_or<std::vector<double>>(1, {});
        if (!weights.empty() && weights.size() != texts.size())
            pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
                       .message = "weights has " + std::to_string(weights.size()) +
                                  " elements for " + std::to_string(texts.size()) + " queries",
                       .hint = "Give one weight per query, or none."});
        for (size_t i = 0; i < texts.size(); ++i)
            o.queries.push_back({.text = texts[i],
                                 .weight = weights.empty() ? 1 : weights[i],
                                 .path = {},
                                 .parameters = {}});
    } else {
        o.observed = true;
        o.queries = advisor::observed_workload();
    }
    o.budget_bytes = args.optional<int64_t>(2);
    o.max_indexes = args.optional<int32_t>(3);
    o.max_width = args.get_or<int32_t>(4, 3);
    o.methods = args.get_or<std::vector<std::string>>(5, {"btree", "gin", "brin", "hash"});
    o.time_limit_s = args.get_or<pg::interval>(6, {.us = 30'000'000}).seconds();
    pg::rows out(args);
    int rank = 0;
    double base = 0;
    for (const advisor::suggestion &s : advisor::suggest(o)) {
        if (rank == 0)
            base = s.cost_before;
        const double benefit = base > 0 ? 100 * (s.cost_before - s.cost_after) / base : 0;
        const double write = base > 0 ? 100 * s.write_cost / base : 0;
        out.add(++rank, s.relation, s.ddl, s.size_bytes, rounded(s.build_ms), rounded(s.cost_before),
                rounded(s.cost_after), rounded(benefit), rounded(write), s.query_ids, s.reason);
    }
    return out.done();
}

DBOPT_FUNCTION(dbopt_index_whatif) {
    const advisor::whatif_result r =
        advisor::what_if(args.get<std::string>(0), args.get<std::vector<std::string>>(1));
    return args.record({rounded(r.cost_before), rounded(r.cost_after), r.used, r.warnings, r.plan});
}

DBOPT_FUNCTION(dbopt_search_figures) {
    advisor::search_figures figures;
    advisor::suggest_options o{.queries = {}, .budget_bytes = {}, .max_indexes = {},
                               .methods = {"btree", "gin", "brin", "hash"}, .measure = &figures};
    for (const std::string &query : args.get<std::vector<std::string>>(0))
        o.queries.push_back({.text = query, .path = {}, .parameters = {}});
    advisor::suggest(o);
    return args.record({std::round(figures.plans_per_s), std::round(figures.recostings_per_s),
                        rounded(figures.median_error_pct), rounded(figures.p90_error_pct)});
}

DBOPT_FUNCTION(dbopt_plan_problem) {
    return args.result(advisor::plan_problem(args.get<std::string>(0), args.get<Oid>(1)));
}

DBOPT_FUNCTION(dbopt_index_size) {
    return args.result(advisor::estimated_size(args.get<std::string>(0)));
}

DBOPT_FUNCTION(dbopt_index_apply) {
    return args.result(advisor::apply(args.get<std::string>(0), {.verify = args.get_or<bool>(1, true),
                                                                 .window_start = args.optional<int64_t>(2),
                                                                 .window_end = args.optional<int64_t>(3),
                                                                 .expectation = {}}));
}

DBOPT_FUNCTION(dbopt_index_expect) {
    advisor::expect(args.get<std::string>(0));
    return args.nothing();
}
