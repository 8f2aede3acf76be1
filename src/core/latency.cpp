#include "core/latency.hpp"
#include <cmath>

namespace dbopt::core {

double latency_floor(int bucket) {
    if (bucket <= 0)
        return 0;
    const int doubling = (bucket - 1) / buckets_per_doubling;
    const int step = latency_steps[static_cast<size_t>((bucket - 1) % buckets_per_doubling)];
    return std::ldexp(1.0 + step / 64.0, doubling + latency_first_bit);
}

double latency_percentile(const latency_counts &counts, double fraction) {
    double total = 0;
    for (const uint64_t n : counts)
        total += static_cast<double>(n);
    if (total == 0)
        return 0;
    const double wanted = fraction * total;
    double seen = 0;
    int bucket = 0;
    for (int b = 0; b < latency_buckets; ++b) {
        if (counts[static_cast<size_t>(b)] == 0)
            continue;
        bucket = b;
        seen += static_cast<double>(counts[static_cast<size_t>(b)]);
        if (seen >= wanted)
            break;
    }
    const double low = latency_floor(bucket), high = latency_floor(bucket + 1);
    return low > 0 ? 2 * low * high / (low + high) : high / 2;
}

} // namespace dbopt::core
