// What the room remembers: configuration, the snapshot a matview stands for, measured costs, history.
// All of it is read and written as the extension's owner: the caller needs no right on these tables.
#pragma once
#include "matview/matview.hpp"
#include "pg/query.hpp"
#include "pg/relation.hpp"

namespace dbopt::matview {

struct settings {
    int lock_wait_s = 30;
    int log_limit_mb = 256;
    int history_days = 30;
    int check_interval_s = 86400;
};
extern settings config;

Oid extension_owner();

struct stored_config {
    Oid matview = InvalidOid;
    pg::interval every, max_staleness;
    std::string mode;
};
std::optional<stored_config> find_config(Oid matview);
std::vector<stored_config> all_configs();

// One row of dbopt._matview_state. Absent values were never measured.
struct stored_state {
    bool exists = false;
    std::optional<pg::timestamptz> last_refresh;
    std::optional<std::string> snapshot, lsn, pages, fingerprint, needs_full, incremental_off;
    bool quiet = false;
    Oid file = InvalidOid;
    std::optional<int64_t> epoch;
    // Changes of the refresh's own transaction up to this command are in the matview.
    std::optional<std::string> own_xid;
    int64_t own_command = 0;
    std::optional<double> full_ms, concurrent_ms, fixed_ms, change_us;
    int64_t change_batch = 0; // changes in the refresh that change_us was learnt from
    std::optional<pg::timestamptz> last_check;
};
stored_state load_state(Oid matview);

// What a successful refresh (or skip) leaves behind.
struct refreshed {
    pg::timestamptz as_of;
    std::string snapshot, lsn, pages, fingerprint;
    bool quiet = false;
    Oid file = InvalidOid;
    std::optional<int64_t> epoch;      // nothing: no counting state
    std::optional<std::string> own_xid;
    int64_t own_command = 0;
    std::optional<std::string> needs_full; // what the next one cannot build on
};
void store_state(const outcome &o, const refreshed &r);
void store_failure(const outcome &o);
// A sample was compared with the query; `difference`: what was wrong, which ends incremental refreshes.
void store_check(Oid matview, const std::optional<std::string> &difference);
void allow_incremental(Oid matview);
void record(const outcome &o, pg::timestamptz started);

struct source {
    Oid relation, root;
    char kind;
    bool through_view;
};
std::vector<source> sources_of(Oid matview);
// Everything but data that the content depends on: definitions, files, triggers, functions, zone.
std::string fingerprint_of(Oid matview, const std::vector<source> &sources);
std::optional<std::string> unique_index_of(Oid matview);
// What dbopt._matview_alive says; nothing after a crash.
std::optional<int64_t> living_epoch(Oid matview);

} // namespace dbopt::matview
