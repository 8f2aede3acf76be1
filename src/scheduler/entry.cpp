// SQL entry points of the scheduler that are not about jobs.
#include "pg/crew.hpp"
#include "pg/entry.hpp"
#include "pg/query.hpp"
#include "pg/queue.hpp"
#include "pg/security.hpp"
#include "pg/system.hpp"
#include "pg/transaction.hpp"

using namespace dbopt;

DBOPT_FUNCTION(dbopt_announce) {
    pg::crew::announce_at_commit();
    return args.nothing();
}

DBOPT_FUNCTION(dbopt_system_identifier) {
    return args.result(pg::system_identifier());
}

DBOPT_FUNCTION(dbopt_database_oid) {
    return args.result(pg::this_database());
}

DBOPT_FUNCTION(dbopt_wait) {
    pg::require_toplevel_call(args, "CALL dbopt.wait()");
    const int64_t run_id = args.get<int64_t>(0);
    const std::optional<pg::interval> timeout = args.optional<pg::interval>(1);
    const int64_t ms = timeout ? static_cast<int64_t>(timeout->seconds() * 1000) : -1;
    if (timeout && ms < 0)
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE, .message = "timeout must not be negative"});
    if (!pg::workers_available())
        pg::warning("no dbopt worker serves this database now, the run waits until one does", {},
                    "See dbopt.status().");
    const std::optional<pg::run_state> s = pg::wait_for_run(run_id, ms);
    if (!s)
        pg::raise({.code = ERRCODE_UNDEFINED_OBJECT,
                   .message = "there is no run " + std::to_string(run_id),
                   .hint = "See dbopt.job_runs; old runs are removed from it."});
    if (!s->over()) {
        pg::notice("run " + std::to_string(run_id) + " is still " + s->status);
    } else if (s->status != "done") {
        const bool has_code = s->sqlstate.size() == 5;
        const char *c = s->sqlstate.c_str();
        const bool may_read = pg::has_privileges_of(pg::caller(), s->run_as) ||
                              pg::has_privileges_of(pg::caller(), "pg_monitor") ||
                              pg::has_privileges_of(pg::caller(), "pg_read_all_stats");
        // A message may quote data of the role the run had.
        if (!may_read)
            pg::raise({.code = ERRCODE_OPERATOR_INTERVENTION,
                       .message = "run " + std::to_string(run_id) + " " + s->status,
                       .detail = "Why, is shown to members of the role it ran as, and to pg_monitor."});
        pg::raise({.code = has_code ? MAKE_SQLSTATE(c[0], c[1], c[2], c[3], c[4])
                                    : ERRCODE_OPERATOR_INTERVENTION,
                   .message = "run " + std::to_string(run_id) + " " + s->status + ": " + s->message});
    }
    return args.nothing();
}
