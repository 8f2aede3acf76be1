#include "capture/histogram.hpp"

namespace dbopt::capture {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr uint32_t probes = 32;
constexpr uint64_t one_carry = uint64_t{UINT16_MAX} + 1;

// The carries follow the slots. Each is a key (slot and bucket, + 1) and a count; one whose count is
// 0 may be taken over.
counter *carries() {
    header *h = shared();
    return reinterpret_cast<counter *>(&h->table[h->slots]);
}

uint64_t key_of(const slot *s, int bucket) {
    const auto place = static_cast<uint64_t>(s - shared()->table);
    return place * core::latency_buckets + static_cast<uint64_t>(bucket) + 1;
}

uint64_t start_of(uint64_t key) { return key * 0x9E3779B97F4A7C15u >> 20; }

template <class F> void each(uint64_t key, F &&f) {
    const uint32_t n = shared()->slots;
    counter *all = carries();
    for (uint32_t i = 0; i < probes; ++i)
        if (f(all[(start_of(key) + i) % n]))
            return;
}

} // namespace

size_t carries_bytes(int slots) { return sizeof(counter) * static_cast<size_t>(slots); }

void carry(const slot *s, int bucket, uint32_t by) {
    const uint64_t key = key_of(s, bucket);
    bool done = false;
    each(key, [&](counter &c) {
        done = c.load(relaxed) >> 32 == key;
        if (done)
            c.fetch_add(by, relaxed);
        return done;
    });
    if (done)
        return;
    each(key, [&](counter &c) {
        uint64_t old = c.load(relaxed);
        return (old & UINT32_MAX) == 0 && c.compare_exchange_strong(old, key << 32 | by);
    });
}

uint32_t carried(const slot *s, int bucket) {
    const uint64_t key = key_of(s, bucket);
    uint32_t sum = 0; // two backends may have claimed an entry each
    each(key, [&](counter &c) {
        const uint64_t v = c.load(relaxed);
        if (v >> 32 == key)
            sum += static_cast<uint32_t>(v);
        return false;
    });
    return sum;
}

core::latency_counts latencies_of(const slot &s) {
    core::latency_counts out;
    const bool many = has_carries(s);
    for (int b = 0; b < core::latency_buckets; ++b)
        out[static_cast<size_t>(b)] = s.latency[b].load(relaxed) + (many ? carried(&s, b) * one_carry : 0);
    return out;
}

void clear_latencies(slot *s) {
    if (has_carries(*s))
        for (int b = 0; b < core::latency_buckets; ++b) {
            const uint64_t key = key_of(s, b);
            each(key, [&](counter &c) {
                if (c.load(relaxed) >> 32 == key)
                    c.store(key << 32, relaxed);
                return false;
            });
        }
    for (auto &l : s->latency)
        l.store(0, relaxed);
}

} // namespace dbopt::capture
