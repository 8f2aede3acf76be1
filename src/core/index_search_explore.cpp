// Which plans to ask for before the search begins: few, and of many shapes.
#include "core/index_search.hpp"
#include <algorithm>
#include <cmath>
#include <map>

namespace dbopt::core {

// Depth 0: nothing and everything, taken apart. Then ever smaller candidates, those of one relation, and
// everything without its favourites: each may be a plan of another shape.
void index_search::explore(int q, int depth) {
    knowledge &k = known_[q];
    if (k.fitting.none())
        return;
    if (depth == 0) {
        if (!k.rivals.empty())
            look(q, {}, true);
        look(q, k.fitting);
        return;
    }
    if (k.best > queries_[q].cost * 0.9995)
        return;
    switch (depth) {
    case 1: by_size(q); break;
    case 2: without_favourites(q); break;
    case 3: by_relation(q); break;
    default: by_width(q);
    }
}

void index_search::by_size(int q) {
    const knowledge &k = known_[q];
    if (limits_.budget > 1e200)
        return;
    for (int halving = 1; halving <= 5 && !explored_enough(q); ++halving) {
        bits set;
        for (size_t i = 0; i < k.local.size(); ++i)
            if (k.fitting[i] && indexes_[k.local[i]].bytes <= limits_.budget / std::exp2(halving))
                set.set(i);
        look(q, set);
    }
}

void index_search::by_relation(int q) {
    const knowledge &k = known_[q];
    std::map<unsigned, bits> sets;
    for (size_t i = 0; i < k.local.size(); ++i)
        if (k.fitting[i])
            sets[indexes_[k.local[i]].relation].set(i);
    if (sets.size() > 1)
        for (const auto &[r, set] : sets)
            if (!explored_enough(q))
                look(q, set);
}

// A shorter index than a favourite may be nearly as good and much smaller.
void index_search::by_width(int q) {
    knowledge &k = known_[q];
    for (int width = 1; width <= 3 && !explored_enough(q); ++width) {
        bits set;
        for (size_t i = 0; i < k.local.size(); ++i)
            if (k.fitting[i] && indexes_[k.local[i]].width <= width)
                set.set(i);
        look(q, set);
    }
    const bits pool = k.pool;
    for (size_t i = 0; i < k.local.size(); ++i)
        if (pool[i])
            k.pool |= local_bits(q, indexes_[k.local[i]].prefixes) & k.fitting;
}

// Without each favourite, then without each favourite of those plans, and so on for a while: what
// a good plan hides is the next best one.
void index_search::without_favourites(int q) {
    const knowledge &k = known_[q];
    std::vector<bits> shown{k.fitting};
    const int64_t most = plans_ + std::clamp<int64_t>(250 / static_cast<int64_t>(queries_.size()), 10, 40);
    for (size_t at = 0; at < shown.size() && shown.size() < 200 && plans_ < most; ++at) {
        const bits set = shown[at];
        const fact *known = settling(q, set);
        const bits used = known != nullptr ? known->used : bits();
        for (size_t i = 0; i < k.local.size() && plans_ < most && !explored_enough(q); ++i)
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
    while (left.any() && !explored_enough(q)) {
        const double cost = look(q, left);
        const fact *known = settling(q, left);
        if (known == nullptr || (queries_[q].cost - cost) * queries_[q].weight <= negligible)
            break;
        left &= ~known->used;
    }
    bits singly = k.pool & ~left;
    if (!k.rivals.empty()) {
        singly.reset();
        int most = static_cast<int>(16 / queries_[q].effort);
        for (size_t i = 0; i < k.local.size(); ++i)
            if (k.opaque[i] && k.fitting[i] && favoured_[k.local[i]] && most-- > 0)
                singly |= local_bits(q, indexes_[k.local[i]].prefixes).set(i) & k.fitting;
    }
    for (size_t i = 0; i < k.local.size() && !late(); ++i)
        if (singly[i] && (!k.rivals.empty() || !explored_enough(q)))
            look(q, bits().set(i));
}

} // namespace dbopt::core
