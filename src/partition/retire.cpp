// Retirement by DETACH … CONCURRENTLY in a worker, and what follows it.
#include "partition/maintain.hpp"
#include "pg/advisory.hpp"
#include "pg/pause.hpp"
#include "pg/query.hpp"
#include "pg/queue.hpp"
#include "pg/relation.hpp"
#include "pg/transaction.hpp"

namespace dbopt::partition {

std::vector<std::string> after_detach(const set_config &s, const std::string &name) {
    std::vector<std::string> commands;
    if (s.mode == retirement::drop)
        commands.push_back("DROP TABLE " + name);
    if (s.mode == retirement::archive) {
        if (s.archive_tablespace)
            commands.push_back("ALTER TABLE " + name + " SET TABLESPACE " +
                               pg::quote_identifier(*s.archive_tablespace));
        commands.push_back("ALTER TABLE " + name + " SET SCHEMA " + pg::quote_identifier(*s.archive_schema));
    }
    return commands;
}

// PostgreSQL refuses CONCURRENTLY beside a default partition. Without a worker: the short lock.
// The worker is the owner's: the command names the tables, and it folds the expressions of their
// constraints; neither the names nor the expressions are to be trusted with more than his rights.
bool detach_in_worker(task &t) {
    if (t.set->table.has_default || t.set->config.cascade || !pg::workers_available() ||
        !pg::can_run_as(t.set->table.owner))
        return false;
    if (!pg::run_pending("partition", t.relation)) {
        const std::string command = "ALTER TABLE " + t.set->parent_name() + " DETACH PARTITION " +
                                    pg::qualified_name(t.relation);
        const pg::as_owner writer(extension_owner());
        // No lock_timeout: a timeout half-way would leave the detach pending. Bounded as a whole,
        // and if it fails or the server crashes, the next round finalizes it, and notes that.
        const int64_t run = pg::enqueue({.area = "partition", .command = command + " CONCURRENTLY",
                                         .object = t.relation, .run_as = t.set->table.owner,
                                         .max_runtime = pg::interval{.us = 3600 * core::us_per_second}});
        pg::execute("INSERT INTO dbopt.partition_retiring (partition, parent, run_id, upper_position) VALUES "
                    "($1::oid::regclass, $2::oid::regclass, $3, $4) ON CONFLICT (partition) DO UPDATE "
                    "SET run_id = EXCLUDED.run_id, upper_position = EXCLUDED.upper_position",
                    {t.relation, t.set->table.relation, run, t.range.upper});
        t.row.detail = "run " + std::to_string(run);
        t.row.command = command + " CONCURRENTLY";
        crash_point("retire:queued");
    } else {
        t.row.detail = "its detach is under way";
    }
    t.row.status = "queued";
    return true;
}

void queue_drain(task &t) {
    const Oid source = t.set->table.default_partition.relation;
    if (!pg::workers_available()) {
        t.row.status = "skipped";
        t.row.detail += "; the command moves them";
        return;
    }
    if (pg::run_pending("partition", source)) {
        t.row.detail += "; a worker is at it";
        return;
    }
    // As the owner, if a worker can be: the command finds the table by its name.
    const Oid owner = t.set->table.owner;
    const int64_t run = pg::enqueue({.area = "partition", .command = *t.row.command, .object = source,
                                     .run_as = pg::can_run_as(owner) ? owner : extension_owner()});
    t.row.detail += "; run " + std::to_string(run) + " moves them";
}

namespace {

struct retiring {
    Oid partition, parent;
    core::position upper;
    bool ours; // a run of ours, or a round, has detached it
};

// What was given to a worker and is not attached any more. What is attached still, and no run is at it,
// failed: it is forgotten, so that nothing follows should the owner detach it himself one day.
std::vector<retiring> detached(Oid parent) {
    const pg::as_owner keeper(extension_owner());
    pg::execute("DELETE FROM dbopt.partition_retiring r WHERE ($1 = 0::oid OR r.parent = $1) "
                "AND EXISTS (SELECT FROM pg_inherits WHERE inhrelid = r.partition AND NOT inhdetachpending) "
                "AND NOT EXISTS (SELECT FROM dbopt.run u WHERE u.area = 'partition' AND u.object = r.partition AND u.status IN ('queued', 'running'))",
                {pg::value(parent)});
    std::vector<retiring> found;
    for (const pg::row r : pg::query(
             "SELECT r.partition::oid, r.parent::oid, r.upper_position, r.run_id = 0 OR EXISTS (SELECT FROM dbopt.run u "
             "WHERE u.area = 'partition' AND u.object = r.partition AND u.run_id >= r.run_id AND u.status = 'done' "
             "AND u.command LIKE 'ALTER TABLE % DETACH PARTITION %') FROM dbopt.partition_retiring r "
             "WHERE ($1 = 0::oid OR r.parent = $1) AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = r.partition) "
             // its detach is done a moment before its run is
             "AND NOT EXISTS (SELECT FROM dbopt.run u WHERE u.area = 'partition' AND u.object = r.partition AND u.status IN ('queued', 'running')) "
             "ORDER BY r.since", {pg::value(parent)}))
        found.push_back({r.get<Oid>(0), r.get<Oid>(1), r.get<int64_t>(2), r.get_or<bool>(3, false)});
    return found;
}

// Why a detached partition stays a table for now, after all; empty: what retention wants may follow.
std::string kept(const retiring &r, const set_config &config) {
    if (!r.ours)
        return "it was not dbopt that detached it";
    if (!config.retention)
        return "retention is for ever by now";
    std::vector<pg::partitioned_table> tables = pg::read_partitions({r.parent}, {config.unit});
    if (tables[0].strategy != 'r')
        return "its parent is gone";
    open_set s(config, tables[0]);
    s.now = current_position(s);
    if (r.upper > *rules_of(s).cutoff)
        return "retention reaches further back by now";
    return "";
}

void forget_retiring(Oid partition) {
    const pg::as_owner writer(extension_owner());
    pg::execute("DELETE FROM dbopt.partition_retiring WHERE partition = $1", {partition});
}

// DROP or the move to the archive. False when it failed and is to be tried again.
bool finish(const retiring &r, const set_config &config, const pg::relation_info &info, outcome &row) {
    const std::vector<std::string> commands = after_detach(config, info.qualified());
    row.action = mode_name(config.mode);
    row.command = join(commands, ";\n");
    if (commands.empty())
        return true;
    std::string why;
    const std::optional<pg::error> failure = pg::subtransaction([&] {
        pg::wait_for_locks(partition::config.lock_timeout_ms); // the highest id is read from the partitions, too
        why = kept(r, config);
        if (!why.empty())
            return;
        const pg::as_owner owner(info.owner);
        for (const std::string &c : commands)
            pg::query(c);
        crash_point("retire:finish");
    });
    if (failure) {
        row.status = "failed";
        row.detail = failure->message();
    } else if (!why.empty()) {
        row.status = "skipped";
        row.detail = "it stays as a table: " + why;
    }
    return !failure;
}

} // namespace

void note_finalized(Oid partition) {
    const pg::as_owner writer(extension_owner());
    pg::execute("UPDATE dbopt.partition_retiring SET run_id = 0 WHERE partition = $1", {partition});
}

void finish_retirements(const maintain_options &o, std::vector<outcome> &rows) {
    for (const retiring &r : detached(o.parent)) {
        const std::vector<set_config> sets = load_sets(r.parent);
        const auto info = pg::find_relation(r.partition);
        bool over = true;
        if (info && !sets.empty()) {
            outcome row{.parent = r.parent, .action = {}, .partition = info->qualified(), .lower = {}, .upper = {},
                        .command = {}, .status = "done", .detail = "detached before, by a worker"};
            over = finish(r, sets[0], *info, row);
            rows.push_back(std::move(row));
        }
        if (over)
            forget_retiring(r.partition);
    }
}

void note_outcomes(const open_set &s, const std::vector<outcome> &rows) {
    std::string problem;
    bool any = false;
    for (const outcome &r : rows) {
        if (r.parent != s.table.relation)
            continue;
        any = true;
        if (r.status == "failed" || (r.status == "skipped" && r.detail.starts_with("held")))
            problem = r.action + " " + r.partition.value_or("") + ": " + r.detail;
    }
    const int64_t yesterday = pg::clock().us - core::us_per_day;
    // A held round is no good one, and remembers no time: else the next one would find nothing to hold.
    const bool held = problem.find(": held") != std::string::npos;
    if (any || !s.config.last_success || s.config.last_success->us < yesterday)
        note_round(s.config, problem.empty(), problem, held ? std::nullopt : std::optional(s.now));
}

namespace {

// One set in a transaction of its own. True when it only lacked a lock.
bool serve(Oid parent) {
    bool again = false;
    try {
        pg::transaction t;
        for (const outcome &o : maintain({.parent = parent, .actions = {}, .background = true, .lock_wait_ms = 0}))
            again |= (o.status == "skipped" && o.detail.starts_with("no lock")) || (o.status == "queued" && o.action == "create");
        t.commit();
    } catch (const pg::error &e) {
        if (e.cancels())
            throw;
        pg::log("dbopt: maintenance of partition set " + std::to_string(parent) + " failed", e.message());
    }
    return again;
}

} // namespace

void background() {
    std::vector<Oid> due;
    {
        pg::transaction t;
        // A table that was dropped needs nobody any more.
        pg::execute("DELETE FROM dbopt.partition_config c WHERE NOT EXISTS (SELECT FROM pg_class WHERE oid = c.parent)");
        due = sets_with_work();
        // A set with a lasting problem is tried once a minute, not in every round.
        for (const pg::row r : pg::query("SELECT parent::oid FROM dbopt.partition_config WHERE last_problem IS NOT NULL "
                                         "AND last_round > clock_timestamp() - interval '1 minute'"))
            std::erase(due, r.get<Oid>(0));
        t.commit();
    }
    // No snapshot and no lock between the tries; for some seconds, then in the next round.
    for (int tries = 0; tries < 16 && !due.empty(); ++tries) {
        if (tries > 0)
            pg::pause(500);
        std::erase_if(due, [](Oid parent) { return !serve(parent); });
    }
}

} // namespace dbopt::partition
