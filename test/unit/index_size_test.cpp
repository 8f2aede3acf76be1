#include "core/index_candidates.hpp"
#include "core/index_size.hpp"
#include "core/latency.hpp"
#include <gtest/gtest.h>

namespace {

using namespace dbopt::core;

// Page counts of indexes that PostgreSQL 15 really built.
TEST(BtreeSize, MillionUniqueIntegers) {
    const tree_size s = btree_size({.tuples = 1e6, .distinct = 1e6, .tuple_bytes = 16, .pivot_bytes = 16});
    EXPECT_NEAR(s.pages, 2745, 3);
    EXPECT_EQ(s.height, 2);
}
TEST(BtreeSize, MillionRowsOfTenValues) {
    const tree_size s = btree_size({.tuples = 1e6, .distinct = 10, .tuple_bytes = 16, .pivot_bytes = 16});
    EXPECT_NEAR(s.pages, 847, 8);
}
TEST(BtreeSize, AnEmptyTableHasOnePage) { EXPECT_EQ(btree_size({}).pages, 1); }
TEST(BtreeSize, GrowsWithTuplesAndShrinksWithFillfactor) {
    double last = 0;
    for (double n = 10; n < 1e8; n *= 3) {
        const double pages = btree_size({.tuples = n, .distinct = n / 3}).pages;
        EXPECT_GE(pages, last);
        last = pages;
        EXPECT_GE(btree_size({.tuples = n, .distinct = n, .fillfactor = 50}).pages,
                  btree_size({.tuples = n, .distinct = n, .fillfactor = 100}).pages);
    }
}
TEST(Occupied, NeverMoreThanEitherSide) {
    EXPECT_NEAR(occupied(10, 1e6), 10, 1e-6);
    EXPECT_NEAR(occupied(1e12, 1000), 1000, 1);
    EXPECT_LT(occupied(1000, 1000), 1000);
}
TEST(DistinctInWhole, AllUnique) {
    key_counts c;
    for (int i = 0; i < 1000; ++i)
        c.add(1);
    EXPECT_NEAR(distinct_in_whole(c, 50000), 50000, 1);
}

TEST(Candidates, EqualityBeforeRangeAndCovering) {
    relation_usage u;
    u.relation = 1;
    u.uses = {{.what = usage::range, .column = 3, .selectivity = 0.1}, {.what = usage::equal, .column = 2, .selectivity = 0.01}};
    u.needed = {2, 3, 5};
    std::set<index_candidate> out;
    propose_btrees(u, {.width = 3, .sortable = {}}, &out);
    auto has = [&](std::vector<int> columns) {
        for (const index_candidate &c : out) {
            std::vector<int> mine;
            for (const index_key &k : c.keys)
                mine.push_back(k.column);
            if (mine == columns)
                return true;
        }
        return false;
    };
    EXPECT_TRUE(has({2}));
    EXPECT_TRUE(has({2, 3}));
    EXPECT_TRUE(has({2, 3, 5}));
    for (const index_candidate &c : out)
        EXPECT_LE(c.width(), 3u);
}
TEST(Candidates, DescendingOnlyWhereTheDirectionsDiffer) {
    relation_usage u;
    u.relation = 1;
    u.index_only = false;
    u.uses = {{.what = usage::order, .column = 1, .group = 1, .descending = true, .nulls_first = true}};
    std::set<index_candidate> out;
    propose_btrees(u, {.width = 2, .sortable = {}}, &out);
    ASSERT_EQ(out.size(), 1u);
    EXPECT_FALSE(out.begin()->keys[0].descending); // read backwards
}
TEST(CoveredBy, PrefixAndReversed) {
    const std::vector<index_key> a{{.column = 1}}, ab{{.column = 1}, {.column = 2}};
    EXPECT_TRUE(covered_by(a, ab));
    EXPECT_FALSE(covered_by(ab, a));
    EXPECT_TRUE(covered_by({{.column = 1, .descending = true, .nulls_first = true}}, a));
    EXPECT_FALSE(covered_by({{.column = 1, .descending = true, .nulls_first = false}}, a));
}

TEST(Latency, BucketsCoverEveryDuration) {
    for (uint64_t ns = 1; ns < 200'000'000'000u; ns = ns * 11 / 10 + 1) {
        const int b = latency_bucket(ns);
        ASSERT_GE(b, 0);
        ASSERT_LT(b, latency_buckets);
        EXPECT_LE(latency_floor(b), static_cast<double>(ns));
        if (b + 1 < latency_buckets) {
            EXPECT_GT(latency_floor(b + 1), static_cast<double>(ns));
        }
    }
}
TEST(Latency, PercentilesWithinABucket) {
    latency_counts c{};
    for (int i = 1; i <= 1000; ++i)
        ++c[latency_bucket(static_cast<uint64_t>(i) * 100'000)];
    EXPECT_NEAR(latency_percentile(c, 0.5), 50e6, 50e6 * 0.2);
    EXPECT_NEAR(latency_percentile(c, 0.99), 99e6, 99e6 * 0.4);
    EXPECT_EQ(latency_percentile({}, 0.5), 0);
}

} // namespace
