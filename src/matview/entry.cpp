// SQL entry points of the matview room.
#include "matview/incremental.hpp"
#include "pg/entry.hpp"
#include "pg/partition_catalog.hpp"
#include "pg/partition_event.hpp"
#include "pg/refresh_event.hpp"
#include "pg/security.hpp"

using namespace dbopt;
namespace room = dbopt::matview;

namespace {

template <class T> std::optional<T> named(const pg::arguments &args, int n) {
    return pg::given(args.info(), n) ? args.optional<T>(n) : std::nullopt;
}

void give(pg::rows &out, const room::outcome &o) {
    out.add(o.matview, o.mode, o.status, o.rows_changed, o.duration_ms, o.reason);
}

} // namespace

DBOPT_FUNCTION(dbopt_matview_manage) {
    room::manage_options o;
    o.matview = args.get<Oid>(0);
    o.every = named<pg::interval>(args, 1);
    o.mode = named<std::string>(args, 2);
    o.max_staleness = named<pg::interval>(args, 3);
    pg::rows out(args);
    for (const room::manage_row &r : room::manage(o))
        out.add(o.matview, r.action, r.status, r.detail);
    return out.done();
}

DBOPT_FUNCTION(dbopt_matview_unmanage) {
    room::unmanage(args.get<Oid>(0));
    return args.nothing();
}

DBOPT_FUNCTION(dbopt_matview_refresh) {
    pg::rows out(args);
    const room::outcome o = room::refresh(args.get<Oid>(0), args.get_or<std::string>(1, "auto"));
    room::keep(o);
    give(out, o);
    return out.done();
}

DBOPT_FUNCTION(dbopt_matview_refresh_all) {
    pg::rows out(args);
    const std::string mode = args.get_or<std::string>(0, "auto");
    for (const room::outcome &o :
         args.get_or<bool>(1, false) ? room::refresh_all(mode, true) : room::refresh_all_by_workers(mode))
        give(out, o);
    return out.done();
}

DBOPT_FUNCTION(dbopt_matview_explain) {
    pg::rows out(args);
    for (const room::finding &f : room::explain(args.get<Oid>(0)))
        out.add(f.aspect, f.verdict, f.detail, f.fix);
    return out.done();
}

DBOPT_FUNCTION(dbopt_matview_verify) { return args.result(room::verify(args.get<Oid>(0))); }

DBOPT_FUNCTION(dbopt_matview_pending) { return args.result(room::pending(args.get<Oid>(0))); }

DBOPT_FUNCTION(dbopt_matview_refreshed) {
    const pg::refresh_seen seen = pg::seen_refresh(args.info());
    if (OidIsValid(seen.matview))
        room::noticed_refresh(seen.matview, seen.concurrent);
    return args.nothing();
}

DBOPT_FUNCTION(dbopt_matview_partitioned) {
    if (pg::partition_came(args.info()))
        room::take_in_partitions();
    return args.nothing();
}
