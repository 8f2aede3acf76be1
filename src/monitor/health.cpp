#include "monitor/monitor.hpp"
#include "core/figures.hpp"
#include "pg/compat.hpp"
#include "pg/inventory.hpp"
#include "pg/security.hpp"
#include "pg/transaction.hpp"
#include <map>

namespace dbopt::monitor {

namespace {

std::vector<const probe *> probes_up_to(tier limit) {
    std::vector<const probe *> out;
    for (const std::span<const probe> topic : {activity_probes(), server_probes(), settings_probes(),
                                               schema_probes(), room_probes()})
        for (const probe &p : topic)
            if (p.at <= limit)
                out.push_back(&p);
    return out;
}

// Statements are planned once per session: planning would take longer than running them. The map
// lives as long as the backend; its plans are invalidated and replanned by the server.
const pg::statement &statement_of(const probe &p) {
    static auto *plans = new std::map<const probe *, pg::statement>;
    const auto found = plans->find(&p);
    if (found != plans->end())
        return found->second;
    const bool old = pg::compat::server_version < 17 && p.sql_before_17 != nullptr;
    return plans->emplace(&p, pg::statement(old ? p.sql_before_17 : p.sql, {})).first->second;
}

using overrides = std::map<std::string, core::thresholds, std::less<>>;

overrides read_overrides() {
    overrides out;
    for (const pg::row &r : pg::query("SELECT rule, warn, critical FROM dbopt.alert_setting "
                                      "WHERE warn IS NOT NULL OR critical IS NOT NULL"))
        out[r.get<std::string>(0)] = {.warn = r.optional<double>(1), .critical = r.optional<double>(2)};
    return out;
}

core::thresholds limits_of(const check &c, const overrides &changed) {
    core::thresholds t = c.limits;
    if (const auto o = changed.find(c.name); o != changed.end()) {
        if (o->second.warn)
            t.warn = o->second.warn;
        if (o->second.critical)
            t.critical = o->second.critical;
    }
    return t;
}

void measure(const probe &p, measurements &into) {
    if (p.measure != nullptr)
        return p.measure(into);
    const pg::result rows = statement_of(p).run({});
    for (const pg::row &r : rows)
        into[r.get<std::string>(0)] = {r.optional<double>(1), r.get_or<std::string>(2, "")};
}

constexpr const char *no_right = "needs membership in pg_monitor";

// Appends one finding per check of the probe.
void run_probe(const probe &p, bool sees_all, const overrides &changed, std::vector<finding> &out) {
    measurements measured;
    std::string why;
    std::string status = "skipped";
    bool forbidden = p.reads_others && !sees_all;
    if (forbidden) {
        why = no_right;
    } else if (p.requires_relation != nullptr &&
               !pg::scalar<bool>("SELECT pg_catalog.to_regclass($1) IS NOT NULL", {p.requires_relation})
                    .value_or(false)) {
        why = std::string(p.requires_relation) + " does not exist";
    } else if (auto failure = pg::subtransaction([&] { measure(p, measured); })) {
        measured.clear();
        why = failure->message();
        // No right to look is no fault of what is looked at.
        forbidden = failure->code() == ERRCODE_INSUFFICIENT_PRIVILEGE;
        status = forbidden ? "skipped" : "error";
        if (forbidden && !sees_all)
            why = no_right;
    } else {
        why = "does not apply here";
    }
    for (const check &c : p.checks) {
        finding f{.what = &c, .limits = limits_of(c, changed), .status = status, .detail = why, .forbidden = forbidden};
        if (const auto m = measured.find(c.name); m != measured.end()) {
            if (m->second.value)
                f.value = core::for_people(*m->second.value); // judged as it is shown
            f.detail = m->second.detail;
            if (f.value)
                f.status = core::name(core::judge(*f.value, f.limits));
        }
        out.push_back(std::move(f));
    }
}

} // namespace

std::vector<finding> examine(tier limit) {
    const pg::inventory_scope shared;
    const bool sees_all = pg::scalar<bool>("SELECT pg_catalog.pg_has_role(current_user, "
                                           "'pg_read_all_stats', 'USAGE')")
                              .value_or(false);
    const overrides changed = read_overrides();
    std::vector<finding> out;
    for (const probe *p : probes_up_to(limit))
        run_probe(*p, sees_all, changed, out);
    return out;
}

tier tier_of(const std::string &name) {
    if (name == "fast")
        return tier::fast;
    if (name == "normal")
        return tier::normal;
    if (name == "deep")
        return tier::deep;
    pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
               .message = "invalid tier: \"" + name + "\"",
               .hint = "Use 'fast', 'normal' or 'deep'."});
}

int rank_of(std::string_view status) {
    constexpr std::string_view order[] = {"ok", "skipped", "error", "warning", "critical"};
    for (int i = 0; i < 5; ++i)
        if (order[i] == status)
            return i;
    pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
               .message = "invalid status: \"" + std::string(status) + "\"",
               .hint = "Use 'ok', 'skipped', 'error', 'warning' or 'critical'."});
}

} // namespace dbopt::monitor
