// The health checks as data: what is measured, in which tier, when it is bad, what to do about it.
//
// A probe is one statement whose rows are (check_name text, value float8, detail text); it feeds the
// checks listed with it. A NULL value means "does not apply here" and comes out as skipped. Rules
// for the SQL: it never opens a user's relation (no pg_relation_size, no pg_get_indexdef), so that it
// waits for no lock; it runs with search_path = pg_catalog, pg_temp. A probe over many objects is a
// function over pg/inventory instead.
#pragma once
#include "core/judge.hpp"
#include <map>
#include <optional>
#include <span>
#include <string>

namespace dbopt::monitor {

enum class tier { fast, normal, deep };

struct check {
    const char *name;
    const char *unit;
    core::thresholds limits;
    const char *advice;     // what to do when it is bad, as a sentence or a command
    double for_seconds = 0; // how long it must be bad before an alert is raised
    bool alerts = true;     // false: shown by health(), raises no alert
};

struct measurement {
    std::optional<double> value = {};
    std::string detail = {};
};
using measurements = std::map<std::string, measurement, std::less<>>;

struct probe {
    const char *name;
    tier at;
    bool reads_others;     // needs pg_read_all_stats: without it the checks are skipped
    const char *requires_relation; // the probe is skipped where this does not exist; may be nullptr
    const char *sql;
    const char *sql_before_17; // where the statistics views differ; nullptr: the same
    std::span<const check> checks;
    void (*measure)(measurements &) = nullptr; // instead of sql
};

// Over all tables and indexes at once, from one inventory (table_checks.cpp).
void measure_tables(measurements &into);
void measure_indexes(measurements &into);

// All probes, fast ones first. Defined in *_checks.cpp, one file per topic.
std::span<const probe> activity_probes();
std::span<const probe> server_probes();
std::span<const probe> schema_probes();
std::span<const probe> settings_probes();
std::span<const probe> room_probes();

} // namespace dbopt::monitor
