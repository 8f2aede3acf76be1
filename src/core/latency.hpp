// A latency histogram of fixed size: six buckets per doubling from 4 µs to two minutes. Pure.
//
// A bucket is at most 12.5 % wide and answered with its middle (a and b weigh alike in per cent), so
// that a percentile is within 5.9 % of the truth.
#pragma once
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace dbopt::core {

constexpr int latency_buckets = 150;
constexpr int buckets_per_doubling = 6;
constexpr int latency_first_bit = 12; // 4.096 µs: shorter ones are bucket 0

// Where the buckets of a doubling begin, in 64ths above its start: powers of 2^(1/6), rounded.
constexpr std::array<int, buckets_per_doubling> latency_steps = {0, 8, 17, 27, 38, 50};

namespace detail {
constexpr std::array<uint8_t, 64> make_latency_parts() {
    std::array<uint8_t, 64> out{};
    for (int i = 0; i < 64; ++i)
        for (int s = 0; s < buckets_per_doubling; ++s)
            if (i >= latency_steps[static_cast<size_t>(s)])
                out[static_cast<size_t>(i)] = static_cast<uint8_t>(s);
    return out;
}
inline constexpr std::array<uint8_t, 64> latency_parts = make_latency_parts();
} // namespace detail

// The bucket of a duration: its highest bit, and where its next six bits are among the steps.
inline int latency_bucket(uint64_t nanoseconds) {
    const int high = std::bit_width(nanoseconds) - 1;
    if (high < latency_first_bit)
        return 0;
    const int bucket = 1 + (high - latency_first_bit) * buckets_per_doubling +
                       detail::latency_parts[(nanoseconds >> (high - 6)) & 63];
    return bucket < latency_buckets ? bucket : latency_buckets - 1;
}

// Lower bound of a bucket in nanoseconds; its upper bound is the next one's lower bound.
double latency_floor(int bucket);

using latency_counts = std::array<uint64_t, latency_buckets>;
// The latency that `fraction` (0 to 1) of the calls did not exceed, in nanoseconds. 0 when there are
// no calls.
double latency_percentile(const latency_counts &counts, double fraction);

} // namespace dbopt::core
