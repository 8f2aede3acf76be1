#include "core/packed_counts.hpp"
#include <gtest/gtest.h>
#include <map>
#include <random>

using namespace dbopt::core;

namespace {

std::string key_of(uint32_t n, int bytes) {
    std::string k(static_cast<size_t>(bytes), '\0');
    std::memcpy(k.data(), &n, std::min<size_t>(4, k.size()));
    k.back() = static_cast<char>(k.back() ^ 0x5a);
    return k;
}

// A state as the server keeps it: rows by bucket.
struct rows {
    packed_layout layout;
    uint32_t buckets;
    std::map<uint32_t, std::string> row;

    template <class T> const char *apply(const count_table<T> &t, int64_t *fresh = nullptr) {
        const bucket_order o = order_by_bucket(t, buckets);
        bucket_merger m(layout);
        for (uint32_t b = 0; b < buckets; ++b) {
            if (o.starts[b] == o.starts[b + 1])
                continue;
            m.start(row[b].data(), row[b].size());
            for (uint32_t i = o.starts[b]; i < o.starts[b + 1]; ++i)
                if (const char *fault = m.add(t.key(o.entries[i]), t.counters(o.entries[i])))
                    return fault;
            row[b] = m.bytes();
        }
        if (fresh != nullptr)
            *fresh = m.fresh();
        return nullptr;
    }
    void grow(uint32_t parts) {
        std::map<uint32_t, std::string> next;
        for (const auto &[b, bytes] : row) {
            const auto split = split_bucket(layout, bytes.data(), bytes.size(), buckets, parts);
            for (uint32_t p = 0; p < parts; ++p)
                next[b + p * buckets] = split[p];
        }
        row = next;
        buckets *= parts;
    }
    // key → first counter
    std::map<std::string, uint64_t> content() const {
        std::map<std::string, uint64_t> out;
        const size_t width = static_cast<size_t>(layout.width());
        for (const auto &[b, bytes] : row)
            for (size_t at = 0; at < bytes.size(); at += width) {
                const std::string key = bytes.substr(at, static_cast<size_t>(layout.key));
                EXPECT_EQ(mix_key(key.data(), layout.key, layout.seed) & (buckets - 1), b);
                uint64_t n = 0;
                std::memcpy(&n, bytes.data() + at + layout.key, static_cast<size_t>(layout.counters[0]));
                EXPECT_TRUE(out.emplace(key, n).second) << "a key stands twice";
            }
        return out;
    }
};

} // namespace

TEST(PackedCounts, TheTableFindsWhatItWasGiven) {
    for (int bytes : {1, 3, 5, 9, 16}) {
        count_table<int64_t> t(bytes, 2);
        std::map<std::string, int64_t> model;
        std::mt19937 random(static_cast<unsigned>(bytes));
        for (int i = 0; i < 20000; ++i) {
            const std::string k = key_of(random() % 5000, bytes);
            t.counters(t.at(k.data()))[1] += i;
            model[k] += i;
        }
        ASSERT_EQ(t.size(), model.size());
        for (uint32_t i = 0; i < t.size(); ++i)
            EXPECT_EQ(t.counters(i)[1], model[std::string(t.key(i), static_cast<size_t>(bytes))]);
        t.clear();
        EXPECT_EQ(t.size(), 0u);
        EXPECT_EQ(t.counters(t.at(key_of(1, bytes).data()))[1], 0);
    }
}

// Any sequence of batches leaves the same counts as a plain map, whatever the number of buckets.
TEST(PackedCounts, BatchesAddUp) {
    std::mt19937 random(20261121);
    for (int round = 0; round < 60; ++round) {
        const int bytes = 1 + static_cast<int>(random() % 16);
        rows r{{bytes, {4, 4}}, 1u << random() % 6, {}};
        std::map<std::string, uint64_t> model;
        int64_t entries = 0;
        for (int batch = 0; batch < 12; ++batch) {
            count_table<int64_t> t(bytes, 2);
            std::map<std::string, int64_t> left;
            for (int i = 0; i < 60; ++i) {
                const std::string k = key_of(random() % 120, bytes);
                const bool remove = random() % 2 == 0 && static_cast<int64_t>(model[k]) + left[k] > 0;
                left[k] += remove ? -1 : 1;
                t.counters(t.at(k.data()))[0] += remove ? -1 : 1;
            }
            int64_t fresh = 0;
            ASSERT_EQ(r.apply(t, &fresh), nullptr);
            entries += fresh;
            for (const auto &l : left)
                model[l.first] += static_cast<uint64_t>(l.second);
            std::erase_if(model, [](const auto &m) { return m.second == 0; });
            ASSERT_EQ(r.content(), model);
            ASSERT_EQ(entries, static_cast<int64_t>(model.size()));
            if (random() % 4 == 0) {
                r.grow(1u << (1 + random() % 3));
                ASSERT_EQ(r.content(), model);
            }
        }
    }
}

TEST(PackedCounts, SumsMayBeNegativeAndLargeCountsMayNot) {
    rows r{{3, {8, 16}}, 1, {}};
    count_table<wide> t(3, 2);
    wide *c = t.counters(t.at("abc"));
    c[0] = 2;
    c[1] = -(wide{INT64_MAX} * 1000);
    ASSERT_EQ(r.apply(t), nullptr);
    bucket_merger m(r.layout);
    m.start(r.row[0].data(), r.row[0].size());
    const wide change[] = {1, 5};
    ASSERT_EQ(m.add("abc", change), nullptr);
    EXPECT_TRUE(m.after()[1] == -(wide{INT64_MAX} * 1000) + 5);
    EXPECT_TRUE(m.before()[0] == 2);
    const wide gone[] = {-4, 0};
    EXPECT_NE(m.add("abc", gone), nullptr);
    const wide none[] = {-1, 0};
    EXPECT_NE(m.add("xyz", none), nullptr);
}

TEST(PackedCounts, AFullCounterIsAFault) {
    bucket_merger m({2, {4}});
    m.start("", 0);
    const int64_t most[] = {UINT32_MAX}, one[] = {1};
    ASSERT_EQ(m.add("ab", most), nullptr);
    EXPECT_NE(m.add("ab", one), nullptr);
    EXPECT_EQ(m.bytes().size(), 6u);
}

TEST(PackedCounts, ZeroChangesAreLeftOut) {
    count_table<int64_t> t(2, 1);
    t.counters(t.at("ab"))[0] = 1;
    t.counters(t.at("cd"))[0] = 0;
    t.counters(t.at("ef"))[0] = -1;
    const bucket_order o = order_by_bucket(t, 4);
    EXPECT_EQ(o.entries.size(), 2u);
    EXPECT_EQ(o.starts.back(), 2u);
}

TEST(PackedCounts, BucketsHoldAboutAKilobyte) {
    const packed_layout l{9, {4, 4}};
    EXPECT_EQ(l.width(), 17);
    for (uint64_t entries : {1000u, 100000u, 4000000u}) {
        const double each = static_cast<double>(entries) * 17 / l.buckets_for(entries);
        EXPECT_GT(each, 550);
        EXPECT_LT(each, 1201);
    }
    EXPECT_EQ(l.buckets_for(0), 1u);
}

// Keys that differ in a few bits must not meet in few buckets.
TEST(PackedCounts, BucketsAreEven) {
    count_table<int64_t> t(9, 1);
    for (uint32_t user = 0; user < 300; ++user)
        for (uint32_t course = 0; course < 200; ++course) {
            char key[9] = {};
            std::memcpy(key + 1, &user, 4), std::memcpy(key + 5, &course, 4);
            t.counters(t.at(key))[0] = 1;
        }
    const bucket_order o = order_by_bucket(t, 1024);
    for (uint32_t b = 0; b < 1024; ++b) {
        EXPECT_GT(o.starts[b + 1] - o.starts[b], 20u);
        EXPECT_LT(o.starts[b + 1] - o.starts[b], 120u);
    }
}

// Keys that meet in one bucket under one seed are spread by another; a bucket stays what it is when split.
TEST(PackedCounts, NobodyChoosesTheBucketWithoutTheSeed) {
    for (int bytes : {5, 9, 16}) {
        std::vector<std::string> meeting;
        for (uint32_t n = 0; meeting.size() < 200; ++n)
            if (const std::string k = key_of(n, bytes); (mix_key(k.data(), bytes, 1) & 255) == 0)
                meeting.push_back(k);
        for (uint64_t seed : {uint64_t{2}, uint64_t{0x123456789abcdef0}, ~uint64_t{0}}) {
            std::map<uint64_t, int> buckets;
            for (const std::string &k : meeting)
                ++buckets[mix_key(k.data(), bytes, seed) & 255];
            EXPECT_GT(buckets.size(), 90u) << bytes << " bytes";
        }
    }
}

// Differences that a multiplication passes on unchanged (the top bits) are not cancelled by the other half.
TEST(PackedCounts, TopBitsCollideUnderNoSeed) {
    std::mt19937_64 random(7);
    for (int i = 0; i < 20000; ++i) {
        uint64_t key[2] = {random(), random()};
        const uint64_t seed = random();
        char one[16], two[16];
        std::memcpy(one, key, 16);
        key[0] ^= uint64_t{1} << 63, key[1] ^= uint64_t{1} << (random() % 64);
        std::memcpy(two, key, 16);
        EXPECT_NE(mix_key(one, 16, seed), mix_key(two, 16, seed));
    }
}

TEST(PackedCounts, AStateWithASeedAddsUpAndSplits) {
    for (uint64_t seed : {uint64_t{0}, uint64_t{42}, ~uint64_t{0}}) {
        rows r{{9, {4, 4}, seed}, 2, {}};
        std::map<std::string, uint64_t> model;
        for (uint32_t batch = 0; batch < 6; ++batch) {
            count_table<int64_t> t(9, 2, seed);
            for (uint32_t n = batch * 50; n < batch * 50 + 120; ++n)
                ++t.counters(t.at(key_of(n, 9).data()))[0], ++model[key_of(n, 9)];
            ASSERT_EQ(r.apply(t), nullptr);
            ASSERT_EQ(r.content(), model);
            r.grow(2);
            ASSERT_EQ(r.content(), model);
        }
    }
}

TEST(PackedCounts, AClearedTableGivesItsMemoryBack) {
    count_table<int64_t> t(9, 3, 5);
    const size_t empty = t.bytes();
    for (uint32_t n = 0; n < 50000; ++n)
        t.counters(t.at(key_of(n, 9).data()))[2] = 1;
    EXPECT_GT(t.bytes(), 50000u * 33);
    t.clear();
    EXPECT_EQ(t.bytes(), empty);
    EXPECT_EQ(t.width(), 3);
    EXPECT_EQ(t.at(key_of(7, 9).data()), 0u);
}
