#include "core/latency.hpp"
#include <cmath>

namespace dbopt::core {

double latency_floor(int bucket) {
    if (bucket <= 0)
        return 0;
    const int high = (bucket - 1) / 2 + 1;
    const int half = (bucket - 1) % 2;
    return std::ldexp(1.0 + 0.5 * half, high + 11);
}

double latency_percentile(const latency_counts &counts, double fraction) {
    double total = 0;
    for (const uint32_t n : counts)
        total += n;
    if (total == 0)
        return 0;
    const double wanted = fraction * total;
    double seen = 0;
    for (int b = 0; b < latency_buckets; ++b) {
        if (counts[b] == 0)
            continue;
        if (seen + counts[b] >= wanted) {
            const double low = latency_floor(b);
            const double high = latency_floor(b + 1);
            return low + (high - low) * (wanted - seen) / counts[b];
        }
        seen += counts[b];
    }
    return latency_floor(latency_buckets);
}

} // namespace dbopt::core
