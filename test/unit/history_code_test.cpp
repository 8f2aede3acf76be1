#include "core/history_code.hpp"
#include <gtest/gtest.h>
#include <limits>
#include <random>
#include <stdexcept>

using namespace dbopt::core;

namespace {

history_objects some(std::mt19937_64 &random, int n) {
    history_objects out;
    for (int i = 0; i < n; ++i) {
        history_values v{};
        for (auto &x : v)
            x = random() % 3 == 0 ? static_cast<int64_t>(random()) : static_cast<int64_t>(random() % 1000);
        out[random() % 5000] = v;
    }
    return out;
}

TEST(HistoryCode, RoundTripOfRandomSeries) {
    std::mt19937_64 random(7);
    history_objects before, decoded;
    for (int i = 0; i < 200; ++i) {
        const history_objects now = some(random, static_cast<int>(random() % 300));
        apply_history(encode_history(now, before), decoded);
        ASSERT_EQ(decoded, now);
        before = now;
    }
}

TEST(HistoryCode, NothingChangedIsNoByte) {
    std::mt19937_64 random(1);
    const history_objects o = some(random, 100);
    EXPECT_TRUE(encode_history(o, o).empty());
}

TEST(HistoryCode, ExtremesSurvive) {
    history_objects now;
    now[0] = {};
    now[std::numeric_limits<uint64_t>::max()].fill(std::numeric_limits<int64_t>::min());
    now[5].fill(std::numeric_limits<int64_t>::max());
    history_objects decoded;
    apply_history(encode_history(now, {}), decoded);
    EXPECT_EQ(decoded, now);
    history_objects swapped = now;
    std::swap(swapped[5], swapped[std::numeric_limits<uint64_t>::max()]);
    apply_history(encode_history(swapped, now), decoded);
    EXPECT_EQ(decoded, swapped);
}

TEST(HistoryCode, SmallChangesAreSmall) {
    history_objects before, now;
    for (uint64_t i = 0; i < 10000; ++i)
        before[20000 + 3 * i] = {8192 * 5, 100, 3, 10, 20};
    now = before;
    for (uint64_t i = 0; i < 10000; i += 10)
        now[20000 + 3 * i][3] += 2;
    EXPECT_LE(encode_history(now, before).size(), 1000u * 4);
    EXPECT_LE(encode_history(before, {}).size(), 10000u * 12);
}

TEST(HistoryCode, DamagedBytesAreRefused) {
    history_objects state;
    EXPECT_THROW(apply_history(std::string_view("\x80", 1), state), std::invalid_argument);
    EXPECT_THROW(apply_history(std::string_view("\x05\x01\x02", 3), state), std::invalid_argument);
    std::mt19937 random(3);
    for (int i = 0; i < 20000; ++i) { // must neither crash nor run for ever
        std::string noise(random() % 40, '\0');
        for (char &c : noise)
            c = static_cast<char>(random());
        history_objects any;
        try {
            apply_history(noise, any);
        } catch (const std::invalid_argument &) {
        }
    }
}

} // namespace
