// The Prometheus text format, version 0.0.4: families with help and type, samples with labels.
// https://prometheus.io/docs/instrumenting/exposition_formats/
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dbopt::core {

struct metric_sample {
    std::vector<std::pair<std::string, std::string>> labels;
    double value;
};

struct metric_family {
    std::string name; // counters end in _total
    std::string type; // counter or gauge
    std::string help;
    std::vector<metric_sample> samples;
};

// Families without samples are left out; label names and metric names must be valid already.
std::string render_exposition(const std::vector<metric_family> &families);

// Keeps the `most` samples with the largest value and adds the rest up in one whose labels are all
// "other": cardinality stays bounded, sums stay right.
void keep_top(metric_family &f, size_t most);

} // namespace dbopt::core
