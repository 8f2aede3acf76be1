// Everything that is measured, as metric families for Prometheus and for SQL.
#include "core/exposition.hpp"
#include "monitor/history.hpp"
#include "monitor/report.hpp"
#include "pg/inventory.hpp"
#include "pg/transaction.hpp"
#include <map>

namespace dbopt::monitor {

namespace {

using core::metric_family;
constexpr size_t most = 50; // tables, statements: the rest is one series named other

struct collector {
    std::vector<metric_family> families;
    std::map<std::string, size_t, std::less<>> index;
    std::string database;

    metric_family &family(const std::string &name, const char *type, const std::string &help) {
        const auto [at, fresh] = index.try_emplace(name, families.size());
        if (fresh)
            families.push_back({name, type, help, {}});
        return families[at->second];
    }
};

void add_points(collector &c) {
    const auto values = read_points(true);
    const auto names = points();
    for (size_t i = 0; i < names.size(); ++i) {
        const bool counts = names[i].kind == point_kind::counter;
        if (values[i])
            c.family("dbopt_" + std::string(names[i].name) + (counts ? "_total" : ""), counts ? "counter" : "gauge",
                     names[i].help)
                .samples.push_back({{{"database", c.database}}, *values[i]});
    }
}

void add_checks(collector &c) {
    auto &values = c.family("dbopt_check_value", "gauge", "measurement of a health check");
    values.samples.clear();
    std::vector<core::metric_sample> statuses;
    for (const finding &f : examine(tier::normal)) {
        if (f.value)
            values.samples.push_back({{{"check", f.what->name}, {"unit", f.what->unit}}, *f.value});
        statuses.push_back({{{"check", f.what->name}},
                            f.status == "critical" ? 2.0 : f.status == "warning" ? 1.0
                            : f.status == "ok"     ? 0.0 : -1.0});
    }
    c.family("dbopt_check_status", "gauge", "health check: 0 ok, 1 warning, 2 critical, -1 skipped or failed").samples =
        std::move(statuses);
}

// One statement of text labels and float8 values: the first `labels` columns are labels.
struct series {
    const char *name;
    const char *type;
    const char *help;
};
void add_query(collector &c, const char *sql, std::vector<const char *> labels, std::vector<series> columns,
               bool bounded = false) {
    const auto failure = pg::subtransaction([&] {
        const pg::result rows = pg::query(sql);
        for (const pg::row &r : rows) {
            std::vector<std::pair<std::string, std::string>> marks{{"database", c.database}};
            for (size_t i = 0; i < labels.size(); ++i)
                marks.emplace_back(labels[i], r.get_or<std::string>(static_cast<int>(i), ""));
            for (size_t i = 0; i < columns.size(); ++i)
                if (const auto v = r.optional<double>(static_cast<int>(labels.size() + i)))
                    c.family(columns[i].name, columns[i].type, columns[i].help).samples.push_back({marks, *v});
        }
    });
    if (bounded && !failure)
        for (const series &s : columns)
            if (c.index.contains(s.name))
                core::keep_top(c.family(s.name, s.type, s.help), most);
}

void add_tables(collector &c) {
    add_query(c,
              "SELECT n.nspname, c.relname, s.total_bytes::pg_catalog.float8, "
              "s.live_rows::pg_catalog.float8, s.dead_rows::pg_catalog.float8, s.seq_scans::pg_catalog.float8, "
              "s.written_rows::pg_catalog.float8 FROM dbopt._table_sizes() s "
              "JOIN pg_catalog.pg_class c ON c.oid = s.relation JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace",
              {"schema", "relation"},
              {{"dbopt_table_bytes", "gauge", "size of a table with its indexes and toast"},
               {"dbopt_table_live_rows", "gauge", "live rows, as the statistics estimate them"},
               {"dbopt_table_dead_rows", "gauge", "dead rows, as the statistics estimate them"},
               {"dbopt_table_seq_scans_total", "counter", "sequential scans"},
               {"dbopt_table_written_rows_total", "counter", "rows inserted, updated and deleted"}},
              true);
}

} // namespace

std::vector<metric_family> read_metrics() {
    const pg::inventory_scope shared;
    collector c;
    c.database = pg::scalar<std::string>("SELECT pg_catalog.current_database()::pg_catalog.text").value_or("");
    c.family("dbopt_up", "gauge", "1: the exposition was made").samples.push_back({{{"database", c.database}}, 1});
    add_points(c);
    add_checks(c);
    add_query(c, "SELECT coalesce(state, 'none'), count(*)::pg_catalog.float8 FROM pg_catalog.pg_stat_get_activity(NULL) "
                 "WHERE backend_type = 'client backend' GROUP BY 1", {"state"},
              {{"dbopt_sessions_by_state", "gauge", "client sessions by state"}});
    add_query(c, "SELECT coalesce(wait_event_type, 'running'), count(*)::pg_catalog.float8 FROM pg_catalog.pg_stat_get_activity(NULL) "
                 "WHERE state = 'active' GROUP BY 1", {"wait"},
              {{"dbopt_active_by_wait", "gauge", "active sessions by what they wait for"}});
    add_tables(c);
    add_query(c, "SELECT query_id::pg_catalog.text, sum(calls)::pg_catalog.float8, sum(total_ms) / 1000, sum(rows)::pg_catalog.float8 "
                 "FROM dbopt._statements() WHERE query_id IS NOT NULL GROUP BY 1", {"query_id"},
              {{"dbopt_statement_calls_total", "counter", "calls of a statement"},
               {"dbopt_statement_seconds_total", "counter", "time spent in a statement"},
               {"dbopt_statement_rows_total", "counter", "rows returned or affected by a statement"}},
              true);
    add_query(c, "SELECT name, kind, used::pg_catalog.float8, free::pg_catalog.float8, waiting::pg_catalog.float8, max_size::pg_catalog.float8, "
                 "utilization_pct, CASE WHEN health = 'unreachable' THEN 0.0 ELSE 1.0 END::pg_catalog.float8 FROM dbopt._pool_states()",
              {"pool", "kind"},
              {{"dbopt_pool_used", "gauge", "connections of a pool that are in use"},
               {"dbopt_pool_free", "gauge", "connections of a pool that are free"},
               {"dbopt_pool_waiting", "gauge", "clients that wait for a connection"},
               {"dbopt_pool_max_size", "gauge", "most connections that a pool may have"},
               {"dbopt_pool_utilization_pct", "gauge", "used connections in per cent of max_size"},
               {"dbopt_pool_up", "gauge", "1: the pooler answers"}});
    add_query(c, "SELECT rule, level, 1.0::pg_catalog.float8 FROM dbopt.alerts", {"rule", "level"},
              {{"dbopt_alert", "gauge", "alerts raised by dbopt itself"}});
    add_query(c, "SELECT kind, name, lag_bytes::pg_catalog.float8, lag_ms / 1000 FROM dbopt.replication", {"kind", "name"},
              {{"dbopt_replication_lag_bytes", "gauge", "WAL that is sent but not replayed"},
               {"dbopt_replication_lag_seconds", "gauge", "age of what is replayed"}});
    return std::move(c.families);
}

} // namespace dbopt::monitor
