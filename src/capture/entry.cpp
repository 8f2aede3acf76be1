// SQL entry points of the capture room.
#include "capture/capture.hpp"
#include "pg/security.hpp"

using namespace dbopt;

DBOPT_FUNCTION(dbopt_workload) {
    pg::rows out(args);
    const Oid caller = pg::caller();
    const bool reads_all = pg::has_privileges_of(caller, "pg_read_all_stats");
    for (const capture::statement &s : capture::statements(pg::this_database())) {
        const bool visible = reads_all || pg::has_privileges_of(caller, s.role);
        out.add(s.query_id, s.role, visible ? capture::redacted(s.text) : "<insufficient privilege>",
                s.calls, s.total_ms, s.calls > 0 ? s.total_ms / static_cast<double>(s.calls) : 0.0,
                s.p50_ms, s.p95_ms, s.p99_ms, s.min_ms, s.max_ms, s.rows, s.plans, s.plan_ms, s.errors,
                s.transactions, s.blocks_hit, s.blocks_read, s.blocks_written, s.temp_blocks, s.samples,
                s.toplevel, s.utility, s.first_seen, s.last_seen, s.key);
    }
    return out.done();
}

DBOPT_FUNCTION(dbopt_workload_reset) {
    return args.result(capture::reset(pg::this_database()));
}

DBOPT_FUNCTION(dbopt_workload_add) {
    return args.result(capture::seed({.query_id = args.get<int64_t>(0),
                                      .role = args.get<Oid>(1),
                                      .text = args.get<std::string>(2),
                                      .calls = args.get<int64_t>(3),
                                      .rows = args.get<int64_t>(4),
                                      .plans = args.get<int64_t>(5),
                                      .total_ms = args.get<double>(6),
                                      .plan_ms = args.get<double>(7),
                                      .min_ms = args.get<double>(8),
                                      .max_ms = args.get<double>(9)}));
}

DBOPT_FUNCTION(dbopt_workload_state) {
    if (!capture::available())
        return args.record({false, nullptr, int64_t{0}, int64_t{0}});
    return args.record({true, capture::since(), capture::evicted(), capture::without_text(pg::this_database())});
}

// NULL where no text is known.
DBOPT_FUNCTION(dbopt_statement_text) {
    const Oid role = args.get<Oid>(1), caller = pg::caller();
    if (!pg::has_privileges_of(caller, "pg_read_all_stats") && !pg::has_privileges_of(caller, role))
        return args.result("<insufficient privilege>");
    const std::string sql = capture::text_of(args.get<int64_t>(0), role, pg::this_database());
    return args.result(sql.empty() ? pg::value(nullptr) : pg::value(capture::redacted(sql)));
}

DBOPT_FUNCTION(dbopt_redacted) {
    return args.result(capture::redacted(args.get<std::string>(0)));
}
