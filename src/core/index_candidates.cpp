#include "core/index_candidates.hpp"
#include <algorithm>
#include <map>

namespace dbopt::core {

namespace {

struct leading {
    index_key key;
    usage::kind what;
    double selectivity;
};

class proposer {
  public:
    proposer(const relation_usage &u, const candidate_limits &l, std::set<index_candidate> *out)
        : usage_(u), limits_(l), out_(out), width_(static_cast<size_t>(std::max(1, l.width))) {}

    void run() {
        gather();
        std::vector<index_key> sequence;
        // Depth by depth, so that the limit cuts the widest first.
        for (size_t depth = 1; depth <= width_; ++depth)
            extend(sequence, depth, false);
        for (const auto &[group, keys] : orders_)
            ordered(keys);
        if (usage_.index_only && !usage_.needed.empty() && usage_.needed.size() <= width_)
            emit_covering({});
    }

  private:
    void gather() {
        for (const usage &u : usage_.uses) {
            if (u.column > 0 && limits_.sortable && !limits_.sortable(u.column))
                continue;
            if (u.what == usage::order) {
                orders_[u.group].push_back({u.column, u.descending, u.nulls_first, 0});
                continue;
            }
            if (u.exact && !u.alternative)
                exact_.insert(u.column);
            const index_key key{u.column, false, false, u.opclass};
            auto same = std::find_if(leads_.begin(), leads_.end(),
                                     [&](const leading &l) { return l.key == key; });
            if (same == leads_.end())
                leads_.push_back({key, u.what, u.selectivity});
            else if (u.what < same->what)
                same->what = u.what;
        }
        std::stable_sort(leads_.begin(), leads_.end(), [](const leading &a, const leading &b) {
            return a.what != b.what ? a.what < b.what : a.selectivity < b.selectivity;
        });
        constexpr size_t most = 9;
        if (leads_.size() > most)
            leads_.resize(most);
    }

    bool has(const std::vector<index_key> &sequence, int column) const {
        return std::any_of(sequence.begin(), sequence.end(),
                           [&](const index_key &k) { return k.column == column; });
    }

    // After a range, only further ranges and equalities as filters inside the index make sense.
    void extend(std::vector<index_key> &sequence, size_t depth, bool ranged) {
        if (made_ >= limits_.per_relation)
            return;
        if (sequence.size() == depth) {
            emit(sequence);
            return;
        }
        for (const leading &l : leads_) {
            if (has(sequence, l.key.column))
                continue;
            if (ranged && l.what == usage::join && depth < width_)
                continue;
            sequence.push_back(l.key);
            extend(sequence, depth, ranged || l.what == usage::range);
            sequence.pop_back();
        }
    }

    // Equalities, then the columns in the order asked for. All descending is all ascending, read
    // backwards.
    void ordered(std::vector<index_key> keys) {
        const bool reversed = std::all_of(keys.begin(), keys.end(), [](const index_key &k) {
            return k.descending && k.nulls_first;
        });
        if (reversed)
            for (index_key &k : keys)
                k.descending = k.nulls_first = false;
        std::vector<index_key> prefix;
        for (const leading &l : leads_)
            if (l.what == usage::equal && !has(keys, l.key.column))
                prefix.push_back(l.key);
        for (size_t equal = 0; equal <= prefix.size() && equal < width_; ++equal) {
            std::vector<index_key> sequence(prefix.begin(), prefix.begin() + static_cast<long>(equal));
            for (const index_key &k : keys) {
                if (sequence.size() == width_ || has(sequence, k.column))
                    break;
                sequence.push_back(k);
                emit(sequence);
            }
        }
    }

    void emit(const std::vector<index_key> &sequence) {
        put(sequence, {});
        emit_covering(sequence);
    }

    void emit_covering(std::vector<index_key> sequence) {
        if (!usage_.index_only)
            return;
        std::vector<int> rest, unsortable;
        for (const int column : usage_.needed)
            if (!has(sequence, column)) {
                if (limits_.coverable && !limits_.coverable(column))
                    return;
                (limits_.sortable && !limits_.sortable(column) ? unsortable : rest).push_back(column);
            }
        if (rest.size() + unsortable.size() == 0 ||
            rest.size() + unsortable.size() + sequence.size() > width_)
            return;
        if (sequence.empty() && rest.empty())
            return;
        const std::vector<index_key> plain = sequence;
        for (const int column : rest)
            sequence.push_back({column, false, false, 0});
        put(sequence, unsortable);
    }

    void put(const std::vector<index_key> &keys, const std::vector<int> &includes) {
        if (gambles(keys))
            return;
        index_candidate c;
        c.relation = usage_.relation;
        c.keys = keys;
        c.includes = includes;
        made_ += out_->insert(std::move(c)).second ? 1 : 0;
    }

    // The first few rows in order, found by reading the order and throwing away what another condition
    // does not want: the planner believes that the wanted ones are spread evenly, and where they are not
    // the whole index is read. With the condition's column in front there is nothing to believe.
    bool gambles(const std::vector<index_key> &keys) const {
        if (!usage_.limited || keys.empty() || exact_.contains(keys[0].column) ||
            (exact_.empty() && !usage_.searched))
            return false;
        return std::any_of(orders_.begin(), orders_.end(), [&](const auto &order) {
            return order.second[0].column == keys[0].column;
        });
    }

    const relation_usage &usage_;
    const candidate_limits &limits_;
    std::set<index_candidate> *out_;
    size_t width_;
    size_t made_ = 0;
    std::vector<leading> leads_;
    std::set<int> exact_;
    std::map<int, std::vector<index_key>> orders_;
};

} // namespace

void propose_btrees(const relation_usage &usage, const candidate_limits &limits,
                    std::set<index_candidate> *out) {
    proposer(usage, limits, out).run();
}

bool covered_by(const std::vector<index_key> &wanted, const std::vector<index_key> &existing) {
    if (wanted.size() > existing.size() || wanted.empty())
        return false;
    bool same = true, reversed = true;
    for (size_t i = 0; i < wanted.size(); ++i) {
        const index_key &w = wanted[i];
        const index_key &e = existing[i];
        if (w.column != e.column || w.opclass != e.opclass)
            return false;
        same = same && w.descending == e.descending && w.nulls_first == e.nulls_first;
        reversed = reversed && w.descending != e.descending && w.nulls_first != e.nulls_first;
    }
    return same || reversed;
}

} // namespace dbopt::core
