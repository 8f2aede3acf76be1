// The shared table of counters. Internal to the room. No server function is called here but clocks.
#pragma once
#include "core/latency.hpp"
#include "pg/shmem.hpp"
#include "pg/statement_hooks.hpp"
#include <atomic>

namespace dbopt::capture {

using counter = std::atomic<uint64_t>;
static_assert(counter::is_always_lock_free);

struct slot {
    counter tag; // 0: free; else the hash of the identity below
    int64_t query_id;
    Oid role, database;
    uint32_t flags;
    std::atomic<uint32_t> text_length;
    counter text_at; // offset in the text file, + 1
    counter calls, errors, rows, plans, transactions;
    counter total_ns, plan_ns, min_ns, max_ns;
    counter hit, read, written, temp;
    counter first_seen, last_seen; // TimestampTz
    std::atomic<uint32_t> samples;
    std::atomic<uint16_t> latency[core::latency_buckets]; // see histogram.hpp

    static constexpr uint32_t toplevel = 1, utility = 2;
};

struct header {
    uint32_t slots;
    counter since, evicted, text_end, text_wasted;
    slot table[1];
};

extern pg::shared_block block;
inline header *shared() { return block.get<header>(); }

// Finds the statement's slot or claims one; nullptr when none is to be had. *fresh: it is new.
slot *find_or_claim(const pg::statement_end &e, bool *fresh);
slot *find(uint64_t tag);
uint64_t tag_of(const pg::statement_end &e);
void clear(slot *s);
size_t table_bytes(int slots);

} // namespace dbopt::capture
