// Hashes of rows: order within a row counts, order of rows does not, and close values differ.
#include "core/row_hash.hpp"
#include <gtest/gtest.h>
#include <algorithm>
#include <random>
#include <string>
#include <unordered_set>
#include <vector>

using namespace dbopt::core;

namespace {

uint64_t hash(const std::vector<std::string> &values) {
    row_hasher h;
    for (const std::string &v : values)
        h.bytes(v.data(), v.size());
    return h.value();
}

} // namespace

TEST(row_hash, same_values_same_hash) { EXPECT_EQ(hash({"a", "bc"}), hash({"a", "bc"})); }

TEST(row_hash, the_border_between_values_counts) {
    EXPECT_NE(hash({"ab", "c"}), hash({"a", "bc"}));
    EXPECT_NE(hash({"abc"}), hash({"abc", ""}));
    EXPECT_NE(hash({"", "abc"}), hash({"abc", ""}));
}

TEST(row_hash, order_of_values_counts) { EXPECT_NE(hash({"x", "y"}), hash({"y", "x"})); }

TEST(row_hash, null_is_no_value) {
    row_hasher a, b, c;
    a.null();
    b.bytes("", 0);
    c.word(0);
    EXPECT_NE(a.value(), b.value());
    EXPECT_NE(a.value(), c.value());
}

TEST(row_hash, zeros_at_the_end_count) {
    const std::string one("a\0", 2), two("a\0\0", 3);
    EXPECT_NE(hash({"a"}), hash({one}));
    EXPECT_NE(hash({one}), hash({two}));
}

TEST(row_hash, zero_words_are_not_forgotten) {
    row_hasher a, b;
    a.word(0);
    b.word(0);
    b.word(0);
    EXPECT_NE(a.value(), b.value());
}

// Every single bit of a value of up to 40 bytes changes the hash.
TEST(row_hash, every_bit_counts) {
    for (size_t length = 1; length <= 40; ++length) {
        std::string base(length, 'q');
        const uint64_t was = hash({base});
        for (size_t bit = 0; bit < length * 8; ++bit) {
            std::string other = base;
            other[bit / 8] = static_cast<char>(other[bit / 8] ^ (1 << (bit % 8)));
            ASSERT_NE(hash({other}), was) << length << " bytes, bit " << bit;
        }
    }
}

TEST(row_hash, no_collision_among_a_million_counters) {
    std::unordered_set<uint64_t> seen;
    for (uint64_t i = 0; i < 1000000; ++i) {
        row_hasher h;
        h.word(i);
        seen.insert(h.value());
    }
    EXPECT_EQ(seen.size(), 1000000u);
}

// Flipping one input bit flips about half of the output bits.
TEST(row_hash, bits_spread) {
    std::mt19937_64 random(7);
    double flipped = 0;
    constexpr int tries = 20000;
    for (int i = 0; i < tries; ++i) {
        const uint64_t value = random();
        row_hasher a, b;
        a.word(value);
        b.word(value ^ (uint64_t{1} << (i % 64)));
        flipped += __builtin_popcountll(a.value() ^ b.value());
    }
    EXPECT_GT(flipped / tries, 28);
    EXPECT_LT(flipped / tries, 36);
}

TEST(content_sum, order_of_rows_does_not_count) {
    std::mt19937_64 random(3);
    std::vector<uint64_t> rows(1000);
    for (uint64_t &r : rows)
        r = random();
    content_sum a, b;
    for (const uint64_t r : rows)
        a.add(r);
    std::shuffle(rows.begin(), rows.end(), random);
    content_sum half;
    for (size_t i = 0; i < rows.size(); ++i)
        (i % 2 == 0 ? b : half).add(rows[i]);
    b.add(half);
    EXPECT_EQ(a, b);
    b.remove(rows[5]);
    EXPECT_NE(a, b);
    b.add(rows[5]);
    EXPECT_EQ(a, b);
    b.remove(rows[5]); // another row in its place: the number is the same, the sum is not
    b.add(rows[6]);
    EXPECT_EQ(a.rows, b.rows);
    EXPECT_NE(a, b);
}
