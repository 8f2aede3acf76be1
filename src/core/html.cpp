#include "core/html.hpp"
#include <algorithm>
#include <cmath>
#include <cstdio>

namespace dbopt::core {

std::string escape_html(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        switch (c) {
        case '&': out += "&amp;"; break;
        case '<': out += "&lt;"; break;
        case '>': out += "&gt;"; break;
        case '"': out += "&quot;"; break;
        case '\'': out += "&#39;"; break;
        default:
            out += static_cast<unsigned char>(c) < 0x20 && c != '\n' ? ' ' : c;
        }
    }
    return out;
}

std::string short_number(double v, std::string_view unit) {
    if (!std::isfinite(v))
        return "-";
    if (unit == "ms" && std::abs(v) >= 1000)
        return std::abs(v) >= 120'000 ? short_number(v / 60'000, "min") : short_number(v / 1000, "s");
    const bool bytes = unit == "bytes" || unit == "bytes/s";
    const double step = bytes ? 1024 : 1000;
    static constexpr const char *byte_units[] = {" B", " kB", " MB", " GB", " TB", " PB"};
    static constexpr const char *units[] = {"", "k", "M", "G", "T", "P"};
    int i = 0;
    for (; std::abs(v) >= step && i < 5; ++i)
        v /= step;
    char text[48];
    const int digits = i == 0 && v == std::floor(v) ? 0 : std::abs(v) >= 100 ? 0 : std::abs(v) >= 10 ? 1 : 2;
    snprintf(text, sizeof text, "%.*f%s", digits, v, bytes ? byte_units[i] : units[i]);
    std::string out = text;
    if (unit == "bytes/s")
        out += "/s";
    else if (!bytes && !unit.empty())
        out += (unit == "%" ? "" : " ") + std::string(unit);
    return out;
}

namespace {

constexpr double width = 320, height = 90, left = 4, top = 14, bottom = 74;

// Largest value of each stretch, so that a short peak is not lost.
std::vector<std::pair<double, double>> thin(const std::vector<std::pair<double, double>> &all) {
    constexpr size_t most = 160;
    if (all.size() <= most)
        return all;
    std::vector<std::pair<double, double>> out;
    for (size_t i = 0; i < most; ++i) {
        const size_t from = i * all.size() / most, to = (i + 1) * all.size() / most;
        out.push_back(*std::max_element(all.begin() + static_cast<std::ptrdiff_t>(from),
                                        all.begin() + static_cast<std::ptrdiff_t>(to), [](auto &a, auto &b) {
                                            return std::isnan(a.second) || a.second < b.second;
                                        }));
    }
    return out;
}

} // namespace

std::string line_chart(const chart &c) {
    const auto points = thin(c.points);
    double low = 0, high = 0, last = std::nan("");
    for (const auto &[t, v] : points)
        if (std::isfinite(v)) {
            low = std::min(low, v);
            high = std::max(high, v);
            last = v;
        }
    if (high == low)
        high = low + 1;
    const double first_t = points.empty() ? 0 : points.front().first;
    const double span = points.empty() ? 1 : std::max(1e-9, points.back().first - first_t);
    std::string path;
    bool pen_up = true;
    char step[64];
    for (const auto &[t, v] : points) {
        if (!std::isfinite(v)) {
            pen_up = true;
            continue;
        }
        snprintf(step, sizeof step, "%c%.1f %.1f", pen_up ? 'M' : 'L', left + (t - first_t) / span * (width - 2 * left),
                 bottom - (v - low) / (high - low) * (bottom - top));
        path += step;
        path += path.size() / 90 > (path.size() - 14) / 90 ? "\n" : "";
        pen_up = false;
    }
    const std::string now = short_number(last, c.unit), most = short_number(high, c.unit);
    const std::string title = escape_html(c.title);
    return "<figure><figcaption>" + title + " <b>" + escape_html(now) + "</b></figcaption>\n<svg viewBox=\"0 0 320 90\" role=\"img\" aria-label=\"" +
           title + ": now " + escape_html(now) + ", highest " + escape_html(most) + "\">\n<path class=\"axis\" d=\"M4 74H316\"/>\n<path class=\"line\" d=\"" +
           path + "\"/>\n<text x=\"4\" y=\"10\">" + escape_html(most) + "</text><text x=\"4\" y=\"87\">" + escape_html(c.from) +
           "</text><text x=\"316\" y=\"87\" text-anchor=\"end\">" + escape_html(c.to) + "</text></svg></figure>\n";
}

} // namespace dbopt::core
