#include "maintenance/records.hpp"
#include "pg/index_pages.hpp"
#include "pg/query.hpp"
#include "pg/security.hpp"
#include "pg/transaction.hpp"

namespace dbopt::maintenance {

namespace {

class as_system : public pg::as_owner { // rows of dbopt's own tables, whoever calls
  public:
    as_system() : as_owner(BOOTSTRAP_SUPERUSERID) {}
};

} // namespace

int64_t record(const task &t, const std::string &skip) {
    const as_system scope;
    return pg::scalar<int64_t>(
               "INSERT INTO dbopt._maintenance_run (relid, relation, action, command, reason, status,"
               " detail, before_bytes, predicted_bytes, dead_before, dead_predicted, table_oid,"
               " index_name, invalid_before, finished_at)"
               " SELECT $1, $1::regclass::text, $2, $3, $4, CASE WHEN $5 = '' THEN 'queued' ELSE 'skipped' END,"
               " nullif($5, ''), nullif(dbopt._bytes($1), 0), nullif($6, -1), nullif($8, -1), nullif($9, -1), $7,"
               " (SELECT relname FROM pg_class WHERE oid = $1),"
               " ARRAY(SELECT i.indexrelid FROM pg_index i WHERE i.indrelid = $7 AND NOT i.indisvalid),"
               " CASE WHEN $5 <> '' THEN clock_timestamp() END RETURNING id",
               {t.relation, t.action, t.command, t.reason, skip, t.predicted_bytes,
                pg::table_of(t.relation), t.dead_bytes, t.dead_left})
        .value_or(0);
}

void note_run(int64_t id, int64_t run_id) {
    const as_system scope;
    pg::execute("UPDATE dbopt._maintenance_run SET run_id = $2 WHERE id = $1", {id, run_id});
}

void finish(int64_t id, std::string_view status, std::string_view message, int64_t dead_after) {
    const as_system scope;
    pg::execute("UPDATE dbopt._maintenance_run SET status = $2,"
                " detail = nullif(concat_ws('; ', nullif($3, ''), detail), ''), finished_at = clock_timestamp(),"
                " after_bytes = dbopt._bytes(to_regclass(relation)), dead_after = nullif($4, -1)"
                " WHERE id = $1 AND status <> $2",
                {id, status, message, dead_after});
}

void clean_up(int64_t id) {
    const as_system scope;
    (void)pg::scalar<int32_t>("SELECT dbopt._maintenance_repair($1)", {id});
}

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

void forget_old() {
    const as_system scope;
    pg::execute("DELETE FROM dbopt._maintenance_run WHERE queued_at < now() - $1 * interval '1 day'"
                " AND status NOT IN ('queued', 'running')"
                " AND (action <> 'reindex' OR status IN ('done', 'skipped') OR repaired)",
                {config.keep_days});
}

bool table_in_use(Oid table) {
    const as_system scope;
    return pg::scalar<bool>("SELECT EXISTS (SELECT FROM dbopt.run r JOIN dbopt._maintenance_run m"
                            " ON m.run_id = r.run_id WHERE r.status IN ('queued', 'running')"
                            " AND m.table_oid = $1)",
                            {table})
        .value_or(false);
}

bool visited(const task &t, int64_t run_id) {
    if (t.action != "vacuum" && t.action != "analyze")
        return true;
    const auto info = pg::find_relation(t.relation);
    if (!info || (t.action == "vacuum" && info->kind == RELKIND_PARTITIONED_TABLE))
        return true; // its leaves are vacuumed, each for itself
    const as_system scope;
    return pg::scalar<bool>(
               "SELECT NOT current_setting('track_counts')::boolean OR COALESCE(CASE $3 WHEN 'vacuum'"
               " THEN greatest(s.last_vacuum, s.last_autovacuum)"
               " ELSE greatest(s.last_analyze, s.last_autoanalyze) END >= r.started_at, false)"
               " FROM dbopt.run r LEFT JOIN pg_stat_all_tables s ON s.relid = $1 WHERE r.run_id = $2",
               {t.relation, run_id, t.action})
        .value_or(true);
}

bool holds_up_autovacuum(pid_t pid) {
    const as_system scope;
    return pid != 0 &&
           pg::scalar<bool>("SELECT EXISTS (SELECT FROM pg_stat_activity a"
                            " WHERE a.backend_type = 'autovacuum worker' AND a.wait_event_type = 'Lock'"
                            " AND $1 = ANY (pg_blocking_pids(a.pid)))",
                            {static_cast<int32_t>(pid)})
               .value_or(false);
}

std::optional<int64_t> window_end() {
    const int64_t run = pg::current_run();
    if (run == 0)
        return std::nullopt;
    const as_system scope;
    const auto at =
        pg::scalar<pg::timestamptz>("SELECT dbopt._window_end(c.window_start, c.window_end,"
                               " COALESCE(c.timezone, current_setting('TimeZone')), clock_timestamp())"
                               " FROM dbopt.run r JOIN dbopt.job_config c ON c.job_id = r.job_id"
                               " WHERE r.run_id = $1",
                               {run});
    return at ? std::optional(at->us) : std::nullopt;
}

} // namespace dbopt::maintenance
