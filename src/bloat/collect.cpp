// Rounds over the whole database: largest and longest unmeasured first, within a given time.
#include "bloat/bloat.hpp"
#include "pg/query.hpp"
#include "pg/transaction.hpp"
#include <map>

namespace dbopt::bloat {

namespace {

struct candidate {
    Oid relation;
    bool index;
    double weight;
};

constexpr const char *candidates_sql = R"(
SELECT c.oid, c.relkind = 'i', COALESCE(EXTRACT(epoch FROM pg_catalog.now() - h.last)::float8 / 86400, 1000)
FROM pg_catalog.pg_class c
LEFT JOIN (SELECT h.relid, pg_catalog.max(h.measured_at) AS last FROM dbopt._bloat_history h
           GROUP BY h.relid) h ON h.relid = c.oid
WHERE c.relkind IN ('r', 'm', 'i') AND c.relpersistence <> 't'
  AND c.relnamespace <> 'pg_toast'::pg_catalog.regnamespace)";

// Largest first, but what has not been measured for long moves forward: its size counts more with
// every day.
std::vector<candidate> candidates(int64_t min_bytes) {
    std::vector<candidate> found;
    const auto sizes = stored_sizes();
    for (const pg::row &row : pg::query(candidates_sql, {})) {
        const auto size = sizes.find(row.get<Oid>(0));
        if (size != sizes.end() && size->second >= min_bytes)
            found.push_back({row.get<Oid>(0), row.get<bool>(1),
                             static_cast<double>(size->second) * (1 + row.get<double>(2))});
    }
    std::sort(found.begin(), found.end(), [](const candidate &a, const candidate &b) {
        return a.weight != b.weight ? a.weight > b.weight : a.relation < b.relation;
    });
    return found;
}

struct stored {
    collected row;
    amount size, reclaimable;
    double dead_pct = 0, held_pct = 0;
};

void measure(const candidate &c, stored &s) {
    if (c.index) {
        const index_result r = try_index(c.relation, {.max_error = 1});
        s.size.bytes = 8192.0 * static_cast<double>(r.pages);
        s.reclaimable = r.reclaimable();
        s.row.detail = r.skipped;
    } else {
        const table_result t = try_table(c.relation, {});
        s.size.bytes = t.bytes();
        s.reclaimable = t.reclaimable();
        s.row.detail = t.heap.skipped;
        const double whole = std::max(1.0, 8192.0 * static_cast<double>(t.heap.pages));
        s.dead_pct = 100 * t.heap.dead.bytes / whole;
        s.held_pct = 100 * t.heap.held / whole;
    }
    s.row.status = s.row.detail.empty() ? "done" : "skipped";
}

void store(stored &s) {
    const double whole = std::max(1.0, s.size.bytes);
    const double width = 100 * s.reclaimable.half_width / whole;
    s.row.reclaimable = s.reclaimable.bytes;
    s.row.percent = 100 * s.reclaimable.bytes / whole;
    pg::execute("INSERT INTO dbopt._bloat_history (relid, kind, size_bytes, reclaimable_bytes,"
                " reclaimable_pct, reclaimable_pct_low, reclaimable_pct_high, dead_pct, held_pct)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                {s.row.relation, s.row.kind, static_cast<int64_t>(s.size.bytes),
                 static_cast<int64_t>(s.row.reclaimable), s.row.percent, s.row.percent - width,
                 s.row.percent + width, s.dead_pct, s.held_pct});
}

// One relation that fails (a damaged page, dropped meanwhile) must not hide the others.
collected collect_one(const candidate &c) {
    stored s;
    s.row.relation = c.relation;
    s.row.kind = c.index ? "index" : "table";
    const auto failure = pg::subtransaction([&] {
        measure(c, s);
        if (s.row.status == "done")
            store(s);
    });
    if (failure) {
        s.row.status = "failed";
        s.row.detail = failure->message();
    }
    return s.row;
}

// Goes first: a round that is cancelled has thrown away what is old all the same.
void forget(const collect_options &o) {
    pg::execute("DELETE FROM dbopt._bloat_history h WHERE h.measured_at < pg_catalog.now() - $1"
                " OR NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = h.relid)",
                {o.keep});
}

template <class After> std::vector<collected> round(const collect_options &o, After &&after) {
    std::vector<collected> out;
    const int64_t end = pg::clock().us + o.max_milliseconds * 1000;
    forget(o);
    const std::vector<candidate> todo = candidates(o.min_bytes);
    after();
    for (const candidate &c : todo) {
        if (pg::clock().us >= end) {
            out.push_back({.relation = c.relation, .kind = c.index ? "index" : "table",
                           .status = "skipped", .detail = "no time left in this round"});
            continue;
        }
        out.push_back(collect_one(c));
        after();
    }
    return out;
}

} // namespace

std::vector<collected> collect(const collect_options &o) {
    return round(o, [] {});
}

void collect_and_commit(const pg::arguments &args, const collect_options &o) {
    pg::require_toplevel_call(args, "dbopt.bloat_collect_run");
    const std::vector<collected> all = round(o, [] { pg::commit_and_restart(); });
    std::map<std::string, int64_t> counts;
    std::string first;
    for (const collected &c : all) {
        ++counts[c.status];
        if (c.status == "failed" && first.empty())
            first = c.detail;
    }
    pg::notice(std::to_string(counts["done"]) + " relations measured, " +
                   std::to_string(counts["skipped"]) + " skipped, " +
                   std::to_string(counts["failed"]) + " failed",
               first);
}

} // namespace dbopt::bloat
