// The last steps of the search: by plans, not by arithmetic.
#include "core/index_search.hpp"
#include <algorithm>
#include <set>

namespace dbopt::core {

// The arithmetic may promise a neighbour a little too much cost, never a plan. So sets that come close by it are
// planned, too, and win by their plans: one index less and its bytes filled anew, and what less room would hold.
void index_search::polish(configuration &best) {
    const int64_t most = plans_ + std::max<int64_t>(plans_ / 2, 50);
    std::set<std::vector<char>> tried{best.in};
    auto attempt = [&](configuration trial) {
        prune(trial);
        if (trial.total > best.total * 1.01 || !tried.insert(trial.in).second)
            return false;
        verify(trial, 2);
        settle(best);
        if (trial.total >= best.total * (1 - 1e-6))
            return false;
        best = std::move(trial);
        return true;
    };
    const double room = limits_.budget;
    for (const double part : {0.5, 0.75, 0.9}) {
        if (room > 1e200 || late() || plans_ >= most)
            break;
        limits_.budget = room * part;
        configuration less = empty();
        fill(less, 1.0);
        exchange(less);
        limits_.budget = room;
        fill(less, 1.0);
        attempt(std::move(less));
    }
    for (bool better = true; better && !late() && plans_ < most;) {
        better = false;
        for (size_t i = 0; i < indexes_.size() && !late() && plans_ < most; ++i) {
            if (!best.in[i])
                continue;
            for (const double exponent : {1.0, 0.3}) {
                configuration trial = best;
                toggle(trial, static_cast<int>(i));
                outlook seen = blank();
                for (size_t m = 0; m < moves_.size(); ++m)
                    if (std::find(moves_[m].indexes.begin(), moves_[m].indexes.end(), static_cast<int>(i)) !=
                        moves_[m].indexes.end())
                        seen.barred.push_back(static_cast<int>(m));
                greedy(trial, exponent, seen);
                if (attempt(std::move(trial))) {
                    better = true;
                    break;
                }
            }
        }
    }
}

// What an index is worth beside the others is a guess where a subquery runs for each row: for the queries that
// could still save much, each index that fits beside the set is planned with it.
void index_search::fill_by_plans(configuration &best) {
    int64_t most = plans_ + std::max<int64_t>(plans_ / 4, 50);
    for (size_t q = 0; q < queries_.size() && !late(); ++q) {
        const int n = static_cast<int>(q);
        if (queries_[q].weight * (best.now[q].cost - known_[q].best) < 0.05 * best.total)
            continue;
        for (size_t i = 0; i < known_[q].local.size() && plans_ < most && !late(); ++i) {
            const int candidate = known_[q].local[i];
            if (!known_[q].pool[i] || best.in[candidate] || best.count >= limits_.most ||
                best.bytes + indexes_[candidate].bytes > limits_.budget)
                continue;
            const double cost = look(n, bits(best.by_query[q]).set(i));
            prepare();
            settle(best);
            if (queries_[q].weight * (best.now[q].cost - cost) <= indexes_[candidate].upkeep + least(best))
                continue;
            configuration trial = best;
            toggle(trial, candidate);
            verify(trial, 2);
            settle(best);
            if (trial.total < best.total)
                best = std::move(trial);
        }
    }
}

} // namespace dbopt::core
