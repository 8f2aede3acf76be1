#include "monitor/report_objects.hpp"
#include "monitor/history.hpp"
#include "pg/inventory.hpp"
#include <algorithm>

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

struct columns {
    std::vector<std::vector<int64_t>> of;
    explicit columns(size_t n) : of(n) {}
    void add(std::initializer_list<int64_t> row) {
        size_t i = 0;
        for (const int64_t v : row)
            of[i++].push_back(v);
    }
    object_list list() && {
        object_list out;
        for (auto &c : of)
            out.emplace_back(std::move(c));
        return out;
    }
};

template <class T, class F> void keep_first(std::vector<T> &all, size_t most, F &&before) {
    const auto middle = all.begin() + static_cast<std::ptrdiff_t>(std::min(most, all.size()));
    std::partial_sort(all.begin(), middle, all.end(), before);
    all.erase(middle, all.end());
}

struct sized_table {
    const core::history_values *values = nullptr;
    int64_t indexes = 0;
    int64_t total() const { return (*values)[object_bytes] + (*values)[object_toast] + indexes; }
};

object_list largest_tables(const frame &now, const pg::inventory &all) {
    std::unordered_map<Oid, sized_table> tables;
    tables.reserve(all.relations().size());
    const auto values_of = [&](Oid oid) {
        const auto at = now.objects.find(oid);
        return at == now.objects.end() ? nullptr : &at->second;
    };
    for (const pg::stored_relation &r : all.relations())
        if (r.of_users() && (r.kind == RELKIND_RELATION || r.kind == RELKIND_MATVIEW))
            if (const auto *v = values_of(r.oid))
                tables.emplace(r.oid, sized_table{v});
    for (const pg::stored_relation &r : all.relations())
        if (r.of_users() && r.kind == RELKIND_INDEX)
            if (const auto t = tables.find(r.owner_table); t != tables.end())
                if (const auto *v = values_of(r.oid))
                    t->second.indexes += (*v)[object_bytes];
    int64_t sum = 0;
    std::vector<std::pair<Oid, sized_table>> order(tables.begin(), tables.end());
    for (const auto &[oid, t] : order)
        sum += t.total();
    keep_first(order, 20, [](const auto &a, const auto &b) { return a.second.total() > b.second.total(); });
    columns out(6);
    for (const auto &[oid, t] : order)
        out.add({oid, t.total(), t.indexes, (*t.values)[object_live], (*t.values)[object_dead], sum});
    return std::move(out).list();
}

object_list grown_most(const frame &now, const std::optional<frame> &then) {
    struct change {
        Oid oid;
        int64_t by;
        const core::history_values *now, *then;
    };
    std::vector<change> all;
    if (then)
        for (const auto &[oid, v] : now.objects)
            if (const auto old = then->objects.find(oid); old != then->objects.end() && v[object_bytes] > old->second[object_bytes])
                all.push_back({static_cast<Oid>(oid), v[object_bytes] - old->second[object_bytes], &v, &old->second});
    keep_first(all, 15, [](const change &a, const change &b) { return a.by > b.by; });
    columns out(6);
    for (const change &c : all) {
        const core::history_values d = growth(*c.now, c.then);
        out.add({c.oid, (*c.now)[object_bytes], c.by, d[object_inserted], d[object_updated], d[object_deleted]});
    }
    return std::move(out).list();
}

object_list unused_indexes(const pg::inventory &all) {
    std::unordered_map<Oid, const pg::stored_relation *> idle;
    for (const pg::stored_relation &r : all.relations())
        if (r.of_users() && r.kind == RELKIND_INDEX && !r.is_partition && r.pages > 16 && r.counters.scans == 0)
            idle.emplace(r.oid, &r);
    std::vector<const pg::stored_relation *> list;
    if (!idle.empty())
        for (const pg::stored_index &i : all.indexes())
            if (const auto r = idle.find(i.oid); r != idle.end() && !i.unique && !i.exclusion)
                list.push_back(r->second);
    keep_first(list, 15, [](const auto *a, const auto *b) { return a->pages > b->pages; });
    columns out(3);
    for (const pg::stored_relation *r : list)
        out.add({r->oid, r->owner_table, r->pages});
    return std::move(out).list();
}

} // namespace

object_lists list_objects(const pg::interval &span) {
    const auto all = pg::current_inventory();
    object_lists out;
    std::optional<frame> now;
    if (const auto last = young_snapshot()) {
        now = frame_at(last->at, part::objects);
        if (now && now->taken_at == last->at) {
            out.as_of = last->at;
            out.database_bytes = last->database_bytes;
        }
    }
    if (!out.as_of) {
        now = read_objects_now();
        out.database_bytes = all->database_bytes();
    }
    out.largest = largest_tables(*now, *all);
    out.grown = grown_most(*now, frame_before(span.seconds(), part::objects));
    out.unused = unused_indexes(*all);
    return out;
}

} // namespace dbopt::monitor
