// Many matviews: dependencies first, and the rounds of the database worker.
#include "matview/incremental.hpp"
#include "matview/order.hpp"
#include "matview/registry.hpp"
#include "pg/query.hpp"
#include "pg/queue.hpp"
#include "pg/security.hpp"
#include "pg/transaction.hpp"

namespace dbopt::matview {

std::vector<node> ordered() {
    std::map<Oid, node> all;
    for (const stored_config &c : all_configs())
        all[c.matview] = {c.matview, {}, c.mode};
    for (auto &n : all) {
        // A matview in between that is not managed passes its parents on.
        std::vector<Oid> open{n.first};
        std::set<Oid> seen;
        while (!open.empty()) {
            const Oid at = open.back();
            open.pop_back();
            for (const source &s : sources_of(at)) {
                if (s.kind != 'm' || !seen.insert(s.relation).second)
                    continue;
                if (all.contains(s.relation))
                    n.second.parents.insert(s.relation);
                open.push_back(s.relation);
            }
        }
    }
    std::vector<node> out;
    std::set<Oid> placed;
    while (out.size() < all.size()) {
        const size_t before = out.size();
        for (auto &n : all) {
            if (placed.contains(n.first) ||
                !std::includes(placed.begin(), placed.end(), n.second.parents.begin(),
                               n.second.parents.end()))
                continue;
            out.push_back(n.second);
        }
        for (size_t i = before; i < out.size(); ++i)
            placed.insert(out[i].matview);
        if (out.size() == before)
            break;
    }
    return out;
}

std::optional<outcome> blocked_by_parent(const node &n, const std::map<Oid, std::string> &failed) {
    for (Oid p : n.parents)
        if (auto f = failed.find(p); f != failed.end())
            return outcome{.matview = n.matview, .mode = n.mode, .status = "skipped",
                           .rows_changed = std::nullopt, .duration_ms = 0,
                           .reason = "it reads " + pg::qualified_name(p) + ", which was not refreshed"};
    return std::nullopt;
}

std::vector<outcome> refresh_all(const std::string &mode, bool dry_run) {
    require_mode(mode);
    std::vector<outcome> out;
    std::map<Oid, std::string> failed;
    for (const node &n : ordered()) {
        if (!pg::may_maintain(n.matview))
            continue;
        if (dry_run) {
            out.push_back({.matview = n.matview, .mode = mode == "auto" ? n.mode : mode,
                           .status = "planned", .rows_changed = std::nullopt, .duration_ms = 0,
                           .reason = n.parents.empty() ? "reads no managed matview"
                                                       : "after the matviews it reads"});
            continue;
        }
        outcome o;
        if (auto blocked = blocked_by_parent(n, failed)) {
            o = *blocked;
        } else if (auto e = pg::subtransaction([&] { o = refresh(n.matview, mode); })) {
            o = {.matview = n.matview, .mode = mode, .status = "failed", .rows_changed = std::nullopt,
                 .duration_ms = 0, .reason = e->sqlstate() + ": " + e->message()};
        }
        if (!freshened(o))
            failed[n.matview] = o.reason;
        out.push_back(o);
    }
    return out;
}

// Due: older than `every`; a failure is tried again after a tenth of it, at most ten minutes.
static std::vector<node> due() {
    std::vector<node> out;
    std::map<Oid, node> late;
    for (const pg::row &r : pg::query(
             "SELECT g.matview::oid, coalesce(extract(epoch FROM s.last_refresh + g.every) * 1000000, 0)::bigint, "
             "coalesce(extract(epoch FROM greatest(s.last_refresh, s.last_attempt)) * 1000000, 0)::bigint, "
             // 'skipped' because nothing has changed is a success: with a last_refresh of the same moment.
             "coalesce(s.last_status IN ('failed', 'skipped') AND s.last_attempt IS DISTINCT FROM s.last_refresh, false) "
             "FROM dbopt.matview_config g JOIN pg_catalog.pg_class c "
             "ON c.oid = g.matview LEFT JOIN dbopt._matview_state s ON s.matview = g.matview "
             "WHERE (s.last_refresh IS NULL OR s.last_refresh + g.every <= clock_timestamp()) "
             "AND (coalesce(s.last_status, '') NOT IN ('failed', 'skipped') OR s.last_attempt IS NULL OR s.last_attempt + "
             "least(g.every / 10, interval '10 minutes') <= clock_timestamp())"))
        late[r.get<Oid>(0)] = {.matview = r.get<Oid>(0), .parents = {}, .mode = {}, .due_us = r.get<int64_t>(1),
                               .tried_us = r.get<int64_t>(2), .failed = r.get<bool>(3)};
    if (!late.empty())
        for (node &n : ordered())
            if (auto at = late.find(n.matview); at != late.end()) {
                at->second.parents = std::move(n.parents);
                at->second.mode = std::move(n.mode);
                out.push_back(at->second);
            }
    return out;
}

// A matview waits for those it reads, if they are due, too: a later round finds it still due. It waits for one try of
// each: one that is due in every round must not keep the others waiting for ever.
void background() {
    {
        pg::transaction t;
        std::map<Oid, node> waiting;
        for (const node &n : due()) {
            bool parent_first = false;
            std::map<Oid, std::string> failed;
            for (const Oid p : n.parents)
                if (const auto at = waiting.find(p); at != waiting.end()) {
                    parent_first |= at->second.tried_us <= n.due_us;
                    if (at->second.failed)
                        failed[p] = "";
                }
            waiting[n.matview] = n;
            if (parent_first || pg::run_pending("matview", n.matview))
                continue;
            if (const auto blocked = blocked_by_parent(n, failed)) {
                store_failure(*blocked);
                record(*blocked, pg::clock());
                continue;
            }
            const std::string name = pg::quote_literal(pg::qualified_name(n.matview));
            pg::enqueue({.area = "matview",
                         .command = "SELECT * FROM dbopt.matview_refresh(" + name + "::regclass)",
                         .object = n.matview});
        }
        t.commit();
    }
    pg::transaction t;
    tidy();
    t.commit();
}

} // namespace dbopt::matview
