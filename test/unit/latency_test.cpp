// The histogram: bounds, error of percentiles, windows by difference, storage.
#include "core/latency.hpp"
#include "core/latency_history.hpp"
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <random>

using namespace dbopt::core;

TEST(latency, buckets_begin_where_they_say) {
    for (int b = 1; b < latency_buckets; ++b) {
        const auto floor = static_cast<uint64_t>(std::ceil(latency_floor(b)));
        EXPECT_EQ(latency_bucket(floor), b);
        EXPECT_EQ(latency_bucket(floor - 1), b - 1);
    }
    EXPECT_EQ(latency_bucket(0), 0);
    EXPECT_EQ(latency_bucket(UINT64_MAX), latency_buckets - 1);
}

TEST(latency, no_bucket_is_wider_than_an_eighth) {
    for (int b = 1; b < latency_buckets; ++b)
        EXPECT_LE(latency_floor(b + 1) / latency_floor(b), 1.1251) << b;
}

// Constant, uniform, log-normal and two-humped: every percentile within 6 % of the exact one.
TEST(latency, percentiles_are_within_six_per_cent) {
    std::mt19937_64 random(7);
    std::lognormal_distribution<double> skewed(13, 1.5); // around 0.4 ms
    std::uniform_real_distribution<double> flat(1e6, 5e8);
    for (int shape = 0; shape < 5; ++shape) {
        std::vector<double> truth;
        latency_counts counts{};
        for (int i = 0; i < 20000; ++i) {
            const double ns = shape == 0   ? 5.1e6
                              : shape == 1 ? flat(random)
                              : shape == 2 ? skewed(random) + 5000
                              : shape == 3 ? (i % 10 == 0 ? 7.9e8 : 2.3e6)
                                           : 4.2e3 * std::pow(1.0008, i);
            truth.push_back(ns);
            ++counts[static_cast<size_t>(latency_bucket(static_cast<uint64_t>(ns)))];
        }
        std::sort(truth.begin(), truth.end());
        for (const double f : {0.5, 0.95, 0.99}) {
            const double exact = truth[static_cast<size_t>(std::ceil(f * 20000)) - 1];
            EXPECT_NEAR(latency_percentile(counts, f) / exact, 1, 0.06) << shape << " " << f;
        }
    }
}

TEST(latency, no_calls_no_latency) { EXPECT_EQ(latency_percentile({}, 0.5), 0); }

TEST(latency_history, pieces_come_back) {
    latency_map all;
    all[1][0] = 5;
    all[1][149] = 70000;
    all[UINT64_MAX][77] = 1;
    const history_objects packed = pack_latencies(all);
    EXPECT_EQ(packed.size(), 3u);
    EXPECT_EQ(unpack_latencies(packed, 1), all[1]);
    EXPECT_EQ(unpack_latencies(packed, UINT64_MAX), all[UINT64_MAX]);
    EXPECT_EQ(unpack_latencies(packed, 2), latency_counts{});
    history_objects again;
    apply_history(encode_history(packed, {}), again);
    EXPECT_EQ(again, packed);
}

TEST(latency_history, a_window_is_a_difference) {
    latency_counts then{}, now{};
    then[40] = 1000; // slow in the past
    now = then;
    now[20] += 100;  // fast lately
    const latency_counts window = latencies_since(now, then);
    EXPECT_EQ(window[40], 0u);
    EXPECT_EQ(window[20], 100u);
    EXPECT_LT(latency_percentile(window, 0.99), latency_floor(21));
    EXPECT_EQ(latencies_since(window, now)[20], 100u) << "a reset counts from there";
}
