// Rounding for people: short texts, no change of order, nothing lost that matters.
#include "core/figures.hpp"
#include <charconv>
#include <gtest/gtest.h>
#include <limits>
#include <random>
#include <string>

using dbopt::core::for_people;

// The shortest text that reads back as the same number, as the server prints float8.
static std::string shown(double v) {
    char text[400]; // fixed notation: the smallest ones have more than 300 digits
    const auto end = std::to_chars(text, text + sizeof text, v, std::chars_format::fixed).ptr;
    return {text, end};
}

TEST(figures, examples) {
    EXPECT_EQ(shown(for_people(79.73684210526316)), "79.737");
    EXPECT_EQ(shown(for_people(100.0 / 3)), "33.333");
    EXPECT_EQ(shown(for_people(0.1 + 0.2)), "0.3");
    EXPECT_EQ(shown(for_people(-2.0005004)), "-2.001");
    EXPECT_EQ(shown(for_people(0.000123456)), "0.000123");
    EXPECT_EQ(shown(for_people(0.9999999)), "1");
    EXPECT_EQ(shown(for_people(1073741824)), "1073741824");
    EXPECT_EQ(shown(for_people(9007199254740993.0)), "9007199254740992");
}

TEST(figures, what_is_no_figure_stays) {
    EXPECT_TRUE(std::isnan(for_people(std::numeric_limits<double>::quiet_NaN())));
    EXPECT_EQ(for_people(std::numeric_limits<double>::infinity()), std::numeric_limits<double>::infinity());
    EXPECT_EQ(for_people(-std::numeric_limits<double>::infinity()), -std::numeric_limits<double>::infinity());
    EXPECT_EQ(for_people(0), 0);
    EXPECT_EQ(for_people(std::numeric_limits<double>::denorm_min()), std::numeric_limits<double>::denorm_min());
    EXPECT_EQ(for_people(std::numeric_limits<double>::max()), std::numeric_limits<double>::max());
}

TEST(figures, properties) {
    std::mt19937_64 random(7);
    std::uniform_real_distribution<double> exponent(-20, 18), mantissa(-10, 10);
    double before = 0, rounded_before = 0;
    for (int i = 0; i < 100000; ++i) {
        const double v = mantissa(random) * std::pow(10.0, exponent(random)), r = for_people(v);
        // Close: half a thousandth, or half of the third digit.
        EXPECT_LE(std::fabs(r - v), std::max(0.000501, std::fabs(v) * 1e-9)) << v;
        EXPECT_LE(std::fabs(r - v), std::fabs(v) * 0.00501) << v;
        EXPECT_EQ(for_people(r), r) << v; // rounding again changes nothing
        EXPECT_EQ(for_people(-v), -r) << v;
        if (std::fabs(v) >= 0.1 && std::fabs(v) < 1e11) {
            const std::string text = shown(r);
            const size_t point = text.find('.');
            EXPECT_TRUE(point == std::string::npos || text.size() - point <= 4) << text;
        }
        if (i > 0 && v > before) {
            EXPECT_GE(r, rounded_before) << before << " " << v;
        }
        before = v, rounded_before = r;
    }
}

TEST(figures, whole_numbers_stay) {
    std::mt19937_64 random(11);
    std::uniform_int_distribution<int64_t> number(-(int64_t{1} << 53), int64_t{1} << 53);
    for (int i = 0; i < 100000; ++i) {
        const auto v = static_cast<double>(number(random) >> (i % 50));
        ASSERT_EQ(for_people(v), v);
    }
}
