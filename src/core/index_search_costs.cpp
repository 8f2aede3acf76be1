// The arithmetic half of the search: what a set costs by the plans known so far. No planner is asked here.
#include "core/index_search.hpp"
#include <algorithm>
#include <cmath>
#include <set>

namespace dbopt::core {

// What a skeleton costs under a set; more than the limit may be told for anything above it.
double index_search::value(const skeleton &s, const bits &set, double limit, bits *used) {
    if ((s.needs & ~set).any())
        return 1e300;
    double total = s.rest;
    bits taken = s.needs;
    for (const leaf &l : s.leaves) {
        double here = l.base;
        if ((l.any & set).any())
            for (const auto &[local, cost] : l.options)
                if (set[static_cast<size_t>(local)]) {
                    if (cost < here) {
                        here = cost;
                        taken.set(static_cast<size_t>(local));
                    }
                    break;
                }
        total += here;
        if (total > limit)
            return 1e300;
    }
    if (used != nullptr)
        *used = taken;
    return total;
}

index_search::valued index_search::cheapest(int q, const bits &set) const {
    valued best{1e300, {}};
    bits used;
    for (const skeleton &s : known_[q].skeletons) {
        if (s.least >= best.cost)
            break;
        if (const double cost = value(s, set, best.cost, &used); cost < best.cost)
            best = {cost, used};
    }
    return best;
}

// After the planner has been asked: which skeletons have which index, and which moves there are.
void index_search::prepare() {
    if (prepared_ == plans_)
        return;
    prepared_ = plans_;
    live_.assign(indexes_.size(), {});
    std::set<std::vector<int>> wanted;
    for (size_t q = 0; q < queries_.size(); ++q) {
        knowledge &k = known_[q];
        k.with.assign(k.local.size(), {});
        for (size_t s = 0; s < k.skeletons.size(); ++s) {
            bits has = k.skeletons[s].needs;
            for (const leaf &l : k.skeletons[s].leaves)
                has |= l.any;
            for (size_t i = 0; i < k.local.size(); ++i)
                if (has[i])
                    k.with[i].push_back(static_cast<int>(s));
        }
        for (size_t i = 0; i < k.local.size(); ++i)
            if (!k.with[i].empty()) {
                live_[k.local[i]].push_back({static_cast<int>(q), static_cast<int>(i)});
                wanted.insert({k.local[i]});
            }
        add_moves(static_cast<int>(q), &wanted);
    }
    moves_.clear();
    moves_of_.assign(queries_.size(), {});
    for (const std::vector<int> &members : wanted) {
        move m{.indexes = members};
        for (const int i : members)
            m.bytes += indexes_[i].bytes;
        if (m.bytes > limits_.budget)
            continue;
        const int number = static_cast<int>(moves_.size());
        for (const int i : members)
            for (const auto &[q, local] : live_[i])
                if (moves_of_[q].empty() || moves_of_[q].back() != number)
                    moves_of_[q].push_back(number);
        moves_.push_back(std::move(m));
    }
}

// What the known plans want together: as they were made, and with the smallest and the best value for
// its bytes in each place that cannot do without.
void index_search::add_moves(int q, std::set<std::vector<int>> *wanted) const {
    const knowledge &k = known_[q];
    auto add = [&](const bits &set) {
        std::vector<int> members;
        for (size_t i = 0; i < k.local.size(); ++i)
            if (set[i])
                members.push_back(k.local[i]);
        std::sort(members.begin(), members.end());
        if (members.size() > 1)
            wanted->insert(std::move(members));
    };
    for (const skeleton &s : k.skeletons) {
        add(s.used);
        for (const double exponent : {1.0, 0.3}) {
            bits set = s.needs;
            for (const leaf &l : s.leaves) {
                if (l.base < 1e299)
                    continue;
                double best = 1e300;
                int at = -1;
                for (const auto &[local, cost] : l.options)
                    if (const double score = (cost + s.least * 1e-3) *
                            std::pow(std::max(indexes_[k.local[local]].bytes, 8192.0), exponent);
                        score < best) {
                        best = score;
                        at = local;
                    }
                if (at >= 0)
                    set.set(static_cast<size_t>(at));
            }
            add(set);
        }
    }
}

index_search::configuration index_search::empty() const {
    configuration c;
    c.in.assign(indexes_.size(), 0);
    c.by_query.assign(queries_.size(), {});
    settle(c);
    return c;
}

// The cheapest skeletons from scratch.
void index_search::settle(configuration &c) const {
    c.now.resize(queries_.size());
    c.total = 0;
    for (size_t i = 0; i < indexes_.size(); ++i)
        if (c.in[i])
            c.total += indexes_[i].upkeep;
    for (size_t q = 0; q < queries_.size(); ++q) {
        c.now[q] = cheapest(static_cast<int>(q), c.by_query[q]);
        c.total += queries_[q].weight * c.now[q].cost;
    }
}

// `set` has the index already. Only skeletons that have a place for it can be news.
index_search::valued index_search::after_adding(int q, const bits &set, const valued &now, int local) const {
    const knowledge &k = known_[q];
    valued best = now;
    bits used;
    for (const int at : k.with[local]) {
        const skeleton &s = k.skeletons[at];
        if (s.least >= best.cost)
            break;
        if (const double cost = value(s, set, best.cost, &used); cost < best.cost)
            best = {cost, used};
    }
    return best;
}

index_search::valued index_search::after_dropping(int q, const bits &set, const valued &now, int local) const {
    return now.used[static_cast<size_t>(local)] ? cheapest(q, set) : now;
}

void index_search::toggle(configuration &c, int index, outlook *seen) {
    const bool add = !c.in[index];
    c.in[index] = add;
    c.bytes += add ? indexes_[index].bytes : -indexes_[index].bytes;
    c.total += add ? indexes_[index].upkeep : -indexes_[index].upkeep;
    c.count += add ? 1 : -1;
    for (const auto &[q, local] : uses_[index])
        c.by_query[q].set(local, add);
    for (const auto &[q, local] : live_[index]) {
        const double before = c.now[q].cost;
        c.now[q] = add ? after_adding(q, c.by_query[q], c.now[q], local)
                       : after_dropping(q, c.by_query[q], c.now[q], local);
        c.total += queries_[q].weight * (c.now[q].cost - before);
        if (seen != nullptr)
            for (const int m : moves_of_[q])
                if (seen->known[m] == 2)
                    seen->known[m] = 1;
    }
}

// What adding a few indexes (and dropping one) saves.
double index_search::gain_of(const configuration &c, std::span<const int> add, int drop) {
    changed_.clear();
    added_.clear();
    auto place_of = [&](int q) {
        int &at = changed_at_[q];
        if (at < 0) {
            at = static_cast<int>(changed_.size());
            changed_.push_back({q, c.by_query[q], c.now[q]});
        }
        return at;
    };
    double gain = 0;
    if (drop >= 0) {
        gain += indexes_[drop].upkeep;
        for (const auto &[q, local] : live_[drop]) {
            changed &x = changed_[place_of(q)];
            x.set.reset(local);
            x.now = after_dropping(q, x.set, x.now, local);
        }
    }
    for (const int i : add) {
        gain -= indexes_[i].upkeep;
        for (const auto &[q, local] : live_[i]) {
            const int place = place_of(q);
            changed_[place].set.set(local);
            added_.push_back({place, local});
        }
    }
    for (const auto &[place, local] : added_) {
        changed &x = changed_[place];
        x.now = after_adding(x.query, x.set, x.now, local);
    }
    for (const changed &x : changed_) {
        changed_at_[x.query] = -1;
        gain += queries_[x.query].weight * (c.now[x.query].cost - x.now.cost);
    }
    evaluations_ += static_cast<int64_t>(changed_.size());
    return gain;
}

} // namespace dbopt::core
