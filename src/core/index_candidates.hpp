// Which b-tree indexes could serve what a query asks of one relation. Pure.
//
// A candidate is a sequence of columns: those that restrict or join first, in every order that can
// matter, then the columns that make an index-only scan possible when all of them fit.
#pragma once
#include <compare>
#include <functional>
#include <set>
#include <vector>

namespace dbopt::core {

struct index_key {
    int column = 0;      // attribute number; negative: an expression the caller has numbered
    bool descending = false;
    bool nulls_first = false;
    unsigned opclass = 0; // 0: the default
    auto operator<=>(const index_key &) const = default;
};
struct index_candidate {
    unsigned relation = 0;
    unsigned method = 0; // the caller's numbering; 0 is b-tree
    std::vector<index_key> keys;
    std::vector<int> includes;
    int predicate = -1; // the caller's numbering
    auto operator<=>(const index_candidate &) const = default;
    size_t width() const { return keys.size() + includes.size(); }
};

struct usage {
    enum kind { equal, join, range, order };
    kind what = equal;
    int column = 0;
    unsigned opclass = 0;
    int group = 0;          // join: the partner; order: the sequence this is the next column of
    double selectivity = 1;
    bool alternative = false; // in one arm of an OR
    bool exact = false;       // one value: the order of the next column is kept
    bool descending = false;
    bool nulls_first = false;
};
struct relation_usage {
    unsigned relation = 0;
    std::vector<usage> uses;
    std::vector<int> needed; // what an index-only scan returns or filters on
    bool index_only = true;  // false: whole row or system columns are wanted
    bool limited = false;    // only the first few rows are wanted
    bool searched = false;   // by containment or text, too: what an inverted index answers
};

struct candidate_limits {
    int width = 3;
    size_t per_relation = 160;
    std::function<bool(int column)> sortable; // has a b-tree class
    std::function<bool(int column)> coverable; // narrow enough to be carried along
};
void propose_btrees(const relation_usage &usage, const candidate_limits &limits,
                    std::set<index_candidate> *out);

// True when an index on `existing` already does what one on `wanted` would: same columns, same order
// (or exactly reversed), `wanted` no longer than `existing`.
bool covered_by(const std::vector<index_key> &wanted, const std::vector<index_key> &existing);

} // namespace dbopt::core
