// Bloat, measured: how much of a table or index is dead, free or would be given back by a rewrite.
//
// Sampling reads a few hundred random pages and says how far off it may be (95 % intervals); exact
// reads every page once. Neither runs user-defined code, waits for a lock longer than lock_wait_ms,
// or pushes pages out of the cache. What cannot be measured is reported with a reason, not raised.
#pragma once
#include "pg/entry.hpp"
#include "pg/relation.hpp"
#include <unordered_map>

namespace dbopt::bloat {

enum class method { sample, exact };
// "sample" or "exact"; anything else raises 22023.
method parse_method(std::string_view name);

struct options {
    method how = method::sample;
    double max_error = 0.5;     // half-width of the intervals that is good enough, per cent of the size
    int64_t lock_wait_ms = 200;
    uint64_t seed = 0;          // 0: a different sample each time
    double share = 1;           // this relation's part of a whole of which max_error is meant
};

// An amount of bytes and how far off it may be.
struct amount {
    double bytes = 0;
    double half_width = 0;
    amount &operator+=(const amount &o); // independent errors add in squares
};

struct heap_result {
    uint64_t pages = 0, sampled = 0;
    amount live, dead, free, reclaimable;
    double held = 0;         // part of dead: still visible to some transaction, VACUUM keeps it
    double running = 0;      // part of live: written by transactions that are running
    double live_rows = 0;
    double dead_pointers = 0; // rows already pruned whose index entries still wait for VACUUM
    double root_entries = 0; // entries that a rebuilt index would have
    double entries = 0;      // entries that an index of all rows may have now: those of dead rows, too
    std::string skipped;     // why it was not measured; empty when it was
    heap_result &operator+=(const heap_result &o);
};

struct table_result {
    heap_result heap;  // main storage, or the sum over the leaves of a partition tree
    heap_result toast;
    int64_t leaves = 1;
    std::string detail;
    amount reclaimable() const;
    double bytes() const { return 8192.0 * static_cast<double>(heap.pages + toast.pages); }
};

// Both: a damaged page, or a file that is gone, is a reason in `skipped`, too.
table_result try_table(Oid relation, const options &o);
struct index_result;
index_result try_index(Oid index, const options &o);

heap_result measure_heap(Oid relation, const options &o);
table_result measure_table(Oid relation, const options &o);

struct index_result {
    std::string access_method;
    uint64_t pages = 0, sampled = 0;
    double density = 0;       // per cent of the leaf pages' room that is used
    amount rebuilt;           // size after REINDEX
    std::string skipped;
    amount reclaimable() const;
};

index_result measure_index(Oid index, const options &o);

// Bytes of every table (TOAST included) and index, from the data folders: no lock is waited for.
std::unordered_map<Oid, int64_t> stored_sizes();

// The oldest transaction that keeps rows of this database alive, in words; empty when there is none.
std::string oldest_holder();

// Who may look: owner, holders of MAINTAIN, members of pg_monitor. Raises 42501 otherwise.
void require_reader(Oid relation);

// One relation of a collection round.
struct collected {
    Oid relation;
    std::string kind; // "table" or "index"
    double reclaimable = 0, percent = 0;
    std::string status, detail;
};
struct collect_options {
    int64_t max_milliseconds = 60000;
    int64_t min_bytes = 1 << 20;
    pg::interval keep = {.days = 90};
};
// Measures, stores in dbopt._bloat_history and drops what is older than `keep`.
std::vector<collected> collect(const collect_options &o);
// Body of CALL bloat_collect_run: the same, but commits after each relation, so that no snapshot lives
// longer than one measurement. Says in a notice how many were measured.
void collect_and_commit(const pg::arguments &args, const collect_options &o);

} // namespace dbopt::bloat
