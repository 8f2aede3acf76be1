// Rules against measurements, and what is told about the changes.
#include "core/alert.hpp"
#include "monitor/monitor.hpp"
#include "monitor/outbox.hpp"
#include "pg/transaction.hpp"
#include <cmath>
#include <limits>
#include <map>

namespace dbopt::monitor {

namespace {

core::level level_of(const std::string &s) {
    return s == "critical" ? core::level::critical : s == "warning" ? core::level::warning : core::level::ok;
}

struct rule_setting {
    std::optional<double> for_seconds;
    std::optional<bool> enabled;
    bool muted = false;
};

std::map<std::string, rule_setting> read_settings() {
    std::map<std::string, rule_setting> out;
    for (const pg::row &r : pg::query("SELECT rule, extract(epoch FROM for_time)::pg_catalog.float8, enabled, "
                                      "coalesce(muted_until > pg_catalog.clock_timestamp(), false) "
                                      "FROM dbopt.alert_setting"))
        out[r.get<std::string>(0)] = {r.optional<double>(1), r.optional<bool>(2), r.get<bool>(3)};
    return out;
}

struct rule_state {
    core::alert_state alert;
    core::level told = core::level::ok; // what people know of: another one than alert.at while it is muted
};

std::map<std::string, rule_state> read_states() {
    std::map<std::string, rule_state> out;
    for (const pg::row &r : pg::query("SELECT rule, level, since, pending, pending_since, last_raised, ended_at, told "
                                      "FROM dbopt.alert_state"))
        out[r.get<std::string>(0)] = {.alert = {.at = level_of(r.get<std::string>(1)),
                                                .since = r.get<double>(2),
                                                .pending = level_of(r.get<std::string>(3)),
                                                .pending_since = r.get<double>(4),
                                                .last_raised = level_of(r.get<std::string>(5)),
                                                .ended_at = r.get<double>(6)},
                                      .told = level_of(r.get<std::string>(7))};
    return out;
}

void write_state(const finding &f, const rule_state &s) {
    const core::alert_state &a = s.alert;
    pg::execute("INSERT INTO dbopt.alert_state AS a (rule, level, since, pending, pending_since, last_raised, "
                "ended_at, told, value, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::pg_catalog.float8, $10) "
                "ON CONFLICT (rule) DO UPDATE SET level = excluded.level, since = excluded.since, "
                "pending = excluded.pending, pending_since = excluded.pending_since, "
                "last_raised = excluded.last_raised, ended_at = excluded.ended_at, told = excluded.told, "
                "value = excluded.value, detail = excluded.detail",
                {f.what->name, core::name(a.at), a.since, core::name(a.pending), a.pending_since,
                 core::name(a.last_raised), a.ended_at, core::name(s.told), f.value, f.detail});
}

// One row, one NOTIFY (its payload is bounded: 8000 bytes is the server's limit), one line of JSON in
// the log. A muted change is recorded only.
void tell(const alert_change &c, const finding &f) {
    const pg::result r = pg::query(
        "INSERT INTO dbopt.alert_event (rule, from_level, to_level, value, unit, detail, advice, muted) "
        "VALUES ($1, $2, $3, $4::pg_catalog.float8, $5, $6, $7, $8) RETURNING pg_catalog.jsonb_build_object('event', event_id, "
        "'at', at, 'database', pg_catalog.current_database(), 'rule', rule, 'from', from_level, "
        "'to', to_level, 'value', value, 'unit', unit, 'detail', pg_catalog.left(detail, 800), "
        "'advice', pg_catalog.left(advice, 400))::pg_catalog.text",
        {c.rule, c.from, c.to, c.value, f.what->unit, c.detail, f.what->advice, c.muted});
    if (c.muted)
        return;
    const std::string json = r[0].get<std::string>(0);
    put_into_outbox(json, c.from == "critical" || c.to == "critical");
    pg::query("SELECT pg_catalog.pg_notify('dbopt_alert', $1)", {json});
    pg::log("dbopt alert " + json);
}

// What does not apply (skipped without a value) is not bad; what failed says nothing.
std::optional<double> measured(const finding &f) {
    if (f.value)
        return f.value;
    if (f.status == "skipped")
        return std::numeric_limits<double>::quiet_NaN();
    return std::nullopt;
}

struct told_change {
    core::level from, to;
    bool muted;
};

// What to record, and whether to keep it quiet. When a mute ends, what changed meanwhile is told; an
// alert that came and went unheard is not.
std::optional<told_change> worth_telling(rule_state &s, const std::optional<core::transition> &t, bool muted) {
    std::optional<told_change> out;
    if (t)
        out = {t->from, t->to, muted || t->to == s.told};
    else if (!muted && s.alert.at != s.told)
        out = {s.told, s.alert.at, false};
    if (out && !muted)
        s.told = out->to;
    return out;
}

} // namespace

std::vector<alert_change> check_alerts(tier limit) {
    std::vector<alert_change> out;
    // One round at a time; a standby keeps its figures to itself, it can neither write nor notify.
    if (pg::scalar<bool>("SELECT pg_catalog.pg_is_in_recovery()").value_or(true) ||
        !pg::scalar<bool>("SELECT pg_catalog.pg_try_advisory_xact_lock(1684434804, 1)").value_or(false))
        return out;
    const double now = static_cast<double>(pg::clock().us) / 1e6;
    const auto settings = read_settings();
    auto states = read_states();
    for (const finding &f : examine(limit)) {
        const auto changed = settings.find(f.what->name);
        const rule_setting own = changed == settings.end() ? rule_setting{} : changed->second;
        if (!own.enabled.value_or(f.what->alerts))
            continue;
        rule_state &s = states[f.what->name];
        const rule_state before = s;
        const auto t = core::step(s.alert, {.limits = f.limits,
                                            .for_seconds = own.for_seconds.value_or(f.what->for_seconds)},
                                  measured(f), now);
        if (const auto c = worth_telling(s, t, own.muted)) {
            out.push_back({.rule = f.what->name,
                           .from = std::string(core::name(c->from)),
                           .to = std::string(core::name(c->to)),
                           .value = f.value,
                           .detail = f.detail,
                           .muted = c->muted});
            tell(out.back(), f);
        }
        // pending_since of a quiet rule moves at every round: that alone is not worth a row version.
        if (t || before.alert.pending != s.alert.pending || before.told != s.told || s.alert.at != core::level::ok)
            write_state(f, s);
    }
    if (!out.empty())
        bound_outbox();
    return out;
}

} // namespace dbopt::monitor
