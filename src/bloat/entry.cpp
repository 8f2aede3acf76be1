#include "bloat/bloat.hpp"
#include "pg/entry.hpp"
#include <cmath>
#include <cstdio>

namespace bloat = dbopt::bloat;
namespace pg = dbopt::pg;

namespace {

double percent(double part, double whole, double least = 0) {
    return whole > 0 ? std::clamp(100.0 * part / whole, least, 100.0) : 0;
}
// A rewrite may also make a relation larger (defaults written out, fillfactor): then it is negative.
constexpr double may_grow = -1000;
double round2(double x) { return std::round(x * 100) / 100; }

struct interval_pct {
    double at, low, high;
};
// Measured exactly: the interval is the value. Shares of a whole stay between 0 and 100.
interval_pct in_percent(const bloat::amount &a, double whole, double least = 0) {
    return {round2(percent(a.bytes, whole, least)), round2(percent(a.bytes - a.half_width, whole, least)),
            round2(percent(a.bytes + a.half_width, whole, least))};
}

bloat::options options_from(const pg::arguments &args) {
    bloat::options o;
    o.how = bloat::parse_method(args.get<std::string>(1));
    o.max_error = args.get<double>(2);
    if (!(o.max_error > 0 && o.max_error <= 50)) {
        char given[32];
        snprintf(given, sizeof given, "%.15g", o.max_error);
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
                   .message = "max_error must be above 0 and at most 50 per cent, it is " + std::string(given),
                   .hint = "It is the half-width of the intervals: 0.5 is half a per cent of the size."});
    }
    o.seed = static_cast<uint64_t>(args.get_or<int64_t>(3, 0));
    return o;
}

double since(pg::timestamptz start) {
    return static_cast<double>(pg::clock().us - start.us) / 1000.0;
}

bloat::collect_options collect_options_from(const pg::arguments &args) {
    bloat::collect_options o;
    o.max_milliseconds =
        static_cast<int64_t>(std::clamp(args.get<pg::interval>(0).seconds() * 1000, 0.0, 1e11));
    o.min_bytes = args.get<int64_t>(1);
    o.keep = args.get<pg::interval>(2);
    if (o.keep.seconds() <= 0)
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
                   .message = "keep must be longer than nothing, it is " + pg::to_text(o.keep)});
    return o;
}

} // namespace

DBOPT_FUNCTION(dbopt_table_bloat) {
    const Oid relation = args.get<Oid>(0);
    const bloat::options o = options_from(args);
    bloat::require_reader(relation);
    const pg::timestamptz start = pg::clock();
    const bloat::table_result t = bloat::try_table(relation, o);
    const std::string name = o.how == bloat::method::exact ? "exact" : "sample";
    const double toast_bytes = 8192.0 * static_cast<double>(t.toast.pages);
    if (!t.heap.skipped.empty())
        return args.record({relation, name, 0, 0, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {},
                            since(start), {}, {}, {}, {}, "skipped", t.heap.skipped});
    const double whole = 8192.0 * static_cast<double>(t.heap.pages);
    const interval_pct dead = in_percent(t.heap.dead, whole), free = in_percent(t.heap.free, whole),
                       gain = in_percent(t.reclaimable(), t.bytes(), may_grow);
    std::string detail = t.detail;
    if (t.heap.held > 0.001 * whole) { // named, so that one knows whom to ask
        const std::string holder = bloat::oldest_holder();
        detail += (detail.empty() ? "" : "; ") + std::string("dead rows are held by ") +
                  (holder.empty() ? "a transaction that may still see them" : holder);
    }
    return args.record(
        {relation, name, t.heap.pages, t.heap.sampled, round2(percent(t.heap.live.bytes, whole)),
         dead.at, dead.low, dead.high, free.at, free.low, free.high,
         static_cast<int64_t>(t.reclaimable().bytes), gain.at, gain.low, gain.high,
         since(start), round2(percent(t.heap.held, whole)), round2(percent(t.heap.running, whole)),
         static_cast<int64_t>(toast_bytes),
         static_cast<int64_t>(t.toast.reclaimable.bytes), "done",
         detail.empty() ? pg::value() : pg::value(detail)});
}

DBOPT_FUNCTION(dbopt_index_bloat) {
    const Oid index = args.get<Oid>(0);
    const bloat::options o = options_from(args);
    bloat::require_reader(index);
    const pg::timestamptz start = pg::clock();
    const bloat::index_result r = bloat::try_index(index, o);
    const std::string name = o.how == bloat::method::exact ? "exact" : "sample";
    if (!r.skipped.empty())
        return args.record({index, r.access_method, name, r.pages, 0, {}, {}, {}, {}, {}, {},
                            since(start), "skipped", r.skipped});
    const interval_pct gain =
        in_percent(r.reclaimable(), 8192.0 * static_cast<double>(r.pages), may_grow);
    return args.record({index, r.access_method, name, r.pages, r.sampled, round2(r.density),
                        static_cast<int64_t>(std::ceil(r.rebuilt.bytes / 8192.0)),
                        static_cast<int64_t>(r.reclaimable().bytes), gain.at,
                        gain.low, gain.high, since(start), "done", {}});
}

DBOPT_FUNCTION(dbopt_bloat_collect) {
    pg::rows out(args);
    for (const bloat::collected &c : bloat::collect(collect_options_from(args)))
        out.add(c.relation, c.kind, static_cast<int64_t>(c.reclaimable), round2(c.percent), c.status,
                c.detail.empty() ? pg::value() : pg::value(c.detail));
    return out.done();
}

DBOPT_FUNCTION(dbopt_bloat_collect_run) {
    bloat::collect_and_commit(args, collect_options_from(args));
    return args.nothing();
}
