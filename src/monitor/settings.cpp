#include "monitor/monitor.hpp"
#include "pg/settings.hpp"

namespace dbopt::monitor {

namespace {
settings values;
bool came_by_preload = false;
} // namespace

const settings &current_settings() { return values; }
bool preloaded() { return came_by_preload; }

void define_settings() {
    came_by_preload = pg::preloading();
    pg::define_int({.name = "dbopt.history_retention",
                    .description = "Days for which snapshots and alerts are kept.",
                    .variable = &values.history_retention_days,
                    .value = 30,
                    .low = 1,
                    .high = 3650});
    pg::define_int({.name = "dbopt.snapshot_interval",
                    .description = "Time between two snapshots of the history; 0 takes none.",
                    .variable = &values.snapshot_interval,
                    .value = 300,
                    .low = 0,
                    .high = 86400,
                    .in = pg::unit::s});
    pg::define_int({.name = "dbopt.slow_query_window",
                    .description = "How far dbopt.slow_queries looks back.",
                    .variable = &values.slow_query_window,
                    .value = 3600,
                    .low = 0,
                    .high = 31536000,
                    .when = pg::change::user,
                    .in = pg::unit::s});
    pg::define_int({.name = "dbopt.history_objects",
                    .description = "Statements that a snapshot keeps, those with most time first.",
                    .variable = &values.history_objects,
                    .value = 500,
                    .low = 0,
                    .high = 100000});
}

} // namespace dbopt::monitor
