// Statistics of block samples: which blocks to read, and how far the result may be off.
//
// A relation of N blocks is cut into n/2 strata of equal length and two random blocks of each are read: with
// one of each, a pattern that repeats every few blocks is as uncertain as if nothing were known of the rest
// of its stratum, and nothing in the sample tells. The last block, usually partly filled, is always read and
// counted as itself. Between neighbours a table changes little, so the variance comes from successive
// differences: the formula for simple random samples would be several times too wide on clustered tables.
// What is known for every block without reading it (free-space map, visibility map) enters as a
// regression: the estimate then varies only by what the maps do not explain.
// Sources: Wolter, Introduction to Variance Estimation, ch. 8; Cochran, Sampling Techniques, ch. 7.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace dbopt::core {

// Small and fast, good enough for choosing blocks (splitmix64). The seed is the caller's.
class random_source {
  public:
    explicit random_source(uint64_t seed) : state_(seed) {}
    uint64_t next() {
        uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
        return z ^ (z >> 31);
    }
    double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; } // [0, 1)

  private:
    uint64_t state_;
};

// Ascending, distinct block numbers below `blocks`: two random blocks of each of n/2 strata (n is taken as
// the next even number). n >= blocks returns all of them.
std::vector<uint32_t> stratified_blocks(uint32_t blocks, uint32_t n, random_source &random);

// A finer sample that keeps the blocks read so far: `have` is a sample of n; each of its strata is cut into
// `times` equal parts, which are filled up to two blocks. Returns the new ones, ascending. Together they are a
// sample of n * times (at most as many as there are blocks).
std::vector<uint32_t> more_blocks(uint32_t blocks, std::span<const uint32_t> have, uint32_t n,
                                  uint32_t times, random_source &random);

struct known {                        // one thing that is known of every block
    std::span<const double> sampled;  // its values on the sampled blocks
    double mean = 0;                  // its mean over all blocks of the population
};

struct estimate {
    double mean = 0;
    double half_width = 0; // of the 95 % interval; 0 when every block was read
    double low(double floor_at = 0) const { return mean - half_width < floor_at ? floor_at : mean - half_width; }
};

// Mean of `values` (one per sampled block, in block order) over a population of `blocks` blocks.
// `floor` is the half-width that is disclosed at least: 1/n of the range of a block, because a kind
// of block of which there are fewer than one in n may not have been seen at all.
estimate estimate_mean(std::span<const double> values, uint32_t blocks, double range,
                       std::span<const known> controls = {});

// How many blocks should be read in all so that half_width falls to `wanted`; at most `most` times n, for the
// width is an estimate, too. With `blocks` given, what is left unread counts: less than that will do where n
// is a good part of it.
uint32_t sample_size_for(double half_width, double wanted, uint32_t n, uint32_t blocks = 0, double most = 4);

} // namespace dbopt::core
