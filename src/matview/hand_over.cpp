// matview_refresh_all() by workers: whatever has its parents done is under way.
#include "matview/order.hpp"
#include "pg/handoff.hpp"
#include "pg/security.hpp"
#include "pg/transaction.hpp"

namespace dbopt::matview {

namespace {

constexpr size_t columns = 6;

void say_cost(const std::vector<outcome> &rows, const std::string &obstacle) {
    const auto done = std::count_if(rows.begin(), rows.end(), [](const outcome &o) { return o.status == "done"; });
    if (done > 1)
        pg::notice(std::to_string(done) + " materialized views are refreshed in this one transaction: it keeps their "
                                          "locks until it ends",
                   "Workers do it one by one and beside each other, but here " + obstacle + ".");
}

outcome read(Oid matview, const std::string &mode, const pg::handoff::result &r) {
    outcome o;
    o.matview = matview;
    o.mode = mode;
    if (r.rows.size() == 1 && r.rows[0].size() == columns && r.status == "done") {
        const auto &t = r.rows[0];
        o.mode = t[1].value_or(mode);
        o.status = t[2].value_or("");
        if (t[3])
            o.rows_changed = std::stoll(*t[3]);
        o.duration_ms = std::stod(t[4].value_or("0"));
        o.reason = t[5].value_or("");
        return o;
    }
    o.status = r.status == "queued" || r.status == "skipped" ? r.status : "failed";
    o.reason = "run " + std::to_string(r.run_id) + ": " + r.message;
    return o;
}

// One call: what is placed with whom, and what has come of it.
class parallel_refresh {
  public:
    parallel_refresh(std::vector<node> order, const std::string &mode) : order_(std::move(order)), mode_(mode) {
        for (const node &n : order_)
            all_.insert(n.matview);
    }

    // False: no helper process for the first of them, nothing was done.
    bool run() {
        for (;;) {
            place();
            if (!work_.send()) {
                if (done_.empty())
                    return false;
                fail_rest("no worker process could be started");
            }
            std::optional<pg::handoff::result> r = work_.next();
            if (!r)
                return true;
            settle(read(placed_[r->index], mode_, *r));
        }
    }

    std::vector<outcome> rows() const {
        std::vector<outcome> out;
        for (const node &n : order_)
            if (auto o = done_.find(n.matview); o != done_.end())
                out.push_back(o->second);
        return out;
    }

  private:
    void place() {
        for (const node &n : order_) {
            const bool open = std::any_of(n.parents.begin(), n.parents.end(),
                                          [&](Oid p) { return all_.contains(p) && !done_.contains(p); });
            if (done_.contains(n.matview) || open || !known_.insert(n.matview).second)
                continue;
            if (auto blocked = blocked_by_parent(n, failed_)) {
                settle(std::move(*blocked));
                continue;
            }
            work_.add("SELECT * FROM dbopt.matview_refresh(" + pg::quote_literal(pg::qualified_name(n.matview)) +
                          "::regclass, " + pg::quote_literal(mode_) + ")",
                      n.matview);
            placed_.push_back(n.matview);
        }
    }

    void settle(outcome o) {
        if (!freshened(o))
            failed_[o.matview] = o.reason;
        done_[o.matview] = std::move(o);
    }

    void fail_rest(const char *why) {
        for (const node &n : order_)
            if (!done_.contains(n.matview))
                settle({.matview = n.matview, .mode = mode_, .status = "failed", .rows_changed = std::nullopt,
                        .duration_ms = 0, .reason = why});
    }

    std::vector<node> order_;
    std::string mode_;
    pg::handoff work_{"matview"};
    std::vector<Oid> placed_;  // by index of the hand-off
    std::set<Oid> all_, known_; // known: placed, or settled without a worker
    std::map<Oid, outcome> done_;
    std::map<Oid, std::string> failed_;
};

} // namespace

std::vector<outcome> refresh_all_by_workers(const std::string &mode) {
    require_mode(mode);
    const std::string obstacle = pg::handoff::obstacle("matview");
    if (!obstacle.empty()) {
        std::vector<outcome> rows = refresh_all(mode, false);
        say_cost(rows, obstacle);
        return rows;
    }
    std::vector<node> order;
    if (std::optional<pg::error> failure = pg::rolled_back([&] { order = ordered(); }))
        throw std::move(*failure);
    std::erase_if(order, [](const node &n) { return !pg::may_maintain(n.matview); });
    parallel_refresh all(std::move(order), mode);
    return all.run() ? all.rows() : refresh_all(mode, false);
}

void keep(const outcome &o) {
    const auto number = [](const std::optional<int64_t> &n) {
        return n ? std::optional(std::to_string(*n)) : std::nullopt;
    };
    pg::keep_rows({{std::to_string(o.matview), o.mode, o.status, number(o.rows_changed),
                    std::to_string(o.duration_ms), o.reason}});
}

} // namespace dbopt::matview
