// partition_maintain() over all sets: looked at here, done by workers, set by set.
#include "partition/maintain.hpp"
#include "pg/handoff.hpp"
#include "pg/hold.hpp"
#include "pg/query.hpp"
#include "pg/transaction.hpp"
#include <algorithm>
#include <set>

namespace dbopt::partition {

namespace {

constexpr size_t columns = 8;

std::vector<std::optional<std::string>> to_texts(const outcome &o) {
    return {std::to_string(o.parent), o.action, o.partition, o.lower, o.upper, o.command, o.status, o.detail};
}

outcome from_texts(const std::vector<std::optional<std::string>> &t) {
    return {.parent = static_cast<Oid>(std::stoul(t[0].value_or("0"))), .action = t[1].value_or(""),
            .partition = t[2], .lower = t[3], .upper = t[4], .command = t[5], .status = t[6].value_or(""),
            .detail = t[7].value_or("")};
}

std::string array_literal(const std::vector<std::string> &words) { return "'{" + join(words, ",") + "}'"; }

// Retirement is held for this set: everything else is asked for.
std::vector<std::string> without_retirement(const std::vector<std::string> &actions) {
    std::vector<std::string> rest;
    for (const char *a : {"create", "finalize", "drain"})
        if (actions.empty() || std::find(actions.begin(), actions.end(), a) != actions.end())
            rest.push_back(a);
    return rest;
}

struct batch {
    std::vector<Oid> parents;
    std::vector<std::string> actions;
    std::string command(int64_t lock_wait_ms) const {
        std::vector<std::string> oids;
        for (const Oid p : parents)
            oids.push_back(std::to_string(p));
        return "CALL dbopt._partition_serve(" + array_literal(oids) + ", " +
               (actions.empty() ? "NULL" : array_literal(actions)) + ", " + std::to_string(lock_wait_ms) + ")";
    }
};

// One run per set; where there are many, as many runs as workers, each of which takes set after set.
std::vector<batch> batches_of(const survey &s, const maintain_options &o) {
    std::vector<batch> out;
    std::vector<Oid> plain;
    for (const Oid p : s.work)
        if (std::find(s.held.begin(), s.held.end(), p) != s.held.end())
            out.push_back({{p}, without_retirement(o.actions)});
        else
            plain.push_back(p);
    const size_t workers = static_cast<size_t>(pg::parallel_runs());
    const size_t runs = plain.size() <= 2 * workers ? plain.size() : workers;
    const size_t first = out.size();
    for (size_t i = 0; i < runs; ++i)
        out.push_back({{}, o.actions});
    for (size_t i = 0; i < plain.size(); ++i)
        out[first + i % runs].parents.push_back(plain[i]);
    return out;
}

outcome trouble(Oid parent, const std::string &status, const std::string &why) {
    return {.parent = parent, .action = "manage", .partition = {}, .lower = {}, .upper = {}, .command = {},
            .status = status, .detail = why};
}

void say_cost(const std::vector<outcome> &rows, const std::string &obstacle) {
    std::set<Oid> done;
    for (const outcome &o : rows)
        if (o.status == "done")
            done.insert(o.parent);
    if (done.size() > 1)
        pg::notice(std::to_string(done.size()) + " partitioned tables are maintained in this one transaction: it keeps "
                                                 "their locks until it ends",
                   "Workers do it table by table, but here " + obstacle + ".");
}

} // namespace

std::vector<outcome> maintain_all(maintain_options o) {
    o.background = pg::in_background();
    const std::string obstacle = pg::handoff::obstacle("partition");
    if (!obstacle.empty()) {
        std::vector<outcome> rows = maintain(o);
        say_cost(rows, obstacle);
        return rows;
    }
    survey s = survey_sets(o);
    for (const Oid p : sets_to_finish())
        if (std::find(s.work.begin(), s.work.end(), p) == s.work.end() &&
            (o.actions.empty() || std::find(o.actions.begin(), o.actions.end(), "drop") != o.actions.end()))
            s.work.push_back(p);
    const std::vector<batch> batches = batches_of(s, o);
    pg::handoff work("partition");
    for (const batch &b : batches)
        work.add(b.command(o.lock_wait_ms >= 0 ? o.lock_wait_ms : config.lock_wait_s * 1000),
                 b.parents.size() == 1 ? b.parents[0] : InvalidOid);
    if (!work.send())
        return maintain(o);
    std::vector<outcome> rows = std::move(s.rows);
    for (const Oid p : s.held)
        note_holds(p, rows);
    while (std::optional<pg::handoff::result> r = work.next()) {
        std::vector<Oid> silent = batches[r->index].parents;
        for (const auto &texts : r->rows) {
            if (texts.size() != columns)
                continue;
            rows.push_back(from_texts(texts));
            std::erase(silent, rows.back().parent);
        }
        if (r->status != "done")
            for (const Oid p : silent)
                rows.push_back(trouble(p, r->status == "queued" || r->status == "skipped" ? r->status : "failed",
                                       "run " + std::to_string(r->run_id) + ": " + r->message));
    }
    std::stable_sort(rows.begin(), rows.end(), [](const outcome &a, const outcome &b) { return a.parent < b.parent; });
    return rows;
}

void serve_sets(const std::vector<Oid> &parents, const std::vector<std::string> &actions, int64_t lock_wait_ms) {
    pg::commit_and_restart();
    for (const Oid p : parents) {
        std::vector<outcome> rows;
        std::optional<pg::error> failure = pg::subtransaction(
            [&] { rows = maintain({.parent = p, .actions = actions, .lock_wait_ms = lock_wait_ms}); });
        if (failure)
            rows = {trouble(p, "failed", failure->message())};
        pg::text_rows texts;
        for (const outcome &o : rows)
            texts.push_back(to_texts(o));
        pg::keep_rows(texts);
        pg::commit_and_restart();
    }
}

void note_holds(Oid parent, const std::vector<outcome> &rows) {
    const outcome *first = nullptr;
    int held = 0;
    bool retired = false;
    for (const outcome &o : rows) {
        if (o.parent != parent || (o.action != "drop" && o.action != "detach" && o.action != "archive"))
            continue;
        retired |= o.status == "done" || o.status == "queued";
        if (o.status == "skipped" && o.detail.starts_with("held")) {
            first = first == nullptr ? &o : first;
            ++held;
        }
    }
    const std::string name = pg::qualified_name(parent);
    if (held > 0)
        pg::note_hold("partition", name, first->action + " of " + std::to_string(held) + " partitions",
                      first->detail.substr(6, first->detail.find(';') - 6));
    else if (retired)
        pg::release_hold("partition", name);
}

} // namespace dbopt::partition
