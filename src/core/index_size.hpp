// How large an index will be right after CREATE INDEX. Pure arithmetic over a few measured numbers.
// The formulas follow the build code of the server: _bt_buildadd and _bt_load
// (src/backend/access/nbtree/nbtsort.c), _hash_init, brin_page_init, GIN's entry tree.
#pragma once
#include "core/group_sizes.hpp"
#include <cstddef>
#include <vector>

namespace dbopt::core {

constexpr double page_bytes = 8192;

struct tree_size {
    double pages = 1;
    int height = 0; // level of the root
};

struct btree_input {
    double tuples = 0;
    double distinct = 0;      // distinct keys (NULL counts as one)
    repetition keys = {};     // how rows fall to them; its own number of keys does not count
    double tuple_bytes = 16;  // whole index tuple, header and alignment included, averaged
    double pivot_bytes = 16;  // the same without the INCLUDE columns
    double fillfactor = 90;
    bool deduplicate = true;  // allowed by the operator classes, no INCLUDE, not switched off
};
tree_size btree_size(const btree_input &in);

// How long CREATE INDEX takes: read the table, sort, write; calibrated on builds in memory.
double build_ms(double table_pages, double rows, double columns, double index_pages);

double hash_pages(double tuples, double fillfactor = 75);
double brin_pages(double table_pages, double pages_per_range, double tuple_bytes);

struct gin_input {
    double entries = 0;          // (key, row) pairs
    double distinct = 0;         // distinct keys
    double key_bytes = 8;
    double table_pages = 1;
    std::vector<double> often = {}; // how many rows have each of the keys that many have; of `entries`, `distinct`
};
double gin_pages(const gin_input &in);

// How often the keys of a sample occur in it.
struct key_counts {
    double keys = 0, distinct = 0, once = 0, twice = 0, thrice = 0;
    void add(size_t times) {
        keys += static_cast<double>(times);
        distinct += 1;
        once += times == 1;
        twice += times == 2;
        thrice += times == 3;
    }
};
// Distinct keys among `total` of which the sample is a part. Keys are taken for a mixture of unique
// ones (their number grows with the table) and of a stock that repeats (Poisson): its rate shows in
// how many keys occur two and three times.
double distinct_in_whole(const key_counts &sample, double total);

// Distinct combinations that `rows` rows show when `possible` combinations are equally likely.
double occupied(double possible, double rows);

// The same for columns of which each may be NULL: rows with one NULL show combinations of the others only.
struct nullable_column {
    double distinct = 1; // without NULL
    double null_fraction = 0;
};
double occupied(const std::vector<nullable_column> &columns, double rows, double dependence = 1);

} // namespace dbopt::core
