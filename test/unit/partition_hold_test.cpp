#include "core/partition_plan.hpp"
#include <gtest/gtest.h>

using namespace dbopt::core;

TEST(retirement_hold, holds_what_looks_like_a_mistake) {
    hold_question q;
    q.clock_us = 100 * us_per_day;
    q.partitions = 100;
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
    q.partitions = 4;
    q.retiring = 3;
    EXPECT_EQ(retirement_hold(q), "");
    q.retiring = 4;
    EXPECT_NE(retirement_hold(q), "");
}
