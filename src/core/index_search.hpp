// Anytime search for the best set of indexes under a budget. Pure: the planner is a function.
//
// A planner call for query q shown the set S returns the cost c and the used part U of S. Because the
// plan needs nothing but U, c is also the cost for every set between U and S (a "fact"), and at most c for
// every set that contains U. A plan that is taken apart says more: in each place where it reads a relation
// other indexes can stand, at costs that are known, while the rest of the plan stays. Such a skeleton is
//     cost(C) = rest + sum over its leaves of min { cost of option i : i in C }
// and the cost of a query under C is that of its cheapest skeleton: arithmetic. A real plan is made only
// for what the search has chosen; it adds a skeleton, or corrects one, and the search repeats until
// nothing is new. Greedy by benefit per byte, with what plans use together (not only single indexes) as
// moves, then exchanges.
// Related: Extend (Schlosser et al. 2019) for benefit per byte; INUM (Papadomanolakis et al. 2007)
// for re-using plans.
#pragma once
#include <bitset>
#include <cstdint>
#include <functional>
#include <random>
#include <set>
#include <span>
#include <utility>
#include <vector>

namespace dbopt::core {

struct search_index {
    double bytes = 0;
    double upkeep = 0;    // cost of maintaining it, in the unit of the workload's cost
    unsigned relation = 0;
    int width = 1;
    std::vector<int> prefixes; // other candidates whose columns are a prefix of this one's
};
struct search_query {
    double weight = 1;
    double cost = 0;          // with no new index
    std::vector<int> relevant; // candidates made for this query
    std::vector<int> shared;   // made for others, yet of use here: looked at once another uses them
    // For each purpose in the query's plans, the candidates that serve it, best first. Of a set the planner
    // needs to see the first ones of each only. Empty: not known, it is shown all.
    std::vector<std::vector<int>> rivals = {};
    double effort = 1; // of planning it, against a simple one
};
struct planned {
    double cost = 0;
    std::vector<int> used;
    struct option {
        int index; // -1: what is there without new indexes
        double cost;
    };
    struct leaf {
        double now = 0;              // what the plan's own way costs, part of its cost
        std::vector<option> options; // the own way among them; nothing after -1
    };
    std::vector<leaf> leaves = {};
    std::vector<int> needs = {}; // of `used`, those that no leaf speaks for
    bool apart = false;          // leaves and needs are filled in
};
struct search_limits {
    double budget = 1e300;
    int most = 1 << 30;
    double deadline = 1e300;       // in the clock's seconds
    double least_gain = 0.0002;    // of the cost that remains, below which an index is not worth its name
};
struct search_step {
    int index = 0;
    double cost_before = 0, cost_after = 0; // of the whole workload, weighted
};
struct search_result {
    std::vector<search_step> steps; // best benefit per byte first
    double cost_before = 0, cost_after = 0;
    int64_t plans = 0, evaluations = 0;
    int64_t plans_exploring = 0, plans_singly = 0; // of these
    bool complete = true; // false: the time was over first
};

class index_search {
  public:
    using planner = std::function<planned(int query, std::span<const int> indexes)>;
    using clock = std::function<double()>;

    index_search(std::vector<search_index> indexes, std::vector<search_query> queries, planner plan,
                 clock now, search_limits limits);
    search_result run();
    // Cost of one query under a set, for evidence: as planned if it was, else reckoned.
    double cost_under(int query, const std::vector<int> &set) const;
    // Always reckoned, and the candidates worth asking about; for measuring.
    double estimate(int query, std::span<const int> set) const;
    std::vector<int> pool(int query) const;

    static constexpr size_t most_relevant = 512;

  private:
    using bits = std::bitset<most_relevant>;
    struct leaf {
        double base; // without any of the options; infinite if one is needed
        bits any;
        std::vector<std::pair<int, double>> options; // local number, cost: cheapest first
    };
    struct skeleton {
        bits needs;
        double rest = 0;
        std::vector<leaf> leaves;
        double least = 0;        // under the best of sets
        bits used;               // by the plan it comes from
        double cost = 0;         // of that plan
        bool corrected = false;  // a plan has shown that it promised too little
    };
    struct fact {
        bits shown, used;
        double cost;
    };
    struct knowledge {
        std::vector<int> local;     // local number → candidate
        std::vector<skeleton> skeletons; // by least
        std::vector<std::vector<int>> with; // local number → positions of the skeletons that have it
        std::vector<fact> facts;
        std::vector<std::vector<int>> rivals; // local numbers
        bits unrivalled;            // in none of these
        bits opaque;                // on relations that some plan reads where it cannot be taken apart
        bits pool;                  // candidates some plan has used, or could
        bits fitting;               // within the budget on their own
        double best = 0;            // with everything shown
        int asked = 0;              // plans
    };
    struct valued {
        double cost;
        bits used;
    };
    // Positions of skeletons stand as long as nothing new is learned: see prepare().
    struct configuration {
        std::vector<char> in;
        std::vector<bits> by_query;
        std::vector<valued> now; // per query
        double bytes = 0, total = 0;
        int count = 0;
    };
    // Indexes that one plan wants together, and what is known of adding them to a configuration.
    struct move {
        std::vector<int> indexes;
        double bytes = 0;
    };
    struct outlook {
        std::vector<double> gain;
        std::vector<char> known; // 0: never looked at, 1: the set has changed since, 2: up to date
        std::vector<int> barred = {}; // moves that are not to be made
    };

    // What is known, by asking the planner (index_search.cpp, index_search_explore.cpp).
    double look(int q, const bits &shown, bool even_if_known = false);
    void note_opaque(int q, std::span<const int> needs);
    void put_right(int q, const bits &set, double cost);
    void add_plain(int q, const bits &used, double cost);
    void sort_skeletons(int q);
    void learn(int q, const bits &shown, const bits &used, const planned &p);
    bits worth_showing(int q, const bits &set) const;
    skeleton taken_apart(int q, const bits &used, const planned &p);
    int local_of(int q, int candidate) const;
    bits local_bits(int q, std::span<const int> candidates) const;
    const fact *settling(int q, const bits &set) const;
    void explore(int q, int depth);
    void by_size(int q);
    void by_relation(int q);
    void by_width(int q);
    void without_favourites(int q);
    void share_pools();
    void explore_singles(int q, double negligible);
    bool verify(configuration &c, int round);
    std::vector<search_step> ranked(const configuration &c);
    void improve(configuration &best, int round);
    void polish(configuration &best);        // index_search_polish.cpp
    void fill_by_plans(configuration &best);

    // Arithmetic on what is known (index_search_costs.cpp, index_search_moves.cpp).
    void prepare();
    configuration empty() const;
    void settle(configuration &c) const;
    static double value(const skeleton &s, const bits &set, double limit, bits *used);
    valued cheapest(int q, const bits &set) const;
    valued after_adding(int q, const bits &set, const valued &now, int local) const;
    valued after_dropping(int q, const bits &set, const valued &now, int local) const;
    void add_moves(int q, std::set<std::vector<int>> *wanted) const;
    void toggle(configuration &c, int index, outlook *seen = nullptr);
    double gain_of(const configuration &c, std::span<const int> add, int drop = -1);
    std::pair<std::vector<int>, double> missing(const configuration &c, const move &m) const;
    double appraise(const configuration &c, int m, outlook &seen);
    int best_move(const configuration &c, const std::vector<int> &open, double exponent, outlook &seen);
    void greedy(configuration &c, double exponent, outlook &seen);
    void fill(configuration &c, double exponent);
    void prune(configuration &c);
    bool exchange(configuration &c);
    int best_exchange(const configuration &c, int out);
    void thin_out(configuration &c);
    void force_in(configuration &c, int in);
    void shake(configuration &best, int times);
    outlook blank() const { return {std::vector<double>(moves_.size(), 0), std::vector<char>(moves_.size(), 0)}; }
    // An index is worth its name when it saves this much of what the workload still costs.
    double least(const configuration &c) const { return limits_.least_gain * std::max(c.total, base_ * 1e-6); }
    bool late() const { return now_() > limits_.deadline; }
    // Where plans come apart a few of each query teach most of it, and fewer if they are dear.
    bool explored_enough(int q) const {
        return (!queries_[q].rivals.empty() && known_[q].asked * queries_[q].effort > 18) ||
               now_() > std::min(explore_until_, limits_.deadline);
    }

    std::vector<search_index> indexes_;
    std::vector<search_query> queries_;
    planner plan_;
    clock now_;
    search_limits limits_;
    std::vector<knowledge> known_;
    std::vector<std::vector<std::pair<int, int>>> uses_; // candidate → (query, local number)
    std::vector<std::vector<std::pair<int, int>>> live_; // the same, where a plan may read it
    std::vector<char> favoured_; // some plan has used it
    std::vector<move> moves_;
    std::vector<std::vector<int>> moves_of_; // query → moves that matter to it
    struct changed {
        int query;
        bits set;
        valued now;
    };
    std::vector<changed> changed_; // scratch of gain_of
    std::vector<int> changed_at_;  // query → place in changed_, or -1
    std::vector<std::pair<int, int>> added_; // place in changed_, local number
    double base_ = 0;
    double explore_until_ = 1e300;
    int64_t plans_ = 0, evaluations_ = 0;
    int64_t prepared_ = -1; // plans_ when the atoms were last indexed
    std::minstd_rand random_{42}; // the same answer for the same question
};

} // namespace dbopt::core
