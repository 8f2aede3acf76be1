// Lifecycle of range partitions: create ahead, retire behind, repair in between.
//
// Everything is decided by core/partition_plan.hpp from one reading of the catalogs
// (pg/partition_catalog.hpp) and done as SQL text, as the owner of the table, in a restricted
// context. A command waits for a lock for dbopt.partition_lock_timeout at most, rolls back, lets
// the others pass and tries again: nobody queues behind it for longer than that.
// Lock order: parent, default partition, new partition.
#pragma once
#include "core/calendar.hpp"
#include "pg/partition_catalog.hpp"
#include "pg/value.hpp"

namespace dbopt::partition {

enum class retirement { detach, drop, archive };

// A managed set, as stored in dbopt.partition_config.
struct set_config {
    Oid parent = InvalidOid;
    std::string step;            // as shown: '1 month' or '10000'
    core::step_size size;
    int premake = 3;
    std::optional<std::string> retention;
    core::step_size keep;        // the retention, parsed
    retirement mode = retirement::detach;
    std::optional<std::string> archive_schema;
    std::optional<std::string> archive_tablespace;
    std::optional<std::string> start_at;
    std::optional<int64_t> start, anchor; // positions; local µs or id
    core::key_unit unit = core::key_unit::timestamptz;
    std::string time_zone = "UTC";
    bool default_partition = false;
    Oid template_table = InvalidOid;
    bool cascade = false;        // retirement deletes the rows of other tables that refer to it
    std::optional<pg::timestamptz> last_success;
    std::optional<int64_t> last_now; // the clock or highest id at the last round
};

// What partition_manage was given; absent means: not named by the caller.
struct manage_options {
    Oid parent = InvalidOid;
    std::optional<std::string> step;
    std::optional<int> premake;
    std::optional<std::optional<std::string>> retention, archive_schema, start_at, time_zone,
        archive_tablespace;
    std::optional<std::string> retention_mode, time_encoding, on_reference;
    std::optional<bool> default_partition;
    std::optional<Oid> template_table;
};

// One row of partition_maintain.
struct outcome {
    Oid parent = InvalidOid;
    std::string action;              // create, drop, detach, archive, finalize, drain, manage
    std::optional<std::string> partition, lower, upper, command;
    std::string status, detail;      // done, planned, queued, skipped, failed
};

struct maintain_options {
    Oid parent = InvalidOid;         // InvalidOid: every set
    std::vector<std::string> actions; // empty: all
    bool dry_run = false;
    bool retire = true;              // false: retirements come back as planned
    bool background = false;         // holds apply
    Oid on_behalf_of = InvalidOid;   // whose rights count; InvalidOid: the caller's
    int64_t lock_wait_ms = -1;       // -1: dbopt.partition_lock_wait
};

std::vector<outcome> manage(const manage_options &options);
void unmanage(Oid parent);
// In the transaction of the caller. A failing set is a row with status failed; the others go on.
std::vector<outcome> maintain(const maintain_options &options);
// partition_maintain() over all sets: decided here, done by workers, each set in a transaction of its own
// (pg/handoff.hpp). Where that is impossible: in the transaction of the caller, who is told what it costs.
std::vector<outcome> maintain_all(maintain_options options);
// In the worker: these sets, committing after each. The body of a CALL.
void serve_sets(const std::vector<Oid> &parents, const std::vector<std::string> &actions, int64_t lock_wait_ms);
// Sets for which a round would do something now.
std::vector<Oid> sets_with_work();

struct finding {
    Oid parent;
    std::string severity, problem, detail, fix;
};
// InvalidOid: every managed set.
std::vector<finding> check(Oid parent);

// Rows of dbopt.partitions; InvalidOid: every managed set.
struct listed {
    Oid parent, partition;
    bool is_default, pending;
    std::optional<std::string> lower, upper;
    std::optional<pg::timestamptz> lower_time, upper_time;
    std::optional<int64_t> lower_id, upper_id;
};
std::vector<listed> list(Oid parent);

struct pruned {
    Oid parent;
    int64_t partitions, scanned;
    std::string at; // plan, execution, never
};
std::vector<pruned> pruning(const std::string &query);

void define_settings();
// One round of the database worker over all sets, each in its own short transactions.
void background();

} // namespace dbopt::partition
