#include "core/packing.hpp"
#include <gtest/gtest.h>

using namespace dbopt::core;

namespace {
uint64_t heap_pages(uint32_t rows, uint32_t length, uint32_t fillfactor = 100) {
    heap_packer p({.fillfactor = fillfactor});
    for (uint32_t i = 0; i < rows; ++i)
        p.add(length);
    return p.full_pages();
}
} // namespace

TEST(HeapPacker, AgreesWithPagesOfARealRewrite) {
    EXPECT_EQ(heap_pages(0, 28), 0u);
    EXPECT_EQ(heap_pages(1, 28), 1u);
    EXPECT_EQ(heap_pages(226, 28), 1u);  // one int4 column: 226 rows of 32+4 bytes in 8168
    EXPECT_EQ(heap_pages(227, 28), 2u);
    EXPECT_EQ(heap_pages(2910, 24), 10u); // no column at all: 291 line pointers
    EXPECT_EQ(heap_pages(4, 1700), 1u);
    EXPECT_EQ(heap_pages(5, 1700), 2u);   // a fifth of the page stays empty
}

TEST(HeapPacker, RespectsFillfactor) {
    // 8192 * 30 / 100 stay free: (8168 - 2457) / 36 rows fit.
    EXPECT_EQ(heap_pages(158, 28, 70), 1u);
    EXPECT_EQ(heap_pages(159, 28, 70), 2u);
}

TEST(HeapPacker, ARowLargerThanTheFillfactorGetsItsOwnPage) {
    EXPECT_EQ(heap_pages(3, 5000, 10), 3u);
}

// Runs of equal rows are a shortcut, nothing else; checked against the rule written down plainly.
TEST(HeapPacker, RunsAreRowsOneByOne) {
    uint64_t state = 7;
    auto random = [&](uint32_t below) { // xorshift
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return static_cast<uint32_t>(state % below);
    };
    for (const uint32_t fillfactor : {10u, 50u, 70u, 99u, 100u})
        for (int round = 0; round < 200; ++round) {
            heap_packer runs({.fillfactor = fillfactor}), rows({.fillfactor = fillfactor});
            uint64_t full = 0;
            uint32_t used = 0, count = 0;
            const uint32_t reserve = 8192 * (100 - fillfactor) / 100;
            for (int k = 0; k < 60; ++k) {
                const uint32_t length = 24 + random(round % 3 == 0 ? 8136 : 300), times = 1 + random(400);
                runs.add(length, times);
                for (uint32_t i = 0; i < times; ++i) {
                    rows.add(length);
                    const uint32_t aligned = align_up(length, 8), left = 8168 - used;
                    if (count > 0 && (count >= 291 || left < 4 || aligned + reserve > left - 4)) {
                        ++full;
                        used = count = 0;
                    }
                    used = std::min(used + aligned + 4, 8168u);
                    ++count;
                }
                ASSERT_EQ(runs.full_pages(), full + 1) << "fillfactor " << fillfactor << ", round " << round;
                ASSERT_EQ(rows.full_pages(), full + 1);
                ASSERT_EQ(runs.pages(), rows.pages());
            }
        }
}

TEST(BtreePacker, PlainEntriesAtFillfactorNinety) {
    btree_packer p({.deduplicate = false});
    p.add(16, 366 * 100);
    EXPECT_NEAR(p.pages(), 100, 1);
}

TEST(BtreePacker, DeduplicationMergesUpToATenthOfAPage) {
    btree_packer plain({.deduplicate = false}), merged({.deduplicate = true});
    plain.add(16, 100000);
    merged.add(16, 100000);
    EXPECT_NEAR(plain.pages() / merged.pages(), 3.2, 0.2);
}

TEST(BtreePacker, CutGroupsCostNoMoreThanWholeOnes) {
    btree_packer whole({}), cut({});
    whole.add(16, 100000);
    for (int i = 0; i < 100; ++i)
        cut.add(16, 1000, true);
    EXPECT_NEAR(cut.pages(), whole.pages(), 0.2);
}
