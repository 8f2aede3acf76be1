#include "core/index_search.hpp"
#include <algorithm>
#include <cmath>
#include <map>

namespace dbopt::core {

index_search::index_search(std::vector<search_index> indexes, std::vector<search_query> queries,
                           planner plan, clock now, search_limits limits)
    : indexes_(std::move(indexes)), queries_(std::move(queries)), plan_(std::move(plan)),
      now_(std::move(now)), limits_(limits), known_(queries_.size()), uses_(indexes_.size()), changed_at_(queries_.size(), -1) {
    for (size_t q = 0; q < queries_.size(); ++q) {
        knowledge &k = known_[q];
        k.local = queries_[q].relevant;
        const size_t own = std::min(k.local.size(), most_relevant);
        k.local.insert(k.local.end(), queries_[q].shared.begin(), queries_[q].shared.end());
        if (k.local.size() > most_relevant)
            k.local.resize(most_relevant);
        for (size_t i = 0; i < k.local.size(); ++i) {
            uses_[k.local[i]].push_back({static_cast<int>(q), static_cast<int>(i)});
            if (i < own && indexes_[k.local[i]].bytes <= limits_.budget)
                k.fitting.set(i);
        }
        k.best = queries_[q].cost;
        k.atoms.push_back({{}, queries_[q].cost});
        k.facts.push_back({{}, {}, queries_[q].cost});
        base_ += queries_[q].weight * queries_[q].cost;
    }
}

const index_search::fact *index_search::settling(int q, const bits &set) const {
    for (const fact &f : known_[q].facts)
        if ((f.used & ~set).none() && (set & ~f.shown).none())
            return &f;
    return nullptr;
}

// What the planner says for a set; asks it only when no fact settles it.
double index_search::look(int q, const bits &shown) {
    if (const fact *known = settling(q, shown))
        return known->cost;
    knowledge &k = known_[q];
    std::vector<int> set;
    for (size_t i = 0; i < k.local.size(); ++i)
        if (shown[i])
            set.push_back(k.local[i]);
    const planned p = plan_(q, set);
    ++plans_;
    bits used;
    for (const int candidate : p.used)
        for (size_t i = 0; i < k.local.size(); ++i)
            if (k.local[i] == candidate)
                used.set(i);
    k.facts.push_back({shown, used, p.cost});
    k.pool |= used;
    k.best = std::min(k.best, p.cost);
    const bool dominated = std::any_of(k.atoms.begin(), k.atoms.end(), [&](const atom &a) {
        return a.cost <= p.cost && (a.used & ~used).none();
    });
    if (!dominated) {
        std::erase_if(k.atoms, [&](const atom &a) {
            return a.cost >= p.cost && (used & ~a.used).none() && a.used != used;
        });
        const auto at = std::lower_bound(k.atoms.begin(), k.atoms.end(), p.cost,
                                         [](const atom &a, double c) { return a.cost < c; });
        k.atoms.insert(at, {used, p.cost});
    }
    return p.cost;
}

double index_search::exact(int q, const std::vector<int> &set) {
    bits shown;
    const knowledge &k = known_[q];
    for (size_t i = 0; i < k.local.size(); ++i)
        if (std::find(set.begin(), set.end(), k.local[i]) != set.end())
            shown.set(i);
    return look(q, shown);
}

double index_search::estimate(int q, std::span<const int> set) const {
    const knowledge &k = known_[q];
    bits shown;
    for (const int candidate : set)
        for (const auto &[query, local] : uses_[candidate])
            if (query == q)
                shown.set(local);
    for (const atom &a : k.atoms)
        if ((a.used & ~shown).none())
            return a.cost;
    return queries_[q].cost;
}

std::vector<int> index_search::pool(int q) const {
    std::vector<int> out;
    for (size_t i = 0; i < known_[q].local.size(); ++i)
        if (known_[q].pool[i])
            out.push_back(known_[q].local[i]);
    return out;
}

// The query with everything, then with ever smaller candidates, then without each of its favourites:
// what is used in any of these is the pool worth searching.
void index_search::explore(int q) {
    knowledge &k = known_[q];
    if (k.fitting.none())
        return;
    const double all = look(q, k.fitting);
    if (all > queries_[q].cost * 0.9995)
        return;
    const bits favourites = k.facts.back().used;
    std::map<int, bits> by_width;
    std::map<unsigned, bits> by_relation;
    std::map<int, bits> by_size;
    for (size_t i = 0; i < k.local.size(); ++i) {
        if (!k.fitting[i])
            continue;
        const search_index &x = indexes_[k.local[i]];
        for (int w = x.width; w <= 4; ++w)
            by_width[w].set(i);
        by_relation[x.relation].set(i);
        if (limits_.budget < 1e200)
            for (int halving = 1; halving <= 5; ++halving)
                if (x.bytes <= limits_.budget / std::exp2(halving))
                    by_size[halving].set(i);
    }
    for (const auto &[w, set] : by_width)
        look(q, set);
    for (const auto &[h, set] : by_size)
        if (!late())
            look(q, set);
    without_favourites(q, favourites);
    if (by_relation.size() > 1)
        for (const auto &[r, set] : by_relation)
            if (!late())
                look(q, set);
    // A shorter index than a favourite may be nearly as good and much smaller.
    const bits pool = k.pool;
    for (size_t i = 0; i < k.local.size(); ++i)
        if (pool[i])
            for (const int prefix : indexes_[k.local[i]].prefixes)
                for (size_t p = 0; p < k.local.size(); ++p)
                    if (k.local[p] == prefix && k.fitting[p])
                        k.pool.set(p);
}

// Without each favourite, then without each favourite of those plans, and so on for a while: what
// a good plan hides is the next best one.
void index_search::without_favourites(int q, const bits &favourites) {
    const knowledge &k = known_[q];
    std::vector<bits> shown{k.fitting};
    const int64_t most = plans_ + std::clamp<int64_t>(250 / static_cast<int64_t>(queries_.size()), 10, 40);
    for (size_t at = 0; at < shown.size() && shown.size() < 200 && plans_ < most; ++at) {
        const bits set = shown[at];
        const fact *known = settling(q, set);
        const bits used = at == 0 ? favourites : known != nullptr ? known->used : bits();
        for (size_t i = 0; i < k.local.size() && plans_ < most && !late(); ++i)
            if (used[i]) {
                shown.push_back(bits(set).reset(i));
                look(q, shown.back());
            }
    }
}

// What one query's plans use is worth trying in every other query it could serve.
void index_search::share_pools() {
    std::vector<char> pooled(indexes_.size(), 0);
    for (const knowledge &k : known_)
        for (size_t i = 0; i < k.local.size(); ++i)
            if (k.pool[i])
                pooled[k.local[i]] = 1;
    for (knowledge &k : known_)
        for (size_t i = 0; i < k.local.size(); ++i)
            if (pooled[k.local[i]] && indexes_[k.local[i]].bytes <= limits_.budget)
                k.pool.set(i);
}

// The pool without what its plan uses, and so on until what is left gains nothing worth mentioning in
// any combination, which one plan settles for all of it. The others are looked at one by one.
void index_search::explore_singles(int q, double negligible) {
    knowledge &k = known_[q];
    if (k.best > queries_[q].cost * 0.9995)
        return;
    bits left = k.pool;
    while (left.any() && !late()) {
        const double cost = look(q, left);
        const fact *known = settling(q, left);
        if (known == nullptr || (queries_[q].cost - cost) * queries_[q].weight <= negligible)
            break;
        left &= ~known->used;
    }
    for (size_t i = 0; i < k.local.size() && !late(); ++i)
        if (k.pool[i] && !left[i])
            look(q, bits().set(i));
}

// Plans every query for the set, and for the set plus whatever still fits. True when that taught
// the search something.
bool index_search::verify(configuration &c) {
    const int64_t before = plans_;
    for (size_t q = 0; q < queries_.size(); ++q) {
        const int n = static_cast<int>(q);
        knowledge &k = known_[q];
        if (k.best > queries_[q].cost * 0.9995)
            continue;
        look(n, c.by_query[q]);
        if (late())
            continue;
        bits more = c.by_query[q];
        for (size_t i = 0; i < k.local.size(); ++i)
            if (k.pool[i] && c.bytes + indexes_[k.local[i]].bytes <= limits_.budget)
                more.set(i);
        look(n, more);
    }
    prepare();
    settle(c);
    return plans_ != before;
}

// By benefit per byte. The costs on the way are planned for as long as that is cheap; the last is.
std::vector<search_step> index_search::ranked(const configuration &chosen) {
    std::vector<search_step> steps;
    std::vector<int> left;
    for (size_t i = 0; i < indexes_.size(); ++i)
        if (chosen.in[i])
            left.push_back(static_cast<int>(i));
    configuration c = empty();
    double before = base_;
    const int64_t most = plans_ + 3 * static_cast<int64_t>(queries_.size());
    while (!left.empty()) {
        size_t best = 0;
        double highest = -1e300;
        for (size_t i = 0; i < left.size(); ++i) {
            const double score = gain_of(c, {&left[i], 1}) / std::max(indexes_[left[i]].bytes, 8192.0);
            if (score > highest) {
                highest = score;
                best = i;
            }
        }
        const int index = left[best];
        left.erase(left.begin() + static_cast<long>(best));
        toggle(c, index);
        if (plans_ < most && !late()) {
            for (const auto &[q, local] : live_[index])
                look(q, c.by_query[q]);
            prepare();
            settle(c);
        }
        steps.push_back({index, before, c.total});
        before = c.total;
    }
    return steps;
}

// One round: the greedy sets of several tastes, the best of them exchanged and shaken.
void index_search::improve(configuration &best, int round) {
    configuration found = best;
    if (round > 0) { // last round's winner, filled up with what is known now
        fill(found, 1.0);
        prune(found);
    }
    for (const double exponent : {1.0, 0.6, 0.3, 0.0}) {
        configuration c = empty();
        fill(c, exponent);
        prune(c);
        if (c.total < found.total)
            found = std::move(c);
        if (late())
            break;
    }
    for (int i = 0; i < 6 && !late() && exchange(found); ++i)
        fill(found, 1.0);
    shake(found, queries_.size() <= 30 ? 120 : 12);
    prune(found);
    best = std::move(found);
}

search_result index_search::run() {
    std::vector<int> order(queries_.size());
    for (size_t q = 0; q < order.size(); ++q)
        order[q] = static_cast<int>(q);
    std::sort(order.begin(), order.end(), [&](int a, int b) {
        return queries_[a].weight * queries_[a].cost > queries_[b].weight * queries_[b].cost;
    });
    search_result out;
    out.cost_before = base_;
    for (const int q : order)
        if (!late())
            explore(q);
    out.plans_exploring = plans_;
    share_pools();
    double floor = 0; // what the workload costs at the very least
    for (size_t q = 0; q < queries_.size(); ++q)
        floor += queries_[q].weight * known_[q].best;
    for (const int q : order)
        if (!late())
            explore_singles(q, floor * limits_.least_gain);
    out.plans_singly = plans_ - out.plans_exploring;
    prepare();
    configuration best = empty();
    for (int round = 0; round < 12; ++round) {
        configuration found = best;
        improve(found, round);
        const bool learned = verify(found);
        settle(best);
        if (found.total < best.total)
            best = std::move(found);
        if (!learned || late())
            break;
    }
    out.complete = !late();
    verify(best);
    prune(best);
    out.steps = ranked(best);
    out.cost_after = out.steps.empty() ? base_ : out.steps.back().cost_after;
    out.plans = plans_;
    out.evaluations = evaluations_;
    return out;
}

} // namespace dbopt::core
