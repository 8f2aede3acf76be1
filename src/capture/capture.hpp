// The observed workload: what every statement of the clients cost, in shared memory of fixed size.
//
// Counting is lock-free: a slot is found by a hash of (query, role, database, nesting) and its
// counters are added to atomically. Statements that were seen least give way when the table is full.
// The first text of each statement and a few sets of its parameters are kept in a bounded file. All
// of it survives a restart. Without preload there is nothing: available() is false.
//
// Read by the advisor and the monitor through statements().
#pragma once
#include "core/latency_history.hpp"
#include "pg/entry.hpp"

namespace dbopt::capture {

void define_settings(); // from _PG_init
void install();         // from _PG_init while preloading, after define_settings

bool available();
pg::timestamptz since();     // start of counting, or the last reset
int64_t evicted();           // statements that gave way to others since then

struct statement {
    int64_t query_id = 0;
    Oid role = InvalidOid, database = InvalidOid;
    bool toplevel = true, utility = false;
    int64_t calls = 0, errors = 0, rows = 0, plans = 0;
    int64_t transactions = 0;     // in which it ran: calls / transactions > 10 smells of N+1
    double total_ms = 0, plan_ms = 0, min_ms = 0, max_ms = 0;
    double p50_ms = 0, p95_ms = 0, p99_ms = 0;
    int64_t blocks_hit = 0, blocks_read = 0, blocks_written = 0, temp_blocks = 0;
    pg::timestamptz first_seen, last_seen;
    int64_t samples = 0;          // parameter sets kept
    int64_t key = 0;              // handle for texts and samples
    std::string text;             // as first written by a client, with its constants; may be empty
    std::string path;             // the search_path it was first run under; empty: not known
};
// How many have no text, for want of room or for its length.
int64_t without_text(Oid database);
// Statements of one database (InvalidOid: all), with or without their texts.
std::vector<statement> statements(Oid database, bool texts = true);

// One number for a query of a role, however deep in functions it ran.
uint64_t statement_key(int64_t query_id, Oid role);
// The latency histogram of each of these, of one database.
core::latency_map latencies(Oid database);
// What a client first wrote, with its constants; empty when it is not known.
std::string text_of(int64_t query_id, Oid role, Oid database);

struct parameter {
    Oid type = InvalidOid;
    std::optional<std::string> text;
};
// Sampled parameter sets of a statement.
std::vector<std::vector<parameter>> samples(int64_t key);

// Adds what another collector has counted of a statement of this database. False: it is observed
// already, or there is no room.
struct seeded {
    int64_t query_id = 0;
    Oid role = InvalidOid;
    std::string text;
    int64_t calls = 0, rows = 0, plans = 0;
    double total_ms = 0, plan_ms = 0, min_ms = 0, max_ms = 0;
};
bool seed(const seeded &s);

// Forgets the statements of one database (InvalidOid: all). Returns how many.
int64_t reset(Oid database);
// Writes everything to disk, so that a crash loses little. Called by the database worker.
void save();
void background();

// The text with every literal replaced by a question mark, comments removed, at most `limit` bytes
// (0: all). Where it depends on standard_conforming_strings how far a literal goes, the rest is hidden.
std::string redacted(const std::string &text, size_t limit = 0);
// The same with parameters ($1 …, after those it has) for the literals: it can still be planned.
// backslash_escapes: in plain literals, as where standard_conforming_strings is off.
std::string parameterised(const std::string &text, bool backslash_escapes);

} // namespace dbopt::capture
