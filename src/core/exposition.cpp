#include "core/exposition.hpp"
#include <algorithm>
#include <charconv>
#include <cmath>

namespace dbopt::core {

namespace {

void escape(std::string &out, std::string_view text, bool quotes) {
    for (const char c : text) {
        if (c == '\\')
            out += "\\\\";
        else if (c == '\n')
            out += "\\n";
        else if (c == '"' && quotes)
            out += "\\\"";
        else
            out += c;
    }
}

void number(std::string &out, double v) {
    if (std::isnan(v)) {
        out += "NaN";
    } else if (std::isinf(v)) {
        out += v > 0 ? "+Inf" : "-Inf";
    } else {
        char text[32];
        const auto end = v == std::floor(v) && std::abs(v) < 9e15
                             ? std::to_chars(text, text + sizeof text, static_cast<long long>(v))
                             : std::to_chars(text, text + sizeof text, v);
        out.append(text, end.ptr);
    }
}

} // namespace

std::string render_exposition(const std::vector<metric_family> &families) {
    std::string out;
    for (const metric_family &f : families) {
        if (f.samples.empty())
            continue;
        out += "# HELP " + f.name + ' ';
        escape(out, f.help, false);
        out += "\n# TYPE " + f.name + ' ' + f.type + '\n';
        for (const metric_sample &s : f.samples) {
            out += f.name;
            char separator = '{';
            for (const auto &[name, value] : s.labels) {
                out += separator;
                out += name + "=\"";
                escape(out, value, true);
                out += '"';
                separator = ',';
            }
            if (separator == ',')
                out += '}';
            out += ' ';
            number(out, s.value);
            out += '\n';
        }
    }
    return out;
}

void keep_top(metric_family &f, size_t most) {
    if (f.samples.size() <= most)
        return;
    std::stable_sort(f.samples.begin(), f.samples.end(),
                     [](const metric_sample &a, const metric_sample &b) { return a.value > b.value; });
    metric_sample other{f.samples[most].labels, 0};
    for (auto &label : other.labels)
        label.second = "other";
    for (size_t i = most; i < f.samples.size(); ++i)
        other.value += f.samples[i].value;
    f.samples.resize(most);
    f.samples.push_back(std::move(other));
}

} // namespace dbopt::core
