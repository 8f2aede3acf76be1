#include "monitor/young_sizes.hpp"
#include "pg/relation_bytes.hpp"
#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace dbopt::monitor {

namespace {

// The last snapshot, unless it is older than two intervals (ten minutes at least) or from the future.
struct last_snapshot {
    pg::timestamptz at;
    int64_t database_bytes = 0;
};
std::optional<last_snapshot> young_snapshot() {
    const double oldest = std::max(600, 2 * current_settings().snapshot_interval);
    const pg::result r = pg::query(
        "SELECT h.taken_at, h.values[(SELECT p.metric_id FROM dbopt._points(NULL) p WHERE p.name = 'database_bytes')]::pg_catalog.int8 "
        "FROM dbopt.history h WHERE h.taken_at BETWEEN pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $1) "
        "AND pg_catalog.clock_timestamp() ORDER BY h.taken_at DESC LIMIT 1", {oldest});
    if (r.empty() || r[0].null(1))
        return std::nullopt;
    return last_snapshot{r[0].get<pg::timestamptz>(0), r[0].get<int64_t>(1)};
}

bool has_size(const pg::stored_relation &r) {
    return r.of_users() && r.schema != PG_TOAST_NAMESPACE &&
           (r.kind == RELKIND_RELATION || r.kind == RELKIND_MATVIEW || r.kind == RELKIND_INDEX);
}

// Adds what came since the snapshot. False: too much, reading everything is cheaper. A new table is
// measured with its indexes and toast, so that these get no entry of their own.
bool add_new(young_sizes &sizes, const pg::inventory &all) {
    constexpr size_t most = 1000;
    std::vector<const pg::stored_relation *> fresh;
    std::unordered_set<Oid> tables;
    for (const pg::stored_relation &r : all.relations())
        if (has_size(r) && !sizes.now.objects.contains(r.oid)) {
            fresh.push_back(&r);
            if (r.kind != RELKIND_INDEX)
                tables.insert(r.oid);
            if (fresh.size() > most)
                return false;
        }
    for (const pg::stored_relation *r : fresh) {
        const bool index = r->kind == RELKIND_INDEX;
        if (index && tables.contains(r->owner_table))
            continue;
        const int64_t bytes = pg::relation_bytes(r->oid, index ? pg::extent::main : pg::extent::whole).value_or(0);
        sizes.now.objects[r->oid] = {bytes, r->counters.live, r->counters.dead};
        sizes.database_bytes += bytes;
    }
    return true;
}

} // namespace

young_sizes read_young_sizes() {
    const auto all = pg::current_inventory();
    young_sizes out;
    if (const auto last = young_snapshot())
        if (auto f = frame_at(last->at, part::objects); f && f->taken_at == last->at) {
            out = {.as_of = last->at, .now = std::move(*f), .database_bytes = last->database_bytes};
            if (add_new(out, *all))
                return out;
        }
    return {.now = read_objects_now(), .database_bytes = all->database_bytes()};
}

std::vector<sized_table> sized_tables(const young_sizes &sizes, const pg::inventory &all) {
    const auto values_of = [&](Oid oid) {
        const auto at = sizes.now.objects.find(oid);
        return at == sizes.now.objects.end() ? nullptr : &at->second;
    };
    std::vector<sized_table> out;
    std::unordered_map<Oid, size_t> place;
    for (const pg::stored_relation &r : all.relations())
        if (has_size(r) && r.kind != RELKIND_INDEX)
            if (const auto *v = values_of(r.oid)) {
                place.emplace(r.oid, out.size());
                out.push_back({&r, v});
            }
    for (const pg::stored_relation &r : all.relations())
        if (has_size(r) && r.kind == RELKIND_INDEX)
            if (const auto t = place.find(r.owner_table); t != place.end())
                if (const auto *v = values_of(r.oid))
                    out[t->second].indexes += (*v)[object_bytes];
    return out;
}

} // namespace dbopt::monitor
