#include "core/index_search.hpp"
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

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

bool index_search::settled(int q, const bits &set, double *cost) const {
    for (const fact &f : known_[q].facts)
        if ((f.used & ~set).none() && (set & ~f.shown).none()) {
            *cost = f.cost;
            return true;
        }
    return false;
}

// What the planner says for a set; asks it only when no fact settles it.
double index_search::look(int q, const bits &shown) {
    double cost;
    if (settled(q, shown, &cost))
        return cost;
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

index_search::bits index_search::used_under(int q, const bits &set) const {
    for (const fact &f : known_[q].facts)
        if ((f.used & ~set).none() && (set & ~f.shown).none())
            return f.used;
    return {};
}

double index_search::arithmetic(int q, const bits &set) {
    ++evaluations_;
    for (const atom &a : known_[q].atoms)
        if ((a.used & ~set).none())
            return a.cost;
    return queries_[q].cost;
}

double index_search::exact(int q, const std::vector<int> &set) {
    bits shown;
    const knowledge &k = known_[q];
    for (size_t i = 0; i < k.local.size(); ++i)
        if (std::find(set.begin(), set.end(), k.local[i]) != set.end())
            shown.set(i);
    return look(q, shown);
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
    // Without each favourite, then without each favourite of those plans, and so on for a while: what
    // a good plan hides is the next best one.
    std::vector<bits> shown{k.fitting};
    const int64_t most = plans_ + std::clamp<int64_t>(250 / static_cast<int64_t>(queries_.size()), 10, 40);
    for (size_t at = 0; at < shown.size() && shown.size() < 200; ++at) {
        const bits set = shown[at];
        const bits used = at == 0 ? favourites : used_under(q, set);
        for (size_t i = 0; i < k.local.size() && plans_ < most && !late(); ++i)
            if (used[i]) {
                shown.push_back(bits(set).reset(i));
                look(q, shown.back());
            }
        if (plans_ >= most)
            break;
    }
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

void index_search::explore_singles(int q) {
    knowledge &k = known_[q];
    if (k.best > queries_[q].cost * 0.9995)
        return;
    for (size_t i = 0; i < k.local.size() && !late(); ++i)
        if (k.pool[i])
            look(q, bits().set(i));
}

index_search::configuration index_search::empty() const {
    configuration c;
    c.in.assign(indexes_.size(), 0);
    c.by_query.assign(queries_.size(), {});
    for (const search_query &q : queries_)
        c.cost.push_back(q.cost);
    c.total = base_;
    return c;
}

void index_search::toggle(configuration &c, int index) {
    const bool add = !c.in[index];
    c.in[index] = add;
    c.bytes += add ? indexes_[index].bytes : -indexes_[index].bytes;
    c.total += add ? indexes_[index].upkeep : -indexes_[index].upkeep;
    c.count += add ? 1 : -1;
    for (const auto &[q, local] : uses_[index]) {
        c.by_query[q].set(local, add);
        const double now = arithmetic(q, c.by_query[q]);
        c.total += queries_[q].weight * (now - c.cost[q]);
        c.cost[q] = now;
    }
}

// Arithmetic gain of adding a few indexes (and dropping one).
double index_search::gain_of(const configuration &c, const std::vector<int> &add, int drop) {
    changed_.clear();
    auto set_of = [&](int q) -> bits & {
        int &at = changed_at_[q];
        if (at < 0) {
            at = static_cast<int>(changed_.size());
            changed_.push_back({q, c.by_query[q]});
        }
        return changed_[at].second;
    };
    double gain = 0;
    for (const int i : add) {
        gain -= indexes_[i].upkeep;
        for (const auto &[q, local] : uses_[i])
            set_of(q).set(local);
    }
    if (drop >= 0) {
        gain += indexes_[drop].upkeep;
        for (const auto &[q, local] : uses_[drop])
            set_of(q).reset(local);
    }
    for (const auto &[q, set] : changed_) {
        changed_at_[q] = -1;
        gain += queries_[q].weight * (c.cost[q] - arithmetic(q, set));
    }
    return gain;
}

void index_search::greedy(configuration &c, double exponent) {
    std::set<std::vector<int>> moves;
    for (size_t q = 0; q < queries_.size(); ++q)
        for (const atom &a : known_[q].atoms) {
            std::vector<int> members;
            double bytes = 0;
            for (size_t i = 0; i < known_[q].local.size(); ++i)
                if (a.used[i]) {
                    members.push_back(known_[q].local[i]);
                    bytes += indexes_[known_[q].local[i]].bytes;
                }
            if (members.empty() || bytes > limits_.budget)
                continue;
            std::sort(members.begin(), members.end());
            moves.insert(std::move(members));
        }
    struct scored {
        double score;
        const std::vector<int> *move;
    };
    std::vector<scored> queue;
    for (const std::vector<int> &m : moves)
        queue.push_back({1e300, &m});
    const double least = base_ * limits_.least_gain * 0.5;
    auto evaluate = [&](const std::vector<int> &move) -> double {
        std::vector<int> missing;
        double bytes = 0;
        for (const int i : move)
            if (!c.in[i]) {
                missing.push_back(i);
                bytes += indexes_[i].bytes;
            }
        if (missing.empty() || c.bytes + bytes > limits_.budget ||
            c.count + static_cast<int>(missing.size()) > limits_.most)
            return 0;
        const double gain = gain_of(c, missing);
        return gain < least ? 0 : gain / std::pow(std::max(bytes, 8192.0), exponent);
    };
    // Lazy: a score seldom grows, so the best of the old scores is re-evaluated first; every few
    // steps all of them are.
    for (int step = 0; !queue.empty(); ++step) {
        if (step % 4 == 0) {
            if (late() && c.count > 0)
                break;
            for (scored &s : queue)
                s.score = evaluate(*s.move);
        }
        std::sort(queue.begin(), queue.end(),
                  [](const scored &a, const scored &b) { return a.score > b.score; });
        size_t best = 0;
        for (size_t i = 0; i < queue.size(); ++i) {
            if (i > 0 && queue[i].score <= queue[best].score)
                break;
            queue[i].score = evaluate(*queue[i].move);
            if (queue[i].score > queue[best].score)
                best = i;
        }
        if (queue[best].score <= 0) {
            if (step % 4 == 0)
                break;
            step = step - step % 4 + 3; // all again, to be sure
            continue;
        }
        for (const int i : *queue[best].move)
            if (!c.in[i])
                toggle(c, i);
        queue.erase(queue.begin() + static_cast<long>(best));
    }
}

// Removes what brings (almost) nothing any more, the least useful first.
void index_search::prune(configuration &c, double least) {
    for (;;) {
        int worst = -1;
        double loss = least;
        for (size_t i = 0; i < indexes_.size(); ++i) {
            if (!c.in[i])
                continue;
            const double l = -gain_of(c, {}, static_cast<int>(i));
            if (l < loss) {
                loss = l;
                worst = static_cast<int>(i);
            }
        }
        if (worst < 0)
            return;
        toggle(c, worst);
    }
}

// One round of exchanges: one index out, others in. True when the total fell.
bool index_search::exchange(configuration &c) {
    bool better = false;
    std::vector<int> pool;
    for (size_t i = 0; i < indexes_.size(); ++i)
        for (const auto &[q, local] : uses_[i])
            if (known_[q].pool[local]) {
                pool.push_back(static_cast<int>(i));
                break;
            }
    const double least = base_ * 1e-5;
    for (const int out : pool) {
        if (!c.in[out] || late())
            continue;
        int best = -1;
        double most = least;
        for (const int in : pool) {
            if (c.in[in] || c.bytes - indexes_[out].bytes + indexes_[in].bytes > limits_.budget)
                continue;
            const double gain = gain_of(c, {in}, out);
            if (gain > most) {
                most = gain;
                best = in;
            }
        }
        if (best >= 0) {
            toggle(c, out);
            toggle(c, best);
            better = true;
            continue;
        }
        // Out with it, and let the freed bytes be filled anew.
        configuration trial = c;
        toggle(trial, out);
        greedy(trial, 1.0);
        prune(trial, base_ * limits_.least_gain);
        if (trial.total < c.total - least) {
            c = std::move(trial);
            better = true;
        }
    }
    return better;
}

// A few indexes out at random, the room filled anew: finds what no single exchange does.
void index_search::shake(configuration &c, int times) {
    for (int n = 0; n < times && c.count > 1 && !late(); ++n) {
        configuration trial = c;
        const int out = 2 + static_cast<int>(random_() % 3);
        for (int k = 0; k < out && trial.count > 0; ++k) {
            int nth = static_cast<int>(random_() % static_cast<unsigned>(trial.count));
            for (size_t i = 0; i < indexes_.size(); ++i)
                if (trial.in[i] && nth-- == 0) {
                    toggle(trial, static_cast<int>(i));
                    break;
                }
        }
        constexpr std::array exponents{1.0, 0.5, 0.0};
        greedy(trial, exponents[random_() % exponents.size()]);
        prune(trial, base_ * limits_.least_gain);
        if (trial.total < c.total - base_ * 1e-6)
            c = std::move(trial);
    }
}

void index_search::refresh(configuration &c) {
    c.total = 0;
    for (size_t i = 0; i < indexes_.size(); ++i)
        if (c.in[i])
            c.total += indexes_[i].upkeep;
    for (size_t q = 0; q < queries_.size(); ++q) {
        c.cost[q] = arithmetic(static_cast<int>(q), c.by_query[q]);
        c.total += queries_[q].weight * c.cost[q];
    }
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
    refresh(c);
    return plans_ != before;
}

std::vector<search_step> index_search::ranked(const configuration &chosen) {
    std::vector<search_step> steps;
    std::vector<int> left, taken;
    for (size_t i = 0; i < indexes_.size(); ++i)
        if (chosen.in[i])
            left.push_back(static_cast<int>(i));
    configuration c = empty();
    double before = base_;
    while (!left.empty()) {
        size_t best = 0;
        double most = -1e300;
        for (size_t i = 0; i < left.size(); ++i) {
            const double score = gain_of(c, {left[i]}) / std::max(indexes_[left[i]].bytes, 8192.0);
            if (score > most) {
                most = score;
                best = i;
            }
        }
        const int index = left[best];
        left.erase(left.begin() + static_cast<long>(best));
        toggle(c, index);
        for (const auto &[q, local] : uses_[index])
            if (!late())
                look(q, c.by_query[q]);
        refresh(c);
        steps.push_back({index, before, c.total});
        before = c.total;
    }
    return steps;
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
    share_pools();
    for (const int q : order)
        if (!late())
            explore_singles(q);
    configuration best = empty();
    const double least = base_ * limits_.least_gain;
    for (int round = 0; round < 12; ++round) {
        configuration found = best;
        refresh(found);
        if (round > 0) { // last round's winner, filled up with what is known now
            greedy(found, 1.0);
            prune(found, least);
        }
        for (const double exponent : {1.0, 0.6, 0.3, 0.0}) {
            configuration c = empty();
            refresh(c);
            greedy(c, exponent);
            prune(c, least);
            if (c.total < found.total)
                found = std::move(c);
            if (late())
                break;
        }
        for (int i = 0; i < 6 && !late() && exchange(found); ++i)
            greedy(found, 1.0);
        shake(found, queries_.size() <= 30 ? 16 : 6);
        prune(found, least);
        const bool learned = verify(found);
        refresh(best);
        if (found.total < best.total)
            best = found;
        if (!learned || late())
            break;
    }
    out.complete = !late();
    verify(best);
    prune(best, least);
    out.steps = ranked(best);
    out.cost_after = out.steps.empty() ? base_ : out.steps.back().cost_after;
    out.plans = plans_;
    out.evaluations = evaluations_;
    return out;
}

} // namespace dbopt::core
