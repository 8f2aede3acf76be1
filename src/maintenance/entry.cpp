#include "maintenance/maintenance.hpp"

using namespace dbopt;

DBOPT_FUNCTION(dbopt_maintenance_plan) {
    const std::vector<maintenance::task> tasks = maintenance::plan();
    pg::rows out(args);
    auto or_null = [](const std::string &s) { return s.empty() ? pg::value() : pg::value(s); };
    for (const maintenance::task &t : tasks)
        out.add(t.priority, t.relation, t.action, t.command, or_null(t.reason), or_null(t.blocker),
                or_null(t.gain));
    return out.done();
}

DBOPT_FUNCTION(dbopt_maintenance_run) {
    maintenance::run_options o;
    if (!args.null(0))
        o.actions = args.get<std::vector<std::string>>(0);
    if (!args.null(1))
        o.relations = args.get<std::vector<Oid>>(1);
    o.max_ms = static_cast<int64_t>(std::min(args.get<pg::interval>(2).seconds() * 1000, 1e11));
    if (o.max_ms <= 0)
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
                   .message = "max_duration must be longer than nothing"});
    o.dry_run = args.get_or<bool>(3, false);
    maintenance::run(args, o);
    return args.nothing();
}
