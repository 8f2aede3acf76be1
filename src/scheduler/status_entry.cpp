// What dbopt.status() says about the workers.
#include "pg/crew.hpp"
#include "pg/entry.hpp"
#include "pg/query.hpp"
#include "scheduler/scheduler.hpp"

using namespace dbopt;
namespace crew = pg::crew;

namespace {

struct crew_view {
    bool launcher = false;
    crew::database_entry here = {};
    bool known = false;
    int busy = 0, mine = 0;
    bool reserved = false;
};

crew_view look() {
    crew_view v;
    pid_t launcher;
    {
        pg::lock_guard hold(crew::lock(), LW_SHARED);
        launcher = crew::shared()->launcher;
        if (const crew::database_entry *e = crew::find(MyDatabaseId)) {
            v.here = *e;
            v.known = true;
        }
        for (const crew::run_slot &s : crew::shared()->slots) {
            if (s.state == crew::slot_state::free)
                continue;
            v.busy += !s.reserved;
            v.mine += !s.reserved && s.database == MyDatabaseId;
            v.reserved = v.reserved || (s.reserved && s.database == MyDatabaseId);
        }
    }
    v.launcher = crew::alive(launcher);
    return v;
}

void workers(pg::rows &out) {
    const bool standby = pg::call([] { return RecoveryInProgress(); });
    const crew_view v = look();
    if (standby)
        out.add("launcher", "idle", "this is a standby: background work starts after promotion");
    else
        out.add("launcher", v.launcher ? "ok" : "missing",
                v.launcher ? "" : "the launcher does not run: see the server log; it starts again by itself");
    const bool serves = v.known && v.here.pid != 0 && v.here.ready;
    std::string detail;
    if (serves)
        detail = "pid " + std::to_string(v.here.pid);
    else if (standby)
        detail = "";
    else if (v.known && v.here.parked_by != 0)
        detail = "parked for a command of pid " + std::to_string(v.here.parked_by);
    else
        detail = "none serves this database yet; if it stays so, max_worker_processes (" +
                 std::to_string(max_worker_processes) + ") is exhausted or the log says why";
    out.add("database worker", serves ? "ok" : standby ? "idle" : "missing", detail);
    out.add("rooms worker", v.here.rooms != 0 ? "ok" : standby ? "idle" : "missing",
            v.here.rooms != 0 ? "pid " + std::to_string(v.here.rooms)
                              : std::string("background rounds of the rooms do not run now"));
    const bool full = v.busy >= scheduler::max_workers;
    out.add("worker slots", full ? "busy" : "ok",
            std::to_string(v.busy) + " of " + std::to_string(scheduler::max_workers) +
                " in use (dbopt.max_workers), " + std::to_string(v.mine) + " by this database" +
                (v.reserved ? "; one more serves short jobs" : ""));
    if (v.known && v.here.exhausted_count > 0) {
        const bool recent = GetCurrentTimestamp() - v.here.exhausted < 300 * INT64CONST(1000000);
        out.add("max_worker_processes", recent ? "exhausted" : "was exhausted",
                std::to_string(v.here.exhausted_count) + " times, last at " +
                    pg::to_text(pg::timestamptz{v.here.exhausted}) +
                    "; work was tried again. Raise max_worker_processes (now " +
                    std::to_string(max_worker_processes) + ") and restart.");
    }
}

} // namespace

DBOPT_FUNCTION(dbopt_scheduler_status) {
    pg::rows out(args);
    if (crew::shared() != nullptr)
        workers(out);
    if (pg::scalar<bool>("SELECT dbopt._is_copy()").value_or(false))
        out.add("database", "copied",
                "its state came from another database: all jobs and rounds are paused until "
                "SELECT dbopt.confirm_database()");
    for (const pg::row &r : pg::query("SELECT area, since FROM dbopt.paused_area ORDER BY area"))
        out.add("pause", "paused",
                "background work of " + r.get<std::string>(0) + " since " + r.get<std::string>(1) +
                    "; SELECT dbopt.resume(" + pg::quote_literal(r.get<std::string>(0)) + ")");
    for (const pg::row &r : pg::query("SELECT area, action, object, reason, since::timestamptz(0) FROM dbopt.holds"
                                      " ORDER BY area, object"))
        out.add("hold", "held",
                r.get<std::string>(0) + ": " + r.get<std::string>(1) + " of " + r.get<std::string>(2) + " since " +
                    r.get<std::string>(4) + ": " + r.get<std::string>(3) +
                    "; a call that names it carries it out, resolve the cause first");
    const pg::result jobs = pg::query(
        "SELECT count(*), count(*) FILTER (WHERE s.breaker <> 'closed'),"
        " count(*) FILTER (WHERE s.problem IS NOT NULL OR s.consecutive_failures > 0),"
        " (SELECT count(*) FROM dbopt.run WHERE status = 'queued')"
        " FROM dbopt.job_config c LEFT JOIN dbopt.job_state s USING (job_id)");
    const int64_t open = jobs[0].get<int64_t>(1), failing = jobs[0].get<int64_t>(2);
    out.add("jobs", open + failing > 0 ? "failing" : "ok",
            std::to_string(jobs[0].get<int64_t>(0)) + " jobs, " + std::to_string(failing) +
                " failed last time, " + std::to_string(open) + " with an open breaker; " +
                std::to_string(jobs[0].get<int64_t>(3)) + " runs queued");
    return out.done();
}
