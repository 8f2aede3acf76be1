#include "core/rebuilt.hpp"
#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

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

// Expected overflow pages of a bucket with Poisson-distributed entries, `cluster` of them together, by the normal
// distribution.
double overflow(double mean, double per_page, double cluster) {
    double pages = 0;
    for (int k = 1; k < 1000; ++k) {
        const double z = (mean - k * per_page - 0.5) / std::sqrt(std::max(mean * cluster, 1e-9));
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
    double others = b.entries;
    const auto high_mask = static_cast<uint32_t>(std::bit_ceil(static_cast<uint64_t>(buckets)) - 1);
    std::map<uint32_t, double> loads; // of the buckets of frequent values
    for (const frequent_value &v : b.frequent) {
        const uint32_t bucket = v.hash & high_mask;
        loads[bucket < static_cast<uint32_t>(buckets) ? bucket : bucket & (high_mask >> 1)] += v.entries;
        others -= v.entries;
    }
    others = std::max(0.0, others);
    double spill = split * overflow(others / (2 * low), per_page, b.cluster) +
                   whole * overflow(others / low, per_page, b.cluster);
    const double beside = others / buckets, counted = overflow(beside, per_page, b.cluster);
    for (const auto &[bucket, load] : loads)
        spill += std::max(0.0, std::ceil((load + beside) / per_page - 1e-9) - 1 - counted);
    return 2 + buckets + spill;
}

fill_guess gist_fill(std::span<const double> fills, double entries, bool sorted_build, bool one_order) {
    constexpr double after_sorted_build = 0.67, in_order = 0.46, packed = 0.87, fullest = 0.83;
    if (fills.empty())
        return {in_order, 0.4};
    const auto n = static_cast<double>(fills.size());
    double sum = 0, squares = 0;
    for (const double f : fills) {
        sum += f;
        squares += f * f;
    }
    const double mean = sum / n;
    const double chance = mean < 0.42 && entries > 0 ? 0.8 / entries : 0; // of deletes
    const double spread = std::sqrt(std::max(0.0, squares / n / std::max(mean * mean, 1e-9) - 1 - chance));
    auto quantile = [&](double q) { return fills[std::min(fills.size() - 1, static_cast<size_t>(q * n))]; };
    const double few = n < 30 ? 0.3 : 0; // at least that wrong
    if (sorted_build) {
        if (mean < 0.75 && one_order) // pages are filled to the end: ranges, on 18
            return {0.9, std::max(few, 0.25)};
        if (mean < 0.75)
            return {after_sorted_build, std::max(few, 0.05)};
        return {mean, std::max(few, mean > 0.9 && spread < 0.1 ? 0.15 : mean / after_sorted_build - 1)};
    }
    if (spread < 0.15) { // all alike
        if (mean > 0.8)
            return {mean, std::max(few, 0.1)};
        if (mean > 0.52)
            return {packed, std::max(few, 0.25)};
        return mean > 0.42 ? fill_guess{mean, std::max(few, 0.15)} : fill_guess{in_order, 0.45};
    }
    if (quantile(0.99) >= 0.84 || (fills.back() >= 0.88 && quantile(0.95) >= 0.7))
        return {mean, std::max(few, quantile(0.05) < 0.25 ? 0.45 : 0.12)}; // nearly empty ones beside full ones: who knows
    return {std::clamp(mean * fullest / std::max(quantile(0.95), 1e-9), 0.3, 0.9), std::max(few, 0.25)};
}

} // namespace dbopt::core
