#include "core/latency_history.hpp"
#include <algorithm>
#include <numeric>

namespace dbopt::core {

namespace {

constexpr size_t pieces_of_one = (latency_buckets + history_width - 1) / history_width;

uint64_t key_of(uint64_t statement, size_t piece) {
    return statement + (piece + 1) * 0x9E3779B97F4A7C15u; // spreads them over all keys
}

} // namespace

history_objects pack_latencies(const latency_map &all) {
    history_objects out;
    for (const auto &[statement, counts] : all)
        for (size_t p = 0; p < pieces_of_one; ++p) {
            history_values v{};
            bool any = false;
            for (size_t i = 0; i < history_width && p * history_width + i < counts.size(); ++i) {
                v[i] = static_cast<int64_t>(counts[p * history_width + i]);
                any |= v[i] != 0;
            }
            if (any)
                out[key_of(statement, p)] = v;
        }
    return out;
}

latency_counts unpack_latencies(const history_objects &pieces, uint64_t statement) {
    latency_counts out{};
    for (size_t p = 0; p < pieces_of_one; ++p)
        if (const auto at = pieces.find(key_of(statement, p)); at != pieces.end())
            for (size_t i = 0; i < history_width && p * history_width + i < out.size(); ++i)
                out[p * history_width + i] = static_cast<uint64_t>(at->second[i]);
    return out;
}

latency_counts latencies_since(const latency_counts &now, const latency_counts &then) {
    const auto sum = [](const latency_counts &c) { return std::accumulate(c.begin(), c.end(), uint64_t{0}); };
    if (sum(now) < sum(then))
        return now;
    latency_counts out{};
    for (size_t i = 0; i < out.size(); ++i)
        out[i] = now[i] >= then[i] ? now[i] - then[i] : 0;
    return out;
}

} // namespace dbopt::core
