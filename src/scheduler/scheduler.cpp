#include "scheduler/scheduler.hpp"
#include "pg/crew.hpp"
#include "pg/parking.hpp"
#include "pg/settings.hpp"
#include "pg/worker.hpp"

namespace dbopt::scheduler {

bool enabled = true;
int max_workers = 4;
int history_rows = 10000;
int history_age_minutes = 30 * 24 * 60;
int breaker_failures = 5;
int breaker_cooldown_s = 60;
retry_setting retry_settings[3] = {{5, 1000, 30000}, {3, 500, 5000}, {5, 100, 2000}};

static void define_retry(const char *const names[3], const char *const texts[3], retry_setting &s) {
    pg::define_int({names[0], texts[0], &s.attempts, s.attempts, 1, 100});
    pg::define_int({names[1], texts[1], &s.base_ms, s.base_ms, 1, 3600 * 1000,
                    pg::change::reload, pg::unit::ms});
    pg::define_int({names[2], texts[2], &s.cap_ms, s.cap_ms, 1, 24 * 3600 * 1000,
                    pg::change::reload, pg::unit::ms});
}

void define_settings() {
    pg::define_bool("dbopt.enabled", "Whether background work of dbopt runs at all.", &enabled, true);
    pg::define_int({"dbopt.max_workers",
                    "Most jobs and queued runs at the same time in the cluster; one more worker per "
                    "database serves short jobs.",
                    &max_workers, 4, 1, 64});
    pg::define_int({"dbopt.history_rows", "Most finished runs kept in dbopt.job_runs.", &history_rows,
                    10000, 100, 10000000});
    pg::define_int({"dbopt.history_age", "Finished runs older than this are removed.",
                    &history_age_minutes, 30 * 24 * 60, 60, 10 * 366 * 24 * 60, pg::change::reload,
                    pg::unit::min});
    pg::define_int({"dbopt.breaker_failures",
                    "Failures of a job in a row, retries not counted, that open its breaker.",
                    &breaker_failures, 5, 1, 1000});
    pg::define_int({"dbopt.breaker_cooldown",
                    "How long an opened breaker rejects runs before it allows a trial run.",
                    &breaker_cooldown_s, 60, 1, 24 * 3600, pg::change::reload, pg::unit::s});
    static const char *const names[3][3] = {
        {"dbopt.retry_default_attempts", "dbopt.retry_default_base", "dbopt.retry_default_cap"},
        {"dbopt.retry_database_attempts", "dbopt.retry_database_base", "dbopt.retry_database_cap"},
        {"dbopt.retry_transaction_attempts", "dbopt.retry_transaction_base",
         "dbopt.retry_transaction_cap"}};
    static const char *const texts[3] = {"Attempts of a run in this retry class, the first included.",
                                         "Pause before the second attempt; it doubles each time.",
                                         "Longest pause between two attempts."};
    for (int i = 0; i < 3; ++i)
        define_retry(names[i], texts, retry_settings[i]);
}

void start() {
    pg::crew::request();
    pg::install_parking();
    pg::register_static_worker({.name = "dbopt launcher",
                                .type = "dbopt launcher",
                                .function = "dbopt_launcher_main",
                                .restart_seconds = 1});
}

} // namespace dbopt::scheduler
