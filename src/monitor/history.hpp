// Snapshots and baselines: writing them, and reading a state of the past back.
#pragma once
#include "core/latency_history.hpp"
#include "monitor/monitor.hpp"
#include <map>

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
    object_toast,   // bytes of a table's toast table with its index
    object_width
};
// … and of a statement (key: capture::statement_key, the same query of two roles is two). Times in µs.
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

struct statement_name {
    int64_t query_id = 0;
    Oid role = InvalidOid;
    double per_transaction = 0; // calls in each, of those that clients made; many: N+1
};
struct frame {
    pg::timestamptz taken_at = {};
    core::history_objects objects = {};    // key: OID
    core::history_objects statements = {};
    core::history_objects latencies = {};  // of the same statements; core/latency_history.hpp
    std::map<uint64_t, statement_name> names = {}; // of the statements of this moment, not of stored ones
    bool whole = true;                     // false: damaged rows lie between this one and what was asked for
};

frame read_now();            // the costliest statements only
frame read_objects_now();    // without statements
frame read_statements_now(); // all of them, without objects: no folder is read
// What of a snapshot is wanted: the rest is not decoded.
enum class part { all, objects, statements };
// The youngest snapshot at or before `until` (nothing: the last one); nothing when there is none.
std::optional<frame> frame_at(std::optional<pg::timestamptz> until, part wanted);
// The youngest snapshot that is at least that old.
std::optional<frame> frame_as_old_as(double seconds, part wanted);
// The same, else the oldest one there is.
std::optional<frame> frame_before(double seconds, part wanted);
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

// What every statement did in a window, all of its life where `then` is nothing. Of those that the
// frame left out nothing can be known: they are missing, or shown with their whole life.
struct named_window {
    statement_name name;
    statement_window did;
    bool whole_life = false;
};
std::vector<named_window> statement_windows(const std::optional<frame> &then, bool or_life = false);

// Stores a snapshot and removes what is older than dbopt.history_retention. Nothing on a standby or
// while another session takes one.
std::optional<pg::timestamptz> take_snapshot();
void forget();
void save_baseline(const std::string &name);
std::optional<frame> load_baseline(const std::string &name);

} // namespace dbopt::monitor
