#include "core/exposition.hpp"
#include "core/html.hpp"
#include <cmath>
#include <gtest/gtest.h>
#include <limits>

using namespace dbopt::core;

namespace {

TEST(Exposition, HelpTypeAndValues) {
    const std::string text = render_exposition(
        {{"dbopt_x_total", "counter", "a \\ and\na line", {{{}, 12345678901.0}}},
         {"dbopt_y", "gauge", "y", {{{{"q", "a\"b\\c\nd"}}, 0.5}, {{{"q", "z"}}, std::nan("")},
                                    {{{"q", "i"}}, std::numeric_limits<double>::infinity()}}},
         {"dbopt_empty", "gauge", "none", {}}});
    EXPECT_EQ(text, "# HELP dbopt_x_total a \\\\ and\\na line\n# TYPE dbopt_x_total counter\ndbopt_x_total 12345678901\n"
                    "# HELP dbopt_y y\n# TYPE dbopt_y gauge\ndbopt_y{q=\"a\\\"b\\\\c\\nd\"} 0.5\ndbopt_y{q=\"z\"} NaN\n"
                    "dbopt_y{q=\"i\"} +Inf\n");
}

TEST(Exposition, TopAndOtherKeepTheSum) {
    metric_family f{"m", "gauge", "m", {}};
    double sum = 0;
    for (int i = 0; i < 1000; ++i) {
        f.samples.push_back({{{"relation", "t" + std::to_string(i)}, {"schema", "s"}}, i * 1.0});
        sum += i;
    }
    keep_top(f, 50);
    ASSERT_EQ(f.samples.size(), 51u);
    EXPECT_EQ(f.samples[0].value, 999);
    EXPECT_EQ(f.samples.back().labels[0].second, "other");
    double after = 0;
    for (const auto &s : f.samples)
        after += s.value;
    EXPECT_EQ(after, sum);
}

TEST(Html, HostileTextIsHarmless) {
    EXPECT_EQ(escape_html("</script><img src=x onerror='a(\"b\")'>&"),
              "&lt;/script&gt;&lt;img src=x onerror=&#39;a(&quot;b&quot;)&#39;&gt;&amp;");
    EXPECT_EQ(escape_html(std::string("a\0b\tc\nd", 7)), "a b c\nd");
    EXPECT_EQ(escape_html("Zoë – 数据"), "Zoë – 数据");
}

TEST(Html, Numbers) {
    EXPECT_EQ(short_number(0, ""), "0");
    EXPECT_EQ(short_number(1536, "bytes"), "1.50 kB");
    EXPECT_EQ(short_number(1234567, ""), "1.23M");
    EXPECT_EQ(short_number(99.5, "%"), "99.5%");
    EXPECT_EQ(short_number(24600, "ms"), "24.6 s");
    EXPECT_EQ(short_number(180000, "ms"), "3 min");
    EXPECT_EQ(short_number(std::nan(""), ""), "-");
}

TEST(Html, ChartSurvivesEverySeries) {
    EXPECT_NE(line_chart({"none", "", "", "", {}}).find("<svg"), std::string::npos);
    EXPECT_NE(line_chart({"one", "", "", "", {{1, 5}}}).find("M"), std::string::npos);
    const auto gaps = line_chart({"gaps", "", "", "", {{1, 5}, {2, std::nan("")}, {3, 7}}});
    EXPECT_EQ(gaps.find("nan"), std::string::npos);
    std::vector<std::pair<double, double>> many;
    for (int i = 0; i < 100000; ++i)
        many.emplace_back(i, i == 77777 ? 1e6 : 1);
    const auto big = line_chart({"<peak>", "", "", "", many});
    EXPECT_LT(big.size(), 5000u);
    EXPECT_NE(big.find("1.00M"), std::string::npos) << "the peak is kept";
    EXPECT_EQ(big.find("<peak>"), std::string::npos);
}

} // namespace
