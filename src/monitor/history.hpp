// Snapshots and baselines: writing them, and reading a state of the past back.
#pragma once
#include "core/latency_history.hpp"
#include "monitor/monitor.hpp"

namespace dbopt::monitor {

// Positions in history_values of a table, matview or index. Append only: stored data refer to them.
enum object_value : uint8_t {
    object_bytes, // with free space and visibility map, without indexes and toast
    object_live,
    object_dead,
    object_scans, // sequential of a table, index scans of an index
    object_read,  // rows read by them
    object_inserted,
    object_updated,
    object_deleted,
    object_fetched, // blocks asked for
    object_hit,     // blocks found in shared buffers
    object_width
};
// … and of a statement (key: query_id). Times in µs.
// The percentiles are of the statement's whole life; those of a window come from the histograms.
enum statement_value : uint8_t {
    statement_calls,
    statement_time,
    statement_rows,
    statement_p95,
    statement_p99,
    statement_first_seen, // µs since 2000
    statement_width
};

struct frame {
    pg::timestamptz taken_at = {};
    core::history_objects objects = {};    // key: OID
    core::history_objects statements = {}; // key: query_id
    core::history_objects latencies = {};  // of the same statements; core/latency_history.hpp
};

frame read_now();
frame read_objects_now(); // without statements
frame read_statements_now(); // without objects: no folder is read
// The youngest snapshot at or before `until` (nothing: the last one); nothing when there is none.
std::optional<frame> frame_at(std::optional<pg::timestamptz> until);
// The youngest snapshot that is at least that old, else the oldest one there is.
std::optional<frame> frame_before(double seconds);
double seconds_since(const std::optional<frame> &f); // 0 without a frame

// What one object or statement did between two frames. Counters that went backwards were reset: what
// they show now has come since. Gauges (sizes, live rows) must be read from `now` itself.
core::history_values growth(const core::history_values &now, const core::history_values *then);

// What a statement did since a frame; nothing when that cannot be known, because the frame left it
// out (it keeps the most costly ones only).
struct statement_window {
    int64_t calls = 0;
    double total_ms = 0;
    int64_t rows = 0;
    double p50_ms = 0, p95_ms = 0, p99_ms = 0;
    std::optional<double> mean_ms_before = {}, p95_ms_before = {};
    int64_t calls_before = 0;
};
std::optional<statement_window> window_of(uint64_t statement, const frame &now, const std::optional<frame> &then);

// Stores a snapshot and removes what is older than dbopt.history_retention. Nothing on a standby or
// while another session takes one.
std::optional<pg::timestamptz> take_snapshot();
void forget();
void save_baseline(const std::string &name);
std::optional<frame> load_baseline(const std::string &name);

} // namespace dbopt::monitor
