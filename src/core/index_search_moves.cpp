// Which set is cheapest by the plans known so far: greedy moves, exchanges, shaking. No planner is asked here.
#include "core/index_search.hpp"
#include <algorithm>
#include <array>
#include <cmath>

namespace dbopt::core {

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
            if (appraise(c, static_cast<int>(m), seen) > some &&
                !std::binary_search(seen.barred.begin(), seen.barred.end(), static_cast<int>(m)))
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
