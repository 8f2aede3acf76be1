// Background workers and jobs. One launcher per cluster, one worker per database that has the
// extension, one process per database that serves the rooms' rounds, and a worker per run.
// README.md in this folder has the state machine.
#pragma once

namespace dbopt::scheduler {

void define_settings();
// From _PG_init while preloading: shared memory, the parking hook, the launcher.
void start();

// Settings, in the units of their names.
extern bool enabled;
extern int max_workers;
extern int history_rows;
extern int history_age_minutes;
extern int breaker_failures;
extern int breaker_cooldown_s;
struct retry_setting {
    int attempts, base_ms, cap_ms;
};
extern retry_setting retry_settings[3]; // default, database, transaction

} // namespace dbopt::scheduler
