#include "core/group_sizes.hpp"
#include "core/index_size.hpp"
#include <gtest/gtest.h>
#include <cmath>

namespace {

using namespace dbopt::core;

struct moments {
    double mean = 0, dispersion = 0, least = 1e300;
};
moments drawn(const repetition &r, double mean, int n = 20000) {
    group_sizes sizes(r, mean);
    double sum = 0, squares = 0, least = 1e300;
    for (int i = 0; i < n; ++i) {
        const double x = sizes.next();
        sum += x;
        squares += x * x;
        least = std::min(least, x);
    }
    const double m = sum / n;
    return {m, (squares / n - m * m) / m, least};
}

TEST(GroupSizes, HaveTheMeanTheyAreGivenAndAreNeverEmpty) {
    for (const double mean : {1.3, 3.0, 6.5, 40.0, 200.0})
        for (const double dispersion : {0.0, 0.5, 1.0, 3.0, 20.0}) {
            if (dispersion > 1 && dispersion > mean) // hardly such a mixture
                continue;
            const moments m = drawn({.distinct = 0, .dispersion = dispersion}, mean);
            EXPECT_NEAR(m.mean, mean, mean * 0.12) << mean << " " << dispersion;
            EXPECT_GE(m.least, 1);
        }
}

TEST(GroupSizes, AreAllAlikeWithoutDispersion) {
    const moments m = drawn({.distinct = 0, .dispersion = 0}, 80);
    EXPECT_EQ(m.mean, 80);
    EXPECT_EQ(m.dispersion, 0);
}

TEST(GroupSizes, SpreadAsFarAsTheyAreTold) {
    EXPECT_NEAR(drawn({.distinct = 0, .dispersion = 5}, 20).dispersion, 5, 1);
    EXPECT_NEAR(drawn({.distinct = 0, .dispersion = 40}, 100).dispersion, 40, 8);
}

TEST(GroupSizes, RepeatWhatWasSeenWhole) {
    group_sizes sizes({.distinct = 0, .observed = {1, 7, 4}}, 4);
    std::vector<double> got;
    for (int i = 0; i < 6; ++i)
        got.push_back(sizes.next());
    EXPECT_EQ(got, (std::vector<double>{1, 7, 4, 1, 7, 4}));
}

TEST(GroupSizes, AreTheSameEveryTime) {
    const repetition r{.distinct = 0, .dispersion = 7};
    group_sizes a(r, 12), b(r, 12);
    for (int i = 0; i < 1000; ++i)
        EXPECT_EQ(a.next(), b.next());
}

// Page counts of indexes that PostgreSQL 15 really built: 80,000 rows, each value 80 times, and 524,867 rows of
// pairs that chance puts together.
double pages(btree_input in) { return btree_size(in).pages; }

TEST(BtreeSize, EightyRowsOfEachValue) {
    EXPECT_EQ(pages({.tuples = 80000, .distinct = 1000, .keys = {.dispersion = 0}}), 69);
}

TEST(BtreeSize, FrequentValuesAreSizedApart) {
    // Half of the rows have one value (NULL, say): as small as if there were nothing else.
    const double half = pages({.tuples = 500000, .distinct = 1});
    const double rest = pages({.tuples = 500000, .distinct = 500000});
    const double both = pages({.tuples = 1e6, .distinct = 500001, .keys = {.heads = {500000}}});
    EXPECT_NEAR(both, half + rest, 0.01 * both);
}

TEST(BtreeSize, UnevenGroupsWeighNoMoreThanUniqueKeysAndNoLessThanOneKey) {
    const double most = pages({.tuples = 200000, .distinct = 200000}), least = pages({.tuples = 200000, .distinct = 1});
    for (const double distinct : {10.0, 1000.0, 30000.0, 150000.0})
        for (const double dispersion : {0.0, 1.0, 10.0, 300.0}) {
            const double p = pages({.tuples = 200000, .distinct = distinct, .keys = {.dispersion = dispersion}});
            EXPECT_LE(p, most * 1.01) << distinct << " " << dispersion;
            EXPECT_GE(p, least * 0.95) << distinct << " " << dispersion;
        }
}

TEST(GinSize, KeysThatManyRowsHaveTakeOneByteARow) {
    // 20 rows a page, a key that every second row has: the lists are nearly one byte each.
    const double all = gin_pages({.entries = 1e6, .distinct = 1, .table_pages = 100000, .often = {1e6}});
    EXPECT_NEAR(all, 2 + 1e6 * 1.1 / 8152, 15);
}

TEST(GinSize, GrowsWithEntriesAndWithTheirKeys) {
    double last = 0;
    for (double entries = 1000; entries < 1e6; entries *= 4) {
        const double p = gin_pages({.entries = entries, .distinct = entries / 5, .table_pages = 1000});
        EXPECT_GE(p, last);
        EXPECT_LE(p, gin_pages({.entries = entries, .distinct = entries / 2, .table_pages = 1000}));
        last = p;
    }
}

TEST(GinSize, TheOftenOnesAreAmongAll) {
    std::vector<double> often(50, 1000.0);
    const double with = gin_pages({.entries = 50000, .distinct = 50, .table_pages = 1000, .often = often});
    const double without = gin_pages({.entries = 50000, .distinct = 50, .table_pages = 1000});
    EXPECT_EQ(with, without);
}

TEST(Occupied, NullsLeaveTheOtherColumnsAlone) {
    // Four of ten rows have no second value: they show the first one's 1,000 only.
    const double d = occupied({{1000, 0}, {1e9, 0.4}}, 1e6);
    EXPECT_NEAR(d, 601000, 1000);
    EXPECT_EQ(occupied({{10, 1}, {10, 1}}, 1000), 1);
    EXPECT_NEAR(occupied({{200, 0}, {100, 0}}, 1e6, 100), 200, 1);
    EXPECT_NEAR(occupied({{50, 0}}, 1e6), occupied(50, 1e6), 1e-9);
}

} // namespace
