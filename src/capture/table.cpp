#include "capture/histogram.hpp"
#include <cstddef>

namespace dbopt::capture {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr int probe = 24; // slots looked at before one has to give way

uint64_t mix(uint64_t x) {
    x ^= x >> 32;
    x *= 0xD6E8FEB86659FD93u;
    x ^= x >> 29;
    return x;
}

void identify(slot *s, const pg::statement_end &e) {
    s->query_id = e.query_id;
    s->role = e.role;
    s->database = e.database;
    s->flags = (e.toplevel ? slot::toplevel : 0) | (e.utility ? slot::utility : 0);
    s->first_seen.store(static_cast<uint64_t>(GetCurrentTimestamp()), relaxed);
}

// How much a slot is worth keeping: what it cost so far.
uint64_t worth(const slot &s) { return s.total_ns.load(relaxed) + 1000 * s.calls.load(relaxed); }

} // namespace

uint64_t tag_of(const pg::statement_end &e) {
    const uint64_t who = static_cast<uint64_t>(e.role) << 32 | e.database;
    const uint64_t tag = mix(static_cast<uint64_t>(e.query_id) ^ mix(who)) + (e.toplevel ? 1 : 2);
    return tag != 0 ? tag : 1;
}

size_t table_bytes(int slots) { return offsetof(header, table) + sizeof(slot) * static_cast<size_t>(slots) + carries_bytes(slots); }

void clear(slot *s) {
    clear_latencies(s);
    for (counter *c : {&s->text_at, &s->calls, &s->errors, &s->rows, &s->plans, &s->transactions,
                       &s->total_ns, &s->plan_ns, &s->max_ns, &s->hit, &s->read, &s->written, &s->temp,
                       &s->first_seen, &s->last_seen})
        c->store(0, relaxed);
    s->min_ns.store(UINT64_MAX, relaxed);
    s->text_length.store(0, relaxed);
    s->samples.store(0, relaxed);
}

slot *find(uint64_t tag) {
    header *h = shared();
    const uint32_t start = static_cast<uint32_t>(tag % h->slots);
    for (int i = 0; i < probe; ++i) {
        slot *s = &h->table[(start + i) % h->slots];
        if (s->tag.load(std::memory_order_acquire) == tag)
            return s;
    }
    return nullptr;
}

// Two backends may claim for the same new statement at once, or add to a slot that is just giving
// way: the table then holds a duplicate, or a few counts go astray. Both are rare and harmless.
slot *find_or_claim(const pg::statement_end &e, bool *fresh) {
    header *h = shared();
    const uint64_t tag = tag_of(e);
    const uint32_t slots = h->slots;
    const uint32_t start = static_cast<uint32_t>(tag % slots);
    *fresh = false;
    // A reset leaves holes, so a free slot does not end the search for the statement.
    uint32_t at = start;
    for (int i = 0; i < probe; ++i, at = at + 1 == slots ? 0 : at + 1)
        if (h->table[at].tag.load(std::memory_order_acquire) == tag)
            return &h->table[at];
    slot *cheapest = nullptr;
    uint64_t lowest = UINT64_MAX;
    at = start;
    for (int i = 0; i < probe; ++i, at = at + 1 == slots ? 0 : at + 1) {
        slot *s = &h->table[at];
        uint64_t seen = 0;
        if (s->tag.compare_exchange_strong(seen, tag)) {
            identify(s, e);
            *fresh = true;
            return s;
        }
        if (seen == tag)
            return s;
        if (const uint64_t w = worth(*s); w < lowest) {
            lowest = w;
            cheapest = s;
        }
    }
    uint64_t old = cheapest->tag.load(relaxed);
    if (!cheapest->tag.compare_exchange_strong(old, tag))
        return nullptr;
    h->text_wasted.fetch_add(cheapest->text_length.load(relaxed), relaxed);
    clear(cheapest);
    identify(cheapest, e);
    h->evicted.fetch_add(1, relaxed);
    *fresh = true;
    return cheapest;
}

} // namespace dbopt::capture
