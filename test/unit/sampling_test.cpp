#include "core/sampling.hpp"
#include <algorithm>
#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <set>

using namespace dbopt::core;

TEST(StratifiedBlocks, AreAscendingDistinctAndTwoPerStratum) {
    random_source random(1);
    for (const uint32_t blocks : {1u, 2u, 7u, 1000u, 12345u, 4000000u})
        for (const uint32_t n : {1u, 2u, 6u, 600u, 999u, 1000u}) {
            const auto chosen = stratified_blocks(blocks, n, random);
            const uint32_t even = n + n % 2;
            ASSERT_EQ(chosen.size(), std::min(even, blocks));
            for (size_t i = 0; i < chosen.size(); ++i) {
                ASSERT_LT(chosen[i], blocks);
                if (i > 0) {
                    ASSERT_LT(chosen[i - 1], chosen[i]);
                }
                if (const uint64_t strata = even / 2; even < blocks) {
                    ASSERT_GE(chosen[i], blocks * (i / 2) / strata);
                    ASSERT_LT(chosen[i], blocks * (i / 2 + 1) / strata);
                }
            }
        }
}

TEST(StratifiedBlocks, HitEveryBlockEquallyOften) {
    random_source random(2);
    std::vector<int> hits(100);
    for (int round = 0; round < 20000; ++round)
        for (const uint32_t b : stratified_blocks(100, 8, random))
            ++hits[b];
    for (const int h : hits)
        EXPECT_NEAR(h, 1600, 200);
}

TEST(EstimateMean, ReadingEverythingLeavesNoDoubt) {
    const std::vector<double> v{1, 2, 3};
    const estimate e = estimate_mean(v, 3, 10);
    EXPECT_DOUBLE_EQ(e.mean, 2);
    EXPECT_EQ(e.half_width, 0);
}

TEST(EstimateMean, UniformValuesKeepTheDisclosedFloor) {
    const std::vector<double> v(500, 4.0);
    const estimate e = estimate_mean(v, 10000, 100);
    EXPECT_DOUBLE_EQ(e.mean, 4);
    EXPECT_NEAR(e.half_width, 100.0 / 500 * 0.95, 1e-9);
}

TEST(EstimateMean, AControlThatExplainsEverythingRemovesTheVariance) {
    random_source random(3);
    std::vector<double> population(20000), y, x;
    double sum = 0;
    for (double &p : population)
        sum += (p = random.uniform() < 0.3 ? 1 : 0);
    for (const uint32_t b : stratified_blocks(20000, 500, random)) {
        x.push_back(population[b]);
        y.push_back(50 + 40 * population[b]);
    }
    const known k{x, sum / 20000};
    const estimate without = estimate_mean(y, 20000, 1), with = estimate_mean(y, 20000, 1, {&k, 1});
    EXPECT_NEAR(with.mean, 50 + 40 * sum / 20000, 0.01);
    EXPECT_GT(without.half_width, 1);
    EXPECT_LT(with.half_width, 0.01);
}

// Stated 95 % intervals hold for every way in which dead rows lie in a table.
TEST(EstimateMean, IntervalsCoverTheTruth) {
    constexpr uint32_t blocks = 20000, n = 600;
    const std::function<double(uint32_t, random_source &)> shapes[] = {
        [](uint32_t, random_source &r) { return r.uniform() * 100; },
        [](uint32_t b, random_source &) { return b < blocks / 2 ? 100.0 : 0.0; },
        [](uint32_t, random_source &r) { return r.uniform() < 0.02 ? 100.0 : 0.0; },
        [](uint32_t, random_source &r) { return r.uniform() < 0.0005 ? 100.0 : 0.0; },
        [](uint32_t b, random_source &) { return b % 150 == 0 ? 100.0 : 0.0; },
        [](uint32_t b, random_source &) { return b / 20 % 200 == 0 ? 100.0 : 1.0; },
        [](uint32_t b, random_source &) { return 50 + 50 * std::sin(b / 300.0); },
        [](uint32_t b, random_source &) { return b % 7 == 0 ? 100.0 : 0.0; },
        [](uint32_t b, random_source &) { return b / 10 % 2 == 0 ? 100.0 : 0.0; },
    };
    int shape_number = 0;
    for (const auto &shape : shapes) {
        random_source world(100 + shape_number);
        std::vector<double> population(blocks);
        double truth = 0;
        for (uint32_t b = 0; b < blocks; ++b)
            truth += (population[b] = shape(b, world)) / blocks;
        int covered = 0;
        for (int seed = 0; seed < 2000; ++seed) {
            random_source random(seed);
            std::vector<double> y;
            for (const uint32_t b : stratified_blocks(blocks, n, random))
                y.push_back(population[b]);
            const estimate e = estimate_mean(y, blocks, 100);
            covered += std::abs(e.mean - truth) <= e.half_width;
        }
        EXPECT_GE(covered, 2000 * 93 / 100) << "shape " << shape_number;
        ++shape_number;
    }
}

namespace {
struct trial {
    double coverage, width_over_error; // mean half-width over 1.96 standard deviations of the estimate
};
trial try_often(std::span<const double> population, uint32_t n, double range, int seeds = 2000) {
    double truth = 0, squares = 0, widths = 0;
    for (const double v : population)
        truth += v / static_cast<double>(population.size());
    int covered = 0;
    const auto blocks = static_cast<uint32_t>(population.size());
    for (int seed = 1; seed <= seeds; ++seed) {
        random_source random(static_cast<uint64_t>(seed));
        std::vector<double> y;
        for (const uint32_t b : stratified_blocks(blocks, n, random))
            y.push_back(population[b]);
        const estimate e = estimate_mean(y, blocks, range);
        squares += (e.mean - truth) * (e.mean - truth) / seeds;
        widths += e.half_width / seeds;
        covered += std::abs(e.mean - truth) <= e.half_width;
    }
    return {static_cast<double>(covered) / seeds, widths / (1.96 * std::sqrt(squares))};
}
} // namespace

// Where a good part of all blocks is read and the rows follow a pattern, the blocks that are left unread are
// no less uncertain than those of a random table.
TEST(EstimateMean, CoversPatternsOfLargeSamples) {
    for (const uint32_t period : {2u, 3u, 4u, 5u, 7u, 12u})
        for (const uint32_t n : {1000u, 2000u, 3500u}) {
            std::vector<double> population(8334);
            for (size_t b = 0; b < population.size(); ++b)
                population[b] = b % period == 0 ? 2000 : 1000;
            EXPECT_GE(try_often(population, n, 0).coverage, 0.93) << "period " << period << ", n " << n;
        }
}

// Neither too narrow nor much too wide, for noise and for a few jumps between levels.
TEST(EstimateMean, IsAsWideAsItHasToBe) {
    random_source world(5);
    std::vector<double> noise(20000), jumps(20000);
    for (size_t b = 0; b < noise.size(); ++b) {
        noise[b] = 8192 * world.uniform();
        jumps[b] = b / 2300 % 2 == 0 ? 8192 : 0;
    }
    const trial random = try_often(noise, 600, 0);
    EXPECT_GT(random.coverage, 0.93);
    EXPECT_LT(random.coverage, 0.97);
    EXPECT_NEAR(random.width_over_error, 1, 0.1);
    const trial stepped = try_often(jumps, 600, 0);
    EXPECT_GT(stepped.coverage, 0.93);
    EXPECT_LT(stepped.width_over_error, 1.6);
}

TEST(SampleSizeFor, GrowsWithTheSquareAndStopsWhenGoodEnough) {
    EXPECT_EQ(sample_size_for(0.2, 0.3, 600), 600u);
    EXPECT_NEAR(sample_size_for(0.4, 0.3, 600), 600 * 1.1 * 16 / 9, 2);
    EXPECT_LE(sample_size_for(1000, 0.3, 600), 2401u);
}

TEST(SampleSizeFor, CountsWhatIsLeftUnread) {
    EXPECT_LT(sample_size_for(0.6, 0.3, 400, 2000), sample_size_for(0.6, 0.3, 400));
    EXPECT_NEAR(sample_size_for(0.6, 0.3, 400, 100000000), sample_size_for(0.6, 0.3, 400), 2);
    EXPECT_LE(sample_size_for(0.6, 0.3, 400, 1000), 1000u);
}

// Every stratum of the finer sample holds exactly two blocks, old or new.
TEST(MoreBlocks, KeepsWhatWasRead) {
    for (const uint32_t blocks : {1000u, 4099u, 9346u, 120000u})
        for (const uint32_t times : {2u, 3u, 4u}) {
            random_source random(blocks + times);
            const uint32_t n = 124;
            const auto have = stratified_blocks(blocks, n, random);
            const auto more = more_blocks(blocks, have, n, times, random);
            ASSERT_EQ(more.size(), n * (times - 1));
            std::vector<uint32_t> all = have;
            all.insert(all.end(), more.begin(), more.end());
            std::sort(all.begin(), all.end());
            for (uint32_t i = 0; i < n * times; ++i) {
                EXPECT_GE(all[i], uint64_t{blocks} * (i / 2) / (n * times / 2));
                EXPECT_LT(all[i], uint64_t{blocks} * (i / 2 + 1) / (n * times / 2));
            }
        }
}

TEST(MoreBlocks, NeverReadsABlockTwice) {
    random_source random(7);
    const auto have = stratified_blocks(50, 20, random);
    const auto more = more_blocks(50, have, 20, 4, random);
    for (const uint32_t b : more) {
        EXPECT_LT(b, 50u);
        EXPECT_EQ(std::count(have.begin(), have.end(), b), 0);
    }
    EXPECT_EQ(std::set<uint32_t>(more.begin(), more.end()).size(), more.size());
}

// The estimate stays unbiased over both steps, and its interval holds.
TEST(MoreBlocks, TwoStepsCover) {
    const uint32_t blocks = 5000, n = 100;
    std::vector<double> truth(blocks);
    double sum = 0;
    random_source noise(3);
    for (uint32_t i = 0; i < blocks; ++i)
        sum += truth[i] = (i / 700 % 3) * 2000 + 1500 * noise.uniform();
    int covered = 0;
    double mean = 0;
    const int runs = 400;
    for (int run = 0; run < runs; ++run) {
        random_source random(run + 1);
        std::vector<uint32_t> all = stratified_blocks(blocks, n, random);
        const auto more = more_blocks(blocks, all, n, 3, random);
        all.insert(all.end(), more.begin(), more.end());
        std::sort(all.begin(), all.end());
        std::vector<double> values;
        for (const uint32_t b : all)
            values.push_back(truth[b]);
        const estimate e = estimate_mean(values, blocks, 8192);
        mean += e.mean / runs;
        covered += std::abs(e.mean - sum / blocks) <= e.half_width ? 1 : 0;
    }
    EXPECT_NEAR(mean, sum / blocks, 8);
    EXPECT_GE(covered, runs * 93 / 100);
}
