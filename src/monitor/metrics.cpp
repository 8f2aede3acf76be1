// Everything that is measured, as metric families for Prometheus and for SQL.
#include "core/exposition.hpp"
#include "monitor/report.hpp"
#include "monitor/young_sizes.hpp"
#include "pg/transaction.hpp"
#include <algorithm>
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

void add_points(collector &c, int64_t database_bytes) {
    const auto values = read_points(true, database_bytes);
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

// The largest by each measure are chosen before anybody asks for names.
void add_tables(collector &c, const young_sizes &sizes) {
    struct measure {
        series what;
        double (*of)(const sized_table &);
    };
    static constexpr measure measures[] = {
        {{"dbopt_table_bytes", "gauge", "size of a table with its indexes and toast"},
         [](const sized_table &t) { return static_cast<double>(t.total()); }},
        {{"dbopt_table_live_rows", "gauge", "live rows, as the statistics estimate them"},
         [](const sized_table &t) { return static_cast<double>(t.table->counters.live); }},
        {{"dbopt_table_dead_rows", "gauge", "dead rows, as the statistics estimate them"},
         [](const sized_table &t) { return static_cast<double>(t.table->counters.dead); }},
        {{"dbopt_table_seq_scans_total", "counter", "sequential scans"},
         [](const sized_table &t) { return static_cast<double>(t.table->counters.scans); }},
        {{"dbopt_table_written_rows_total", "counter", "rows inserted, updated and deleted"},
         [](const sized_table &t) {
             const pg::relation_counters &n = t.table->counters;
             return static_cast<double>(n.inserted + n.updated + n.deleted);
         }}};
    const auto all = pg::current_inventory();
    const std::vector<sized_table> tables = sized_tables(sizes, *all);
    std::vector<std::vector<std::pair<Oid, double>>> chosen;
    std::vector<double> others;
    std::vector<int64_t> oids;
    for (const measure &m : measures) {
        std::vector<std::pair<Oid, double>> values;
        double sum = 0;
        for (const sized_table &t : tables) {
            values.emplace_back(t.table->oid, m.of(t));
            sum += values.back().second;
        }
        keep_first(values, most, [](const auto &x, const auto &y) { return x.second > y.second; });
        for (const auto &[oid, v] : values) {
            oids.push_back(oid);
            sum -= v;
        }
        others.push_back(sum);
        chosen.push_back(std::move(values));
    }
    std::map<Oid, std::pair<std::string, std::string>> names;
    for (const pg::row &r : pg::query("SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n "
                                      "ON n.oid = c.relnamespace WHERE c.oid = ANY ($1::pg_catalog.int8[]::pg_catalog.oid[])", {oids}))
        names[r.get<Oid>(0)] = {r.get<std::string>(1), r.get<std::string>(2)};
    for (size_t i = 0; i < std::size(measures); ++i) {
        const series &s = measures[i].what;
        metric_family &f = c.family(s.name, s.type, s.help);
        for (const auto &[oid, v] : chosen[i])
            if (const auto n = names.find(oid); n != names.end())
                f.samples.push_back({{{"database", c.database}, {"schema", n->second.first}, {"relation", n->second.second}}, v});
        if (tables.size() > most)
            f.samples.push_back({{{"database", "other"}, {"schema", "other"}, {"relation", "other"}}, others[i]});
    }
}

} // namespace

std::vector<metric_family> read_metrics() {
    const pg::inventory_scope shared;
    collector c;
    c.database = pg::scalar<std::string>("SELECT pg_catalog.current_database()::pg_catalog.text").value_or("");
    c.family("dbopt_up", "gauge", "1: the exposition was made").samples.push_back({{{"database", c.database}}, 1});
    const young_sizes sizes = read_young_sizes();
    add_points(c, sizes.database_bytes);
    add_checks(c);
    add_query(c, "SELECT coalesce(state, 'none'), count(*)::pg_catalog.float8 FROM pg_catalog.pg_stat_get_activity(NULL) "
                 "WHERE backend_type = 'client backend' GROUP BY 1", {"state"},
              {{"dbopt_sessions_by_state", "gauge", "client sessions by state"}});
    add_query(c, "SELECT coalesce(wait_event_type, 'running'), count(*)::pg_catalog.float8 FROM pg_catalog.pg_stat_get_activity(NULL) "
                 "WHERE state = 'active' GROUP BY 1", {"wait"},
              {{"dbopt_active_by_wait", "gauge", "active sessions by what they wait for"}});
    add_tables(c, sizes);
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
