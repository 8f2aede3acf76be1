#include "pg/entry.hpp"
#include "pg/remote.hpp"
#include "pool/pool.hpp"

using namespace dbopt;

DBOPT_FUNCTION(dbopt_pool_poll) {
    pg::rows out(args);
    for (const pool::poll_result &p : pool::poll(args.optional<std::string>(0)))
        out.add(p.name, p.status, p.detail);
    return out.done();
}

DBOPT_FUNCTION(dbopt_pool_sizes) {
    pg::rows out(args);
    for (const pool::sizing &s : pool::sizes())
        out.add(s.name, s.pool_size, s.advice.busy_servers, s.advice.mean_wait_ms, s.advice.suggested_size,
                s.advice.reason);
    return out.done();
}

DBOPT_FUNCTION(dbopt_pool_profile) {
    pg::rows out(args);
    for (const core::profile_line &l : pool::profile(args.get<std::string>(0)).lines)
        out.add(l.setting, l.value, l.reason);
    return out.done();
}

DBOPT_FUNCTION(dbopt_check_conninfo) {
    pg::check_conninfo(args.get<std::string>(0));
    return args.nothing();
}
