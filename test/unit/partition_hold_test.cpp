#include "core/hold.hpp"
#include <gtest/gtest.h>

using namespace dbopt::core;

constexpr int64_t us_per_day = 86400 * int64_t{1000000};

TEST(retirement_hold, holds_what_looks_like_a_mistake) {
    hold_question q;
    q.clock_us = 100 * us_per_day;
    q.of = 100;
    q.retiring = 1;
    EXPECT_EQ(retirement_hold(q), "");
    q.last_success_us = q.clock_us - 8 * us_per_day; // an old backup came back
    EXPECT_NE(retirement_hold(q), "");
    q.last_success_us = q.clock_us - us_per_day;
    q.last_now = 50;
    q.now = 49; // the clock was set back
    EXPECT_NE(retirement_hold(q), "");
    q.now = 51;
    EXPECT_EQ(retirement_hold(q), "");
    q.retiring = 10;
    EXPECT_EQ(retirement_hold(q), "");
    q.retiring = 11;
    EXPECT_NE(retirement_hold(q), "");
    q.of = 4;
    q.retiring = 3;
    EXPECT_EQ(retirement_hold(q), "");
    q.retiring = 4;
    EXPECT_NE(retirement_hold(q), "");
    q.retiring = 1;
    q.last_success_us = q.clock_us + 3600 * int64_t{1000000};
    EXPECT_NE(retirement_hold(q), "") << "the clock is behind the last round";
    q.last_success_us = q.clock_us - 7 * us_per_day;
    EXPECT_EQ(retirement_hold(q), "") << "a week is not too long";
    q.last_success_us = std::nullopt;
    q.last_now = std::nullopt;
    EXPECT_EQ(retirement_hold(q), "") << "the first round";
}

TEST(retirement_hold, says_what_and_how_many) {
    hold_question q{.retiring = 5, .of = 12, .what = "indexes"};
    EXPECT_EQ(retirement_hold(q), "5 of 12 indexes at once is unusually many");
    q.of = 60;
    EXPECT_EQ(retirement_hold(q), "") << "5 of 60 are less than 10 %";
}
