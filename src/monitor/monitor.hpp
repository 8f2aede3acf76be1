// Health, history and what is built on them. Nothing here waits for a lock on a user's table.
#pragma once
#include "monitor/checks.hpp"
#include "pg/query.hpp"

namespace dbopt::monitor {

// One check after measuring. status: ok, warning, critical, skipped (does not apply, or the caller
// may not see it) or error (its probe failed; detail is the message).
struct finding {
    const check *what = nullptr;
    core::thresholds limits;      // the check's own, or those of alert_set
    std::string status;
    std::optional<double> value = {};
    std::string detail;
    bool forbidden = false; // skipped, because the caller may not look
    bool bad() const { return status == "warning" || status == "critical"; }
};

// Runs all probes up to `limit`, each in a subtransaction: one that fails costs its own rows only.
// Without pg_read_all_stats the probes over other sessions are skipped.
std::vector<finding> examine(tier limit);
tier tier_of(const std::string &name); // raises 22023
// How much a status weighs: ok 0, skipped 1, error 2, warning 3, critical 4.
int rank_of(std::string_view status);

// ---- history ----
enum class point_kind { counter, gauge };
struct point {
    const char *name;
    point_kind kind;
    const char *unit;
    const char *help;
};
// The figures of a snapshot; dbopt.history.values holds them in this order, which only ever grows.
std::span<const point> points();
// Counters alone cost one read of the statistics; gauges also read the size of the database's folders,
// unless it is given.
std::vector<std::optional<double>> read_points(bool with_gauges, int64_t database_bytes = -1);

// A counter's growth since the youngest snapshot that is at least `span` old, else since the oldest one,
// else (no snapshot yet) since the server began to count. What went backwards was reset by somebody:
// what it shows now has come since. per_hour is never extrapolated: in its first hour a server shows
// what has come so far.
struct counter_growth {
    const char *name;
    std::optional<double> delta = {}, per_hour = {};
};
struct recent_growth {
    std::optional<double> seconds; // nothing: nobody knows since when
    std::vector<counter_growth> counters = {};
};
recent_growth counters_since(double span_seconds);

// ---- alerts ----
struct alert_change {
    std::string rule;
    std::string from; // ok, warning, critical
    std::string to;
    std::optional<double> value = {};
    std::string detail = {};
    bool muted = false;
};
// One round: measures up to `limit`, moves every rule's state, records the changes (table, NOTIFY
// dbopt_alert, one JSON line in the log). Nothing on a standby or while another round runs.
std::vector<alert_change> check_alerts(tier limit);

// Hands what waits in the outbox to pg_net, where it is installed. Returns how many.
int64_t send_alerts();

// The worker's round: fast alerts each time, normal ones every minute, deep ones every ten minutes, a
// snapshot when it is due.
void background();

struct settings {
    int history_retention_days = 30;
    int snapshot_interval = 300;     // s
    int slow_query_window = 3600;    // s
    int history_objects = 500;       // tables and statements kept per snapshot
};
const settings &current_settings();
// True when the library came through shared_preload_libraries.
bool preloaded();
void define_settings();

} // namespace dbopt::monitor
