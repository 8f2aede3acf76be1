// The arithmetic half of the search: what a set costs by the plans known so far, and which set is
// cheapest by them. No planner is asked here.
#include "core/index_search.hpp"
#include <algorithm>
#include <array>
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

std::pair<std::vector<int>, double> index_search::missing(const configuration &c, const move &m) const {
    std::pair<std::vector<int>, double> out;
    for (const int i : m.indexes)
        if (!c.in[i]) {
            out.first.push_back(i);
            out.second += indexes_[i].bytes;
        }
    return out;
}

double index_search::appraise(const configuration &c, int m, outlook &seen) {
    if (seen.known[m] != 2) {
        seen.gain[m] = gain_of(c, missing(c, moves_[m]).first);
        seen.known[m] = 2;
    }
    return seen.gain[m];
}

// The best score by what was known of each move; a score seldom grows, so only the best is looked at
// anew until it stays the best.
int index_search::best_move(const configuration &c, const std::vector<int> &open, double exponent,
                            outlook &seen) {
    const double enough = least(c) * 0.5;
    struct scored {
        double score;
        int move;
        bool operator<(const scored &o) const {
            return score != o.score ? score < o.score : move > o.move;
        }
    };
    auto score_of = [&](int m) {
        if (seen.gain[m] < enough)
            return 0.0;
        double bytes = 0;
        int more = 0;
        for (const int i : moves_[m].indexes)
            if (!c.in[i]) {
                bytes += indexes_[i].bytes;
                ++more;
            }
        if (more == 0 || c.bytes + bytes > limits_.budget || c.count + more > limits_.most)
            return 0.0;
        bytes = std::max(bytes, 8192.0);
        return exponent == 0 ? seen.gain[m] : seen.gain[m] / (exponent == 1 ? bytes : std::pow(bytes, exponent));
    };
    std::vector<scored> heap;
    for (const int m : open)
        if (const double score = score_of(m); score > 0)
            heap.push_back({score, m});
    std::make_heap(heap.begin(), heap.end());
    while (!heap.empty()) {
        const int m = heap.front().move;
        if (seen.known[m] == 2)
            return m;
        std::pop_heap(heap.begin(), heap.end());
        heap.pop_back();
        appraise(c, m, seen);
        if (const double score = score_of(m); score > 0) {
            heap.push_back({score, m});
            std::push_heap(heap.begin(), heap.end());
        }
    }
    return -1;
}

void index_search::greedy(configuration &c, double exponent, outlook &seen) {
    std::vector<int> open;
    auto look_at_all = [&] {
        open.clear();
        const double some = least(c) * 0.05;
        for (size_t m = 0; m < moves_.size(); ++m)
            if (appraise(c, static_cast<int>(m), seen) > some)
                open.push_back(static_cast<int>(m));
    };
    look_at_all();
    for (int since = 0;;) {
        const int m = best_move(c, open, exponent, seen);
        if (m < 0 || (late() && c.count > 0)) {
            if (since == 0 || late())
                return;
            since = 0; // some scores may have grown: all again, to be sure
            look_at_all();
            continue;
        }
        for (const int i : moves_[m].indexes)
            if (!c.in[i])
                toggle(c, i, &seen);
        if (++since == 8) {
            since = 1;
            look_at_all();
        }
    }
}

void index_search::fill(configuration &c, double exponent) {
    outlook seen = blank();
    greedy(c, exponent, seen);
}

// Removes what brings (almost) nothing any more, the least useful first.
void index_search::prune(configuration &c) {
    for (;;) {
        int worst = -1;
        double loss = least(c);
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

int index_search::best_exchange(const configuration &c, int out) {
    int best = -1;
    configuration without = c;
    toggle(without, out);
    double most = without.total - c.total * (1 - 1e-5);
    const double room = limits_.budget - c.bytes + indexes_[out].bytes;
    for (size_t i = 0; i < indexes_.size(); ++i) {
        if (c.in[i] || live_[i].empty() || indexes_[i].bytes > room)
            continue;
        const int in = static_cast<int>(i);
        const double gain = gain_of(without, {&in, 1});
        if (gain > most) {
            most = gain;
            best = in;
        }
    }
    return best;
}

// One round of exchanges: one index out, others in. True when the total fell.
bool index_search::exchange(configuration &c) {
    bool better = false;
    outlook seen = blank();
    bool looked = false;
    for (size_t i = 0; i < indexes_.size(); ++i) {
        const int out = static_cast<int>(i);
        if (!c.in[i] || late())
            continue;
        if (const int in = best_exchange(c, out); in >= 0) {
            toggle(c, out, &seen);
            toggle(c, in, &seen);
            better = true;
            continue;
        }
        if (!looked)
            for (size_t m = 0; m < moves_.size(); ++m)
                appraise(c, static_cast<int>(m), seen);
        looked = true;
        // Out with it, and let the freed bytes be filled anew.
        configuration trial = c;
        outlook then = seen;
        toggle(trial, out, &then);
        greedy(trial, 1.0, then);
        if (trial.total < c.total + least(c) * 20)
            prune(trial);
        if (trial.total < c.total * (1 - 1e-5)) {
            c = std::move(trial);
            seen = blank();
            looked = false;
            better = true;
        }
    }
    return better;
}

// A few indexes out at random.
void index_search::thin_out(configuration &c) {
    const int out = 1 + static_cast<int>(random_() % 5);
    for (int k = 0; k < out && c.count > 0; ++k) {
        int nth = static_cast<int>(random_() % static_cast<unsigned>(c.count));
        for (size_t i = 0; i < indexes_.size(); ++i)
            if (c.in[i] && nth-- == 0) {
                toggle(c, static_cast<int>(i));
                break;
            }
    }
}

// One more index in, and out with whatever brings least for its bytes until all fits.
void index_search::force_in(configuration &c, int in) {
    toggle(c, in);
    while (c.count > limits_.most || c.bytes > limits_.budget) {
        int worst = -1;
        double lowest = 1e300;
        for (size_t i = 0; i < indexes_.size(); ++i) {
            const int out = static_cast<int>(i);
            if (!c.in[i] || out == in)
                continue;
            const double score = -gain_of(c, {}, out) / std::max(indexes_[i].bytes, 8192.0);
            if (score < lowest) {
                lowest = score;
                worst = out;
            }
        }
        toggle(c, worst >= 0 ? worst : in);
        if (worst < 0)
            return;
    }
}

// Away from the best set at random, the room filled anew: finds what no single exchange does.
void index_search::shake(configuration &best, int times) {
    std::vector<int> live;
    for (size_t i = 0; i < indexes_.size(); ++i)
        if (!live_[i].empty() && indexes_[i].bytes <= limits_.budget)
            live.push_back(static_cast<int>(i));
    for (int n = 0; n < times && !live.empty() && !late(); ++n) {
        configuration trial = best;
        const int in = live[random_() % live.size()];
        if (n % 2 == 0 || trial.in[in])
            thin_out(trial);
        else
            force_in(trial, in);
        constexpr std::array exponents{1.0, 0.8, 0.5, 0.0};
        fill(trial, exponents[random_() % exponents.size()]);
        prune(trial);
        if (trial.total < best.total * (1 - 1e-6))
            best = std::move(trial);
    }
}

} // namespace dbopt::core
