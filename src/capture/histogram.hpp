// The latency histograms in shared memory. Internal to the room.
//
// A bucket counts in 16 bits, so that 8,192 statements fit into 4 MB. Once in 65,536 it runs over
// into a small table of carries that all statements share. When that is full (as many hot buckets as
// there are slots), the shape of a histogram suffers; calls and times are counted elsewhere.
#pragma once
#include "capture/table.hpp"

namespace dbopt::capture {

size_t carries_bytes(int slots);
void carry(const slot *s, int bucket, uint32_t by = 1); // 65,536 counts each

inline void count_latency(slot *s, uint64_t nanoseconds) {
    const int b = core::latency_bucket(nanoseconds);
    if (s->latency[b].fetch_add(1, std::memory_order_relaxed) == UINT16_MAX)
        carry(s, b);
}

// Whether a bucket may have run over.
inline bool has_carries(const slot &s) { return s.calls.load(std::memory_order_relaxed) > UINT16_MAX; }

core::latency_counts latencies_of(const slot &s);
void clear_latencies(slot *s);
uint32_t carried(const slot *s, int bucket);

} // namespace dbopt::capture
