#include "core/rebuilt.hpp"
#include <algorithm>
#include <bit>
#include <cmath>

namespace dbopt::core {

namespace {

constexpr double item_bytes = 20; // entry of 16 bytes and its line pointer

// Buckets that are made at once for a wanted number of them.
double bucket_count(uint64_t wanted) {
    if (wanted <= 2)
        return 2;
    const uint64_t power = std::bit_ceil(wanted);
    if (power <= 512)
        return static_cast<double>(power);
    const uint64_t half = power / 2, quarter = half / 4;
    return static_cast<double>(half + (wanted - half + quarter - 1) / quarter * quarter);
}

// Expected overflow pages of a bucket with Poisson-distributed entries, by the normal distribution.
double overflow(double mean, double per_page) {
    double pages = 0;
    for (int k = 1; k < 1000; ++k) {
        const double z = (mean - k * per_page - 0.5) / std::sqrt(std::max(mean, 1e-9));
        const double more = 0.5 * std::erfc(-z / std::sqrt(2.0));
        pages += more;
        if (more < 1e-6)
            break;
    }
    return pages;
}

} // namespace

double hash_pages(const hash_build &b) {
    const double per_bucket =
        std::max(10.0, std::floor(b.page_bytes * b.fillfactor / 100.0 / item_bytes));
    const double buckets = bucket_count(static_cast<uint64_t>(std::ceil(b.entries / per_bucket)));
    const double per_page = std::floor((b.page_bytes - 40) / item_bytes);
    const double low = static_cast<double>(std::bit_floor(static_cast<uint64_t>(buckets)));
    const double split = 2 * (buckets - low), whole = low - split / 2;
    const double spill = split * overflow(b.entries / (2 * low), per_page) +
                         whole * overflow(b.entries / low, per_page);
    return 2 + buckets + spill;
}

} // namespace dbopt::core
