#include "core/rebuilt.hpp"
#include "core/sampling.hpp"
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <vector>

namespace {

using namespace dbopt::core;

// Page counts of hash indexes that PostgreSQL 15 really built.
TEST(HashPages, UniqueValues) {
    EXPECT_EQ(hash_pages({.entries = 100000}), 514);
    EXPECT_EQ(hash_pages({.entries = 60000}), 258);
}
TEST(HashPages, ThreeValuesFillThreeChains) {
    const std::vector<frequent_value> three{{0x1234, 33333}, {0x5678, 33333}, {0x9abc, 33334}};
    EXPECT_NEAR(hash_pages({.entries = 100000, .frequent = three}), 757, 2);
}
TEST(HashPages, ValuesOfOneBucketShareItsChain) {
    // The same low bits: one chain of 60,000 entries is as long as two of 30,000, but for the part pages.
    const std::vector<frequent_value> apart{{1, 30000}, {2, 30000}}, together{{1, 30000}, {1 + (1u << 20), 30000}};
    const double a = hash_pages({.entries = 100000, .frequent = apart});
    const double b = hash_pages({.entries = 100000, .frequent = together});
    EXPECT_NEAR(a, b, 2);
    EXPECT_GE(b, a);
}
TEST(HashPages, NeverFewerThanBucketsAndMonotonous) {
    double last = 0;
    for (double n = 0; n < 2e7; n = n * 1.7 + 10) {
        const double pages = hash_pages({.entries = n});
        EXPECT_GE(pages, last);
        EXPECT_GE(pages * 407, n);
        const std::vector<frequent_value> one{{7, n}};
        EXPECT_GE(hash_pages({.entries = n, .frequent = one}) + 1e-6, n / 407) << n;
        last = pages;
    }
}
TEST(HashPages, ClustersOverflowMore) {
    double last = 0;
    for (double cluster = 1; cluster < 300; cluster *= 2) {
        const double pages = hash_pages({.entries = 150000, .cluster = cluster});
        EXPECT_GE(pages, last);
        last = pages;
    }
}
TEST(HashPages, MoreFrequentThanAll) { // an estimate may say so
    const std::vector<frequent_value> v{{3, 5000}};
    EXPECT_TRUE(std::isfinite(hash_pages({.entries = 1000, .frequent = v})));
}

// Leaves of a tree built in random order: between `low` and 90 % full.
std::vector<double> leaves(double low, size_t n, double kept, uint64_t seed) {
    random_source random(seed);
    std::vector<double> v;
    for (size_t i = 0; i < n; ++i) {
        const int entries = static_cast<int>(100 * (low + (0.9 - low) * random.uniform()));
        int left = 0;
        for (int k = 0; k < entries; ++k)
            left += random.uniform() < kept ? 1 : 0;
        if (left > 0)
            v.push_back(left / 100.0);
    }
    std::sort(v.begin(), v.end());
    return v;
}
double mean(const std::vector<double> &v) {
    double sum = 0;
    for (const double x : v)
        sum += x;
    return sum / static_cast<double>(v.size());
}

TEST(GistFill, RandomInsertsAreRecognizedAfterDeletes) {
    for (const double low : {0.28, 0.35, 0.45})
        for (const double kept : {1.0, 0.8, 0.66, 0.5, 0.35, 0.2})
            for (uint64_t seed = 1; seed <= 20; ++seed) {
                const double fresh = mean(leaves(low, 1000, 1, seed));
                const auto now = leaves(low, 1000, kept, seed);
                const fill_guess g = gist_fill(now, 100 * mean(now), false);
                // few entries are left of the smallest pages: those that are empty are not seen
                EXPECT_NEAR(fresh / g.fill, 1, kept < 0.3 ? 0.35 : g.error) << low << " " << kept << " " << seed;
            }
}
TEST(GistFill, InsertsInOrderStayHalfFull) {
    for (const double kept : {1.0, 0.66, 0.5, 0.3, 0.1})
        for (uint64_t seed = 1; seed <= 20; ++seed) {
            const auto now = leaves(0.45, 800, kept, seed);
            std::vector<double> even; // all pages alike before the deletes
            random_source random(seed);
            for (size_t i = 0; i < 800; ++i) {
                int left = 0;
                for (int k = 0; k < 90; ++k)
                    left += random.uniform() < kept ? 1 : 0;
                if (left > 0)
                    even.push_back(left / 200.0);
            }
            std::sort(even.begin(), even.end());
            const fill_guess g = gist_fill(even, 200 * mean(even), false);
            EXPECT_NEAR(0.45 / g.fill, 1, 0.05 + g.error / 4) << kept << " " << seed;
        }
}
TEST(GistFill, SortedBuild) {
    EXPECT_DOUBLE_EQ(gist_fill(std::vector<double>(100, 0.67), 100, true).fill, 0.67);
    EXPECT_DOUBLE_EQ(gist_fill(std::vector<double>(100, 0.2), 30, true).fill, 0.67);
    const fill_guess full = gist_fill(std::vector<double>(100, 0.99), 150, true);
    EXPECT_NEAR(full.fill, 0.99, 1e-9); // an ordered input packs well
    EXPECT_GE(full.error, 0.1);
}
TEST(GistFill, AnythingGoes) {
    random_source random(11);
    for (int i = 0; i < 3000; ++i) {
        std::vector<double> v(static_cast<size_t>(random.uniform() * 40));
        for (double &x : v)
            x = random.uniform() * (i % 3 == 0 ? 1 : 0.01);
        std::sort(v.begin(), v.end());
        const fill_guess g = gist_fill(v, random.uniform() * 300, i % 2 == 0);
        EXPECT_GE(g.fill, 0.2);
        EXPECT_LE(g.fill, 1.0);
        EXPECT_GT(g.error, 0);
        EXPECT_LT(g.error, 1);
    }
}

} // namespace
