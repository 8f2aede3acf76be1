// One plan, and what is known from it of plans with other indexes; see whatif_access.cpp.
#include "pg/whatif_internal.hpp"
#include <map>

namespace dbopt::pg::whatif {

// Everything that priced paths share is their interface to the rest of a plan.
struct engine::prices {
    struct way {
        interface face;
        int index;
        double startup, total;
    };
    std::map<std::pair<uint64, uint64>, std::vector<way>> by_face;

    static bool serves(const interface &has, const interface &wanted) {
        return wanted.ordered == 0 ||
               (has.ordered >= wanted.ordered && has.order[wanted.ordered - 1] == wanted.order[wanted.ordered - 1]);
    }
    // The cheapest way of each index, best first; what is there without comes last, if at all.
    std::vector<outcome::option> ways(const interface &wanted, double startup_weight, double run_weight) const {
        std::vector<outcome::option> out;
        const auto found = by_face.find({wanted.relation, wanted.driven_by});
        if (found == by_face.end())
            return out;
        for (const way &w : found->second)
            if (serves(w.face, wanted))
                out.push_back({w.index, startup_weight * w.startup + run_weight * (w.total - w.startup)});
        std::sort(out.begin(), out.end(), [](const outcome::option &a, const outcome::option &b) {
            return a.cost != b.cost ? a.cost < b.cost : a.index < b.index;
        });
        std::vector<int> seen;
        std::erase_if(out, [&](const outcome::option &o) {
            if (std::find(seen.begin(), seen.end(), o.index) != seen.end())
                return true;
            seen.push_back(o.index);
            return false;
        });
        const auto present = std::find_if(out.begin(), out.end(), [](const outcome::option &o) { return o.index < 0; });
        if (present != out.end())
            out.erase(present + 1, out.end());
        return out;
    }
};

outcome engine::plan(int query, std::span<const int> indexes) {
    PlannedStmt *plan = run(query, indexes);
    outcome out{.cost = plan->planTree->total_cost, .used = {}, .leaves = {}, .needs = {}};
    std::vector<char> used(indexes_.size() + 1, 0);
    if (!indexes.empty())
        call([&] {
            bool *flags = reinterpret_cast<bool *>(used.data());
            used_in_plan(plan->planTree, flags);
            used_in_list(plan->subplans, flags);
        });
    for (const int i : indexes)
        if (used[i])
            out.used.push_back(i);
    take_apart(queries_[query], &out);
    return out;
}

void engine::take_apart(const parsed &q, outcome *out) {
    out->needs = out->used;
    if (q.priced == nullptr || top_ == nullptr)
        return;
    plan_leaves found{};
    call([&] {
        MemoryContext old = MemoryContextSwitchTo(planning_);
        leaves_of(top_, &found);
        MemoryContextSwitchTo(old);
    });
    out->gamble = found.gamble;
    for (int i = 0; i < found.count; ++i) {
        const plan_leaf &l = found.leaves[i];
        const double now = l.startup_weight * l.path.startup + l.run_weight * (l.path.total - l.path.startup);
        outcome::leaf part{now, q.priced->ways(l.path.face, l.startup_weight, l.run_weight)};
        const auto own = std::find_if(part.options.begin(), part.options.end(),
                                      [&](const outcome::option &o) { return o.index == l.path.index; });
        if (own == part.options.end()) { // a way nobody has priced: of this plan only
            if (l.path.index < 0)
                continue;
            part.options.insert(part.options.begin(), {l.path.index, now});
        } else {
            own->cost = now;
        }
        std::erase(out->needs, l.path.index);
        out->leaves.push_back(std::move(part));
    }
}

std::vector<std::vector<int>> engine::price(int query, std::span<const int> indexes) {
    run(query, indexes, purpose::price);
    auto all = std::make_shared<prices>();
    for (int i = 0; i < priced_->count; ++i) {
        const priced_path &p = priced_->paths[i];
        all->by_face[{p.face.relation, p.face.driven_by}].push_back({p.face, p.index, p.startup, p.total});
    }
    queries_[query].priced = all;
    std::vector<std::vector<int>> out;
    auto add = [&](const interface &wanted) {
        std::vector<int> rivals;
        for (const outcome::option &o : all->ways(wanted, 1, 1))
            if (o.index >= 0)
                rivals.push_back(o.index);
        if (!rivals.empty())
            out.push_back(std::move(rivals));
    };
    for (const auto &[face, ways] : all->by_face) {
        interface any = ways.front().face;
        any.ordered = 0;
        add(any);
        std::vector<uint64> done;
        for (const prices::way &w : ways)
            if (w.face.ordered > 0 && std::find(done.begin(), done.end(), w.face.order[w.face.ordered - 1]) == done.end()) {
                done.push_back(w.face.order[w.face.ordered - 1]);
                add(w.face);
            }
    }
    return out;
}

} // namespace dbopt::pg::whatif
