// How many rows the keys of an index have each: drawn one after the other, the same every time.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace dbopt::core {

// What is known of a table's equal keys.
struct repetition {
    double distinct = 0;              // keys, the heads among them
    std::vector<double> heads = {};   // rows of each key that very many rows have
    std::vector<double> observed = {};// sizes of groups that were seen whole; if any, the others are like these
    // Of the others: variance of their sizes over the mean. 0: all alike, 1: as chance makes them (Poisson),
    // more: skewed.
    double dispersion = 1;
};

class group_sizes {
  public:
    // `mean` of the keys that are no heads.
    group_sizes(repetition r, double mean);
    double next();

  private:
    double uniform();
    double poisson(double rate); // never zero
    double regular();
    double skewed();
    double gamma(double shape);

    const repetition from_;
    double mean_, rate_;
    double shape_ = 0, scale_ = 0; // of the skewed ones
    uint64_t state_ = 42;
    size_t at_ = 0;
};

} // namespace dbopt::core
