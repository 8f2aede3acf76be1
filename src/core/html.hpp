// Small pieces of the report: escaped text and line charts as inline SVG, without script.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace dbopt::core {

// Safe as text and inside a quoted attribute. Control characters become spaces.
std::string escape_html(std::string_view text);

struct chart {
    std::string title;  // also its text for those who cannot see it
    std::string unit;   // "bytes" is written as kB, MB …
    std::string from, to; // labels of the time axis
    std::vector<std::pair<double, double>> points; // time, value; NaN makes a gap
};
// At most 160 points are drawn; each stands for the largest value of its stretch.
std::string line_chart(const chart &c);

// 1234567 → "1.23M", bytes → "1.2 MB".
std::string short_number(double v, std::string_view unit);

} // namespace dbopt::core
