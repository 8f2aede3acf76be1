// Histograms of many statements in the form that core/history_code stores: each one is cut into
// pieces of history_width counts, a piece without counts is not kept. The key of a piece is made of
// the statement's and its number, so that the pieces of a known statement can be found again.
#pragma once
#include "core/history_code.hpp"
#include "core/latency.hpp"
#include <map>

namespace dbopt::core {

using latency_map = std::map<uint64_t, latency_counts>; // by statement

history_objects pack_latencies(const latency_map &all);
latency_counts unpack_latencies(const history_objects &pieces, uint64_t statement);

// What came between two readings. A histogram that went backwards was reset: it counts from there.
latency_counts latencies_since(const latency_counts &now, const latency_counts &then);

} // namespace dbopt::core
