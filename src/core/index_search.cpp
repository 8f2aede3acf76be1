#include "core/index_search.hpp"
#include <algorithm>
#include <cmath>
#include <map>

namespace dbopt::core {

index_search::index_search(std::vector<search_index> indexes, std::vector<search_query> queries,
                           planner plan, clock now, search_limits limits)
    : indexes_(std::move(indexes)), queries_(std::move(queries)), plan_(std::move(plan)),
      now_(std::move(now)), limits_(limits), known_(queries_.size()), uses_(indexes_.size()), favoured_(indexes_.size(), 0),
      changed_at_(queries_.size(), -1) {
    for (size_t q = 0; q < queries_.size(); ++q) {
        knowledge &k = known_[q];
        k.local = queries_[q].relevant;
        const size_t own = std::min(k.local.size(), most_relevant);
        k.local.insert(k.local.end(), queries_[q].shared.begin(), queries_[q].shared.end());
        if (k.local.size() > most_relevant)
            k.local.resize(most_relevant);
        std::map<int, int> numbers;
        for (size_t i = 0; i < k.local.size(); ++i) {
            uses_[k.local[i]].push_back({static_cast<int>(q), static_cast<int>(i)});
            numbers[k.local[i]] = static_cast<int>(i);
            if ((i < own || !queries_[q].rivals.empty()) && indexes_[k.local[i]].bytes <= limits_.budget)
                k.fitting.set(i);
            k.unrivalled.set(i);
        }
        for (const std::vector<int> &purpose : queries_[q].rivals) {
            std::vector<int> local;
            for (const int candidate : purpose)
                if (const auto at = numbers.find(candidate); at != numbers.end()) {
                    local.push_back(at->second);
                    k.unrivalled.reset(static_cast<size_t>(at->second));
                }
            k.rivals.push_back(std::move(local));
        }
        k.best = queries_[q].cost;
        k.skeletons.push_back({.needs = {}, .rest = k.best, .leaves = {}, .least = k.best, .used = {}, .cost = k.best});
        k.facts.push_back({{}, {}, k.best});
        base_ += queries_[q].weight * k.best;
    }
}

const index_search::fact *index_search::settling(int q, const bits &set) const {
    for (const fact &f : known_[q].facts)
        if ((f.used & ~set).none() && (set & ~f.shown).none())
            return &f;
    return nullptr;
}

// Of a set, the best few for each purpose: the planner would take none of the others.
index_search::bits index_search::worth_showing(int q, const bits &set) const {
    const knowledge &k = known_[q];
    if (k.rivals.empty())
        return set;
    bits out = set & k.unrivalled;
    for (const std::vector<int> &purpose : k.rivals) {
        int shown = 0;
        for (const int i : purpose)
            if (set[static_cast<size_t>(i)]) {
                out.set(static_cast<size_t>(i));
                if (++shown == 2) // two: the second may be good for something else, too
                    break;
            }
    }
    return out;
}

int index_search::local_of(int q, int candidate) const {
    for (const auto &[query, local] : uses_[candidate])
        if (query == q)
            return local;
    return -1;
}

index_search::bits index_search::local_bits(int q, std::span<const int> candidates) const {
    bits out;
    for (const int candidate : candidates)
        if (const int local = local_of(q, candidate); local >= 0)
            out.set(static_cast<size_t>(local));
    return out;
}

// What the planner says for a set; asks it only when no fact settles it.
double index_search::look(int q, const bits &shown, bool even_if_known) {
    if (!even_if_known)
        if (const fact *known = settling(q, shown)) {
            const double cost = known->cost;
            const bits used = known->used;
            put_right(q, shown, cost);
            if (cheapest(q, shown).cost > cost * 1.0002)
                add_plain(q, used, cost);
            return cost;
        }
    knowledge &k = known_[q];
    const bits showing = worth_showing(q, shown);
    std::vector<int> set;
    for (size_t i = 0; i < k.local.size(); ++i)
        if (showing[i])
            set.push_back(k.local[i]);
    const planned p = plan_(q, set);
    ++k.asked;
    ++plans_;
    const bits used = local_bits(q, p.used);
    k.facts.push_back({shown, used, p.cost});
    k.pool |= used;
    k.best = std::min(k.best, p.cost);
    for (const int candidate : p.used)
        favoured_[candidate] = 1;
    if (p.apart)
        note_opaque(q, p.needs);
    learn(q, shown, used, p);
    return p.cost;
}

// Where a plan cannot be taken apart (a subquery that runs for each row, say), what stands on the same
// relations is asked about one by one.
void index_search::note_opaque(int q, std::span<const int> needs) {
    knowledge &k = known_[q];
    for (const int candidate : needs)
        for (size_t i = 0; i < k.local.size(); ++i)
            if (indexes_[k.local[i]].relation == indexes_[candidate].relation)
                k.opaque.set(i);
}

// A skeleton that promised a set for less than it costs was wrong about it: it counts for its own plan from
// now on, and elsewhere for as much more.
void index_search::put_right(int q, const bits &set, double cost) {
    knowledge &k = known_[q];
    const size_t before = k.skeletons.size();
    bool wrong = false;
    std::vector<std::pair<bits, double>> own;
    for (size_t i = 0; i < before; ++i) {
        skeleton &s = k.skeletons[i];
        const double promised = value(s, set, 1e300, nullptr);
        if (promised >= cost * 0.999)
            continue;
        wrong = true;
        s.rest += cost - promised;
        s.least += cost - promised;
        if (!s.corrected)
            own.emplace_back(s.used, s.cost);
        s.corrected = true;
    }
    if (wrong)
        sort_skeletons(q);
    for (const auto &[used, least] : own)
        add_plain(q, used, least);
}

// A plan as a whole.
void index_search::add_plain(int q, const bits &used, double cost) {
    known_[q].skeletons.push_back({.needs = used, .rest = cost, .leaves = {}, .least = cost, .used = used, .cost = cost});
    sort_skeletons(q);
}

void index_search::sort_skeletons(int q) {
    std::sort(known_[q].skeletons.begin(), known_[q].skeletons.end(),
              [](const skeleton &a, const skeleton &b) { return a.least < b.least; });
    prepared_ = -1;
}

// The plan as a skeleton, unless those that are known have foreseen it.
void index_search::learn(int q, const bits &shown, const bits &used, const planned &p) {
    knowledge &k = known_[q];
    put_right(q, shown, p.cost);
    if (cheapest(q, used).cost > p.cost * 1.0002 || k.skeletons.size() == 1)
        k.skeletons.push_back(taken_apart(q, used, p));
    sort_skeletons(q);
}

index_search::skeleton index_search::taken_apart(int q, const bits &used, const planned &p) {
    knowledge &k = known_[q];
    skeleton s{.needs = p.apart ? local_bits(q, p.needs) : used, .rest = p.cost, .leaves = {}, .least = 0, .used = used, .cost = p.cost};
    for (const planned::leaf &l : p.leaves) {
        leaf to{.base = 1e300, .any = {}, .options = {}};
        for (const planned::option &o : l.options) {
            if (o.index < 0) {
                to.base = o.cost;
                continue;
            }
            const int local = local_of(q, o.index);
            if (local < 0)
                continue;
            to.any.set(static_cast<size_t>(local));
            to.options.emplace_back(local, o.cost);
        }
        s.rest -= l.now;
        s.least += to.options.empty() ? to.base : std::min(to.base, to.options[0].second);
        k.pool |= to.any & k.fitting;
        s.leaves.push_back(std::move(to));
    }
    s.least += s.rest;
    return s;
}

double index_search::cost_under(int q, const std::vector<int> &set) const {
    const bits shown = local_bits(q, set);
    const fact *known = settling(q, shown);
    return known != nullptr ? known->cost : cheapest(q, shown).cost;
}

double index_search::estimate(int q, std::span<const int> set) const {
    bits shown;
    for (const int candidate : set)
        for (const auto &[query, local] : uses_[candidate])
            if (query == q)
                shown.set(static_cast<size_t>(local));
    return cheapest(q, shown).cost;
}

std::vector<int> index_search::pool(int q) const {
    std::vector<int> out;
    for (size_t i = 0; i < known_[q].local.size(); ++i)
        if (known_[q].pool[i])
            out.push_back(known_[q].local[i]);
    return out;
}

// Plans every query for the set, and at first for the set plus whatever still fits. True when that taught
// the search something.
bool index_search::verify(configuration &c, int round) {
    const int64_t before = plans_;
    for (size_t q = 0; q < queries_.size(); ++q) {
        const int n = static_cast<int>(q);
        knowledge &k = known_[q];
        if (k.best > queries_[q].cost * 0.9995)
            continue;
        const double now = look(n, c.by_query[q]);
        const bool matters = queries_[q].weight * (now - k.best) > 0.002 * c.total;
        if (late() || !matters || (round > 1 && !k.rivals.empty()))
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

// By benefit per byte. The last cost is planned (the set has been verified), those on the way are reckoned.
std::vector<search_step> index_search::ranked(const configuration &chosen) {
    std::vector<search_step> steps;
    std::vector<int> left;
    for (size_t i = 0; i < indexes_.size(); ++i)
        if (chosen.in[i])
            left.push_back(static_cast<int>(i));
    configuration c = empty();
    double before = base_;
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
            explore(q, 0);
    if (limits_.deadline < 1e200)
        explore_until_ = now_() + 0.4 * (limits_.deadline - now_());
    for (int depth = 1; depth <= 4; ++depth)
        for (const int q : order)
            explore(q, depth);
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
        const bool learned = verify(found, round);
        settle(best);
        if (found.total < best.total)
            best = std::move(found);
        if (!learned || late())
            break;
    }
    out.complete = !late();
    if (best.count > 0) {
        fill_by_plans(best);
        polish(best);
    }
    prune(best);
    verify(best, 2);
    out.steps = ranked(best);
    out.cost_after = out.steps.empty() ? base_ : out.steps.back().cost_after;
    out.plans = plans_;
    out.evaluations = evaluations_;
    return out;
}

} // namespace dbopt::core
