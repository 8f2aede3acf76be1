// SQL entry points of alerts, snapshots, windows, baselines and forecasts.
#include "core/forecast.hpp"
#include "monitor/history.hpp"
#include "monitor/history_partitions.hpp"
#include "monitor/report.hpp"
#include "pg/entry.hpp"

using namespace dbopt;

DBOPT_FUNCTION(dbopt_alert_check) {
    pg::rows out(args);
    for (const monitor::alert_change &c : monitor::check_alerts(monitor::tier_of(args.get<std::string>(0))))
        out.add(c.rule, c.from, c.to, c.value, c.detail, c.muted);
    return out.done();
}

DBOPT_FUNCTION(dbopt_window) {
    pg::rows out(args);
    const monitor::recent_growth w = monitor::counters_since(args.get<pg::interval>(0).seconds());
    for (const monitor::counter_growth &g : w.counters)
        out.add(g.name, g.delta, g.per_hour, w.seconds);
    return out.done();
}

DBOPT_FUNCTION(dbopt_history_partition) {
    return args.result(monitor::ensure_history_partition(args.get<pg::timestamptz>(0)));
}

DBOPT_FUNCTION(dbopt_alert_send) { return args.result(monitor::send_alerts()); }

DBOPT_FUNCTION(dbopt_snapshot) {
    const auto at = monitor::take_snapshot();
    if (!at) {
        const_cast<FunctionCallInfo>(args.info())->isnull = true;
        return args.nothing();
    }
    return args.result(*at);
}

namespace {

const core::history_values *find(const core::history_objects &in, uint64_t key) {
    const auto at = in.find(key);
    return at == in.end() ? nullptr : &at->second;
}

} // namespace

// (relation, seconds, bytes, bytes_before, live, dead, scans, rows_read, inserted, updated, deleted,
// fetched, hit): seconds is 0 where there is no snapshot to compare with. The second argument keeps
// those only that grew most.
DBOPT_FUNCTION(dbopt_object_window) {
    pg::rows out(args);
    const auto then = monitor::frame_before(args.get<pg::interval>(0).seconds(), monitor::part::objects);
    const monitor::frame now = monitor::read_objects_now();
    const double seconds = monitor::seconds_since(then);
    struct change {
        uint64_t oid;
        const core::history_values *now, *old;
        int64_t grown() const { return old != nullptr ? (*now)[monitor::object_bytes] - (*old)[monitor::object_bytes] : 0; }
    };
    std::vector<change> all;
    for (const auto &[oid, values] : now.objects)
        all.push_back({oid, &values, then ? find(then->objects, oid) : nullptr});
    if (const auto most = args.optional<int32_t>(1); most && static_cast<size_t>(*most) < all.size()) {
        const auto middle = all.begin() + std::max(*most, 0);
        std::partial_sort(all.begin(), middle, all.end(), [](const change &a, const change &b) { return a.grown() > b.grown(); });
        all.erase(middle, all.end());
    }
    for (const change &c : all) {
        const core::history_values &values = *c.now;
        const core::history_values *old = c.old;
        const core::history_values d = monitor::growth(values, old);
        out.add(static_cast<Oid>(c.oid), seconds, values[monitor::object_bytes],
                old != nullptr ? pg::value((*old)[monitor::object_bytes]) : pg::value(nullptr),
                values[monitor::object_live], values[monitor::object_dead], d[monitor::object_scans],
                d[monitor::object_read], d[monitor::object_inserted], d[monitor::object_updated],
                d[monitor::object_deleted], d[monitor::object_fetched], d[monitor::object_hit]);
    }
    return out.done();
}

// (query_id, role, seconds, calls, total_ms, rows, mean_ms_before, p50_ms, p95_ms, p99_ms, p95_ms_before).
// Without a span: dbopt.slow_query_window. The second argument says what is shown where no snapshot is
// that old: true: all of a statement's life (seconds is NULL), also of one that the snapshot left out;
// false: what came since the oldest snapshot.
DBOPT_FUNCTION(dbopt_statement_window) {
    pg::rows out(args);
    const bool or_life = args.get<bool>(1);
    const double span = args.null(0) ? monitor::current_settings().slow_query_window : args.get<pg::interval>(0).seconds();
    const auto then = or_life ? monitor::frame_as_old_as(span, monitor::part::statements)
                              : monitor::frame_before(span, monitor::part::statements);
    const bool since_start = or_life && !then;
    const double seconds = monitor::seconds_since(then);
    for (const monitor::named_window &w : monitor::statement_windows(then, or_life))
        out.add(w.name.query_id, w.name.role, w.whole_life || since_start ? std::nullopt : std::optional(seconds), w.did.calls, w.did.total_ms, w.did.rows,
                w.did.mean_ms_before, w.did.p50_ms, w.did.p95_ms, w.did.p99_ms, w.did.p95_ms_before,
                w.name.per_transaction);
    return out.done();
}

DBOPT_FUNCTION(dbopt_baseline_save) {
    monitor::save_baseline(args.get<std::string>(0));
    return args.nothing();
}

// Statements since the baseline against all they did before it.
DBOPT_FUNCTION(dbopt_baseline_statements) {
    pg::rows out(args);
    const auto then = monitor::load_baseline(args.get<std::string>(0));
    if (!then)
        pg::raise({.code = ERRCODE_UNDEFINED_OBJECT,
                   .message = "baseline \"" + args.get<std::string>(0) + "\" does not exist",
                   .hint = "SELECT name, saved_at FROM dbopt.baseline lists them."});
    for (const monitor::named_window &w : monitor::statement_windows(then))
        out.add(w.name.query_id, w.name.role, w.did.calls_before, w.did.mean_ms_before, w.did.p95_ms_before, w.did.calls,
                w.did.total_ms / static_cast<double>(w.did.calls), w.did.p95_ms);
    return out.done();
}

// dbopt._forecast(times float8[] seconds, figures float8[], bound float8)
DBOPT_FUNCTION(dbopt_forecast) {
    const auto t = args.get<std::vector<double>>(0);
    const auto v = args.get<std::vector<double>>(1);
    std::vector<core::sample> samples;
    for (size_t i = 0; i < std::min(t.size(), v.size()); ++i)
        samples.push_back({t[i], v[i]});
    const auto fit = core::fit_trend(samples);
    if (!fit)
        return args.record({nullptr, nullptr, nullptr, nullptr, static_cast<int64_t>(samples.size())});
    const core::exhaustion e = core::foretell(samples, *fit, args.get<double>(2));
    const auto days = [](const std::optional<double> &s) {
        return s && *s < 86400.0 * 36500 ? pg::value(*s / 86400) : pg::value(nullptr);
    };
    return args.record({fit->per_second * 86400, days(e.seconds), days(e.seconds_low), days(e.seconds_high),
                        static_cast<int64_t>(fit->points)});
}

DBOPT_FUNCTION(dbopt_metrics) {
    pg::rows out(args);
    for (const core::metric_family &f : monitor::read_metrics())
        for (const core::metric_sample &s : f.samples) {
            std::vector<std::string> pairs; // key, value, key, value: jsonb_object takes them so
            for (const auto &[name, value] : s.labels) {
                pairs.push_back(name);
                pairs.push_back(value);
            }
            out.add(f.name, pairs, s.value, f.type, f.help);
        }
    return out.done();
}

DBOPT_FUNCTION(dbopt_prometheus) { return args.result(core::render_exposition(monitor::read_metrics())); }

DBOPT_FUNCTION(dbopt_report) { return args.result(monitor::make_report(args.get<pg::interval>(0))); }
