// Carrying out tasks: one at a time, each with a row in dbopt._maintenance_run.
#include "maintenance/maintenance.hpp"
#include "pg/index_pages.hpp"
#include "pg/query.hpp"
#include "pg/queue.hpp"
#include "pg/relation.hpp"
#include "pg/security.hpp"
#include "pg/transaction.hpp"

namespace dbopt::maintenance {

namespace {

class as_system : public pg::as_owner { // rows of dbopt's own tables, whoever calls
  public:
    as_system() : as_owner(BOOTSTRAP_SUPERUSERID) {}
};

// `skip` empty: about to be queued; otherwise the end of the story.
int64_t record(const task &t, const std::string &skip) {
    const as_system scope;
    return pg::scalar<int64_t>(
               "INSERT INTO dbopt._maintenance_run (relid, relation, action, command, reason, status,"
               " detail, before_bytes, predicted_bytes, table_oid, index_name, invalid_before, finished_at)"
               " SELECT $1, $1::regclass::text, $2, $3, $4, CASE WHEN $5 = '' THEN 'queued' ELSE 'skipped' END,"
               " nullif($5, ''), pg_relation_size($1), nullif($6, -1), $7,"
               " (SELECT relname FROM pg_class WHERE oid = $1),"
               " ARRAY(SELECT i.indexrelid FROM pg_index i WHERE i.indrelid = $7 AND NOT i.indisvalid),"
               " CASE WHEN $5 <> '' THEN clock_timestamp() END RETURNING id",
               {t.relation, t.action, t.command, t.reason, skip, t.predicted_bytes,
                pg::table_of(t.relation)})
        .value_or(0);
}

void note_run(int64_t id, int64_t run_id) {
    const as_system scope;
    pg::execute("UPDATE dbopt._maintenance_run SET run_id = $2 WHERE id = $1", {id, run_id});
}

// By name: REINDEX CONCURRENTLY gives the index a new OID.
void finish(int64_t id, const std::string &status, const std::string &message) {
    const as_system scope;
    pg::execute("UPDATE dbopt._maintenance_run SET status = $2, detail = concat_ws('; ', nullif($3, ''), detail),"
                " finished_at = clock_timestamp(), after_bytes = pg_relation_size(to_regclass(relation)) WHERE id = $1 AND status <> $2",
                {id, status, message});
}

int64_t clean_up(int64_t id) {
    const as_system scope;
    return pg::scalar<int32_t>("SELECT dbopt._maintenance_repair($1)", {id}).value_or(0);
}

// Runs whose CALL was cancelled, or that a crash or a failover interrupted: conclude and repair.
void conclude_earlier() {
    struct open_run {
        int64_t id;
        std::string action, status, message;
        bool repaired;
    };
    std::vector<open_run> runs;
    {
        const as_system scope;
        for (const pg::row &r : pg::query(
                 "SELECT m.id, m.action, COALESCE(r.status, 'interrupted'), r.message, m.repaired"
                 " FROM dbopt._maintenance_run m LEFT JOIN dbopt.run r ON r.run_id = m.run_id"
                 " WHERE (m.status = 'queued' AND COALESCE(r.status, '') NOT IN ('queued', 'running'))"
                 " OR (m.action = 'reindex' AND NOT m.repaired AND m.status IN ('failed', 'cancelled',"
                 " 'interrupted'))"))
            runs.push_back({r.get<int64_t>(0), r.get<std::string>(1), r.get<std::string>(2),
                            r.get_or<std::string>(3, ""), r.get<bool>(4)});
    }
    for (const open_run &r : runs) {
        finish(r.id, r.status, r.message);
        if (r.action == "reindex" && r.status != "done" && !r.repaired)
            clean_up(r.id);
        pg::commit_and_restart();
    }
}

// Why a REINDEX CONCURRENTLY should not start now: it would wait for every older transaction.
std::string old_transaction() {
    return pg::scalar<std::string>(
               "SELECT pg_catalog.format('would wait for %s %s (since %s)', h.kind, h.holder,"
               " h.since::timestamptz(0)) FROM dbopt.xmin_holders h"
               " WHERE h.kind IN ('backend', 'prepared transaction')"
               " AND h.database = pg_catalog.current_database()"
               " AND (h.age >= $1 * interval '1 second' OR h.kind = 'prepared transaction')"
               " ORDER BY h.age DESC LIMIT 1",
               {config.old_transaction_s})
        .value_or("");
}

std::string obstacle(const task &t) {
    if (!pg::find_relation(t.relation))
        return "dropped meanwhile";
    if (!t.blocker.empty())
        return t.blocker;
    if (!pg::may_maintain(pg::table_of(t.relation)))
        return "role " + pg::role_name(pg::caller()) + " may not maintain it";
    if (t.action != "analyze" && !pg::workers_available())
        return "needs a worker: add dbopt to shared_preload_libraries";
    if (t.action == "reindex") {
        const std::string old = old_transaction();
        if (!old.empty())
            return old;
    }
    // Whoever holds the table (autovacuum, a build) goes on undisturbed. Never waits long.
    const Oid table = pg::table_of(t.relation);
    if (!pg::try_lock(table, ShareUpdateExclusiveLock, 500))
        return "the table is being vacuumed, analysed, indexed or altered by another session";
    pg::unlock(table, ShareUpdateExclusiveLock);
    return "";
}

void carry_out(const task &t, int64_t left_ms) {
    const std::string skip = obstacle(t);
    const int64_t id = record(t, skip);
    if (!skip.empty()) {
        pg::commit_and_restart();
        return;
    }
    if (!pg::workers_available()) { // ANALYZE alone may run here
        const auto failure = pg::subtransaction([&] { pg::execute(t.command); });
        finish(id, failure ? "failed" : "done", failure ? failure->message() : "");
        pg::commit_and_restart();
        return;
    }
    pg::queued_run order{.area = "maintenance", .command = t.command, .object = t.relation};
    order.max_runtime = pg::interval{.us = std::max<int64_t>(1000, left_ms) * 1000};
    if (t.action == "reindex")
        order.cleanup = "SELECT dbopt._maintenance_cleanup(" + std::to_string(id) + ")";
    const int64_t run_id = pg::enqueue(order);
    note_run(id, run_id);
    const auto state = pg::wait_for_run(run_id, left_ms + 30000);
    if (state && !state->over())
        return; // paused or no free worker: the next call concludes it
    finish(id, state ? state->status : "interrupted", state ? state->message : "");
    if (t.action == "reindex" && (!state || state->status != "done")) {
        pg::commit_and_restart();
        clean_up(id);
    }
    pg::commit_and_restart();
}

void check_actions(const std::vector<std::string> &actions) {
    for (const std::string &a : actions)
        if (a != "vacuum" && a != "analyze" && a != "reindex" && a != "cleanup")
            pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
                       .message = "action \"" + a + "\" is not known",
                       .hint = "Use vacuum, analyze, reindex or cleanup."});
}

std::vector<task> tasks_for(const run_options &o) {
    if (!o.relations.empty() && !o.actions.empty())
        return chosen(o.actions, o.relations);
    std::vector<task> tasks = plan();
    auto unwanted = [&](const task &t) {
        const bool action = o.actions.empty() ? t.action != "advise" && t.action != "cleanup"
                                              : std::find(o.actions.begin(), o.actions.end(), t.action) !=
                                                    o.actions.end();
        const bool relation = o.relations.empty() ||
            std::find(o.relations.begin(), o.relations.end(), t.relation) != o.relations.end() ||
            std::find(o.relations.begin(), o.relations.end(), pg::table_of(t.relation)) != o.relations.end();
        return !action || !relation || t.action == "cleanup"; // clean-up is done beforehand
    };
    std::erase_if(tasks, unwanted);
    return tasks;
}

} // namespace

void run(const pg::arguments &args, const run_options &o) {
    check_actions(o.actions);
    if (o.dry_run) {
        for (const task &t : tasks_for(o))
            pg::notice(t.command, t.reason + (t.blocker.empty() ? "" : "; blocked: " + t.blocker));
        return;
    }
    pg::require_toplevel_call(args, "dbopt.maintenance_run");
    const int64_t end = pg::clock().us + o.max_ms * 1000;
    pg::commit_and_restart();
    conclude_earlier();
    const std::vector<task> tasks = tasks_for(o);
    pg::commit_and_restart();
    for (const task &t : tasks) {
        const int64_t left_ms = (end - pg::clock().us) / 1000;
        if (left_ms > 0) {
            carry_out(t, left_ms);
        } else {
            record(t, "no time left (max_duration)");
            pg::commit_and_restart();
        }
    }
}

} // namespace dbopt::maintenance
