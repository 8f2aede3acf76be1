// Rules against measurements, and what is told about the changes.
#include "core/alert.hpp"
#include "monitor/monitor.hpp"
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

std::map<std::string, core::alert_state> read_states() {
    std::map<std::string, core::alert_state> out;
    for (const pg::row &r : pg::query("SELECT rule, level, since, pending, pending_since, last_raised, ended_at "
                                      "FROM dbopt.alert_state"))
        out[r.get<std::string>(0)] = {.at = level_of(r.get<std::string>(1)),
                                      .since = r.get<double>(2),
                                      .pending = level_of(r.get<std::string>(3)),
                                      .pending_since = r.get<double>(4),
                                      .last_raised = level_of(r.get<std::string>(5)),
                                      .ended_at = r.get<double>(6)};
    return out;
}

void write_state(const finding &f, const core::alert_state &s) {
    pg::execute("INSERT INTO dbopt.alert_state AS a (rule, level, since, pending, pending_since, last_raised, "
                "ended_at, value, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
                "ON CONFLICT (rule) DO UPDATE SET level = excluded.level, since = excluded.since, "
                "pending = excluded.pending, pending_since = excluded.pending_since, "
                "last_raised = excluded.last_raised, ended_at = excluded.ended_at, "
                "value = excluded.value, detail = excluded.detail",
                {f.what->name, core::name(s.at), s.since, core::name(s.pending), s.pending_since,
                 core::name(s.last_raised), s.ended_at, f.value, f.detail});
}

// One row, one NOTIFY (its payload is bounded: 8000 bytes is the server's limit), one line of JSON in
// the log. A muted change is recorded only.
void tell(const alert_change &c, const finding &f) {
    const pg::result r = pg::query(
        "INSERT INTO dbopt.alert_event (rule, from_level, to_level, value, unit, detail, advice, muted) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING pg_catalog.jsonb_build_object('event', event_id, "
        "'at', at, 'database', pg_catalog.current_database(), 'rule', rule, 'from', from_level, "
        "'to', to_level, 'value', value, 'unit', unit, 'detail', pg_catalog.left(detail, 800), "
        "'advice', pg_catalog.left(advice, 400))::pg_catalog.text",
        {c.rule, c.from, c.to, c.value, f.what->unit, c.detail, f.what->advice, c.muted});
    if (c.muted)
        return;
    const std::string json = r[0].get<std::string>(0);
    pg::execute("INSERT INTO dbopt.alert_outbox (webhook, body) SELECT w.name, $1::pg_catalog.jsonb "
                "FROM dbopt.alert_webhook w WHERE w.enabled AND ($2 OR w.min_level = 'warning')",
                {json, c.from == "critical" || c.to == "critical"});
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

// pg_net's function, and no other of that name: a stranger may own a schema called net.
bool has_pg_net() {
    return pg::scalar<bool>(
               "SELECT EXISTS (SELECT FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_depend d ON d.refclassid = "
               "'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = e.oid AND d.deptype = 'e' "
               "WHERE e.extname = 'pg_net' AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = "
               "pg_catalog.to_regprocedure('net.http_post(text,jsonb,jsonb,jsonb,integer)'))")
        .value_or(false);
}

} // namespace

int64_t send_alerts() {
    if (pg::scalar<bool>("SELECT pg_catalog.pg_is_in_recovery() OR NOT EXISTS (SELECT FROM dbopt.alert_outbox "
                         "WHERE sent_at IS NULL)").value_or(true) || !has_pg_net())
        return 0;
    int64_t sent = 0;
    const pg::result waiting = pg::query(
        "SELECT o.outbox_id, w.url, o.body::pg_catalog.text, w.headers::pg_catalog.text FROM dbopt.alert_outbox o JOIN dbopt.alert_webhook w "
        "ON w.name = o.webhook WHERE o.sent_at IS NULL AND (o.retry_at IS NULL OR o.retry_at <= pg_catalog.clock_timestamp()) "
        "ORDER BY o.outbox_id LIMIT 100 FOR UPDATE OF o SKIP LOCKED");
    for (const pg::row &r : waiting) {
        const int64_t id = r.get<int64_t>(0);
        // pg_net sends after COMMIT and retries nothing: what it accepts is sent as far as we know.
        const auto failure = pg::subtransaction([&] {
            pg::execute("UPDATE dbopt.alert_outbox SET sent_at = pg_catalog.clock_timestamp(), request_id = "
                        "net.http_post($2, $3::pg_catalog.jsonb, '{}'::pg_catalog.jsonb, $4::pg_catalog.jsonb, 5000), error = NULL "
                        "WHERE outbox_id = $1",
                        {id, r.get<std::string>(1), r.get<std::string>(2), r.get<std::string>(3)});
            ++sent;
        });
        if (failure)
            pg::execute("UPDATE dbopt.alert_outbox SET attempts = attempts + 1, error = pg_catalog.left($2, 500), retry_at = "
                        "pg_catalog.clock_timestamp() + least(interval '30 seconds' * pg_catalog.power(2, least(attempts, 7)), interval '1 hour') "
                        "WHERE outbox_id = $1", {id, failure->message()});
    }
    return sent;
}

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
        core::alert_state &s = states[f.what->name];
        const core::alert_state before = s;
        const auto t = core::step(s, {.limits = f.limits,
                                      .for_seconds = own.for_seconds.value_or(f.what->for_seconds)},
                                  measured(f), now);
        if (t) {
            out.push_back({.rule = f.what->name,
                           .from = std::string(core::name(t->from)),
                           .to = std::string(core::name(t->to)),
                           .value = f.value,
                           .detail = f.detail,
                           .muted = own.muted});
            tell(out.back(), f);
        }
        // pending_since of a quiet rule moves at every round: that alone is not worth a row version.
        if (t || (before.pending != s.pending) || s.at != core::level::ok)
            write_state(f, s);
    }
    return out;
}

} // namespace dbopt::monitor
