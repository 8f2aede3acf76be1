#include "monitor/report_objects.hpp"
#include "monitor/young_sizes.hpp"
#include <algorithm>

namespace dbopt::monitor {

namespace {

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

object_list largest_tables(const young_sizes &sizes, const pg::inventory &all) {
    std::vector<sized_table> tables = sized_tables(sizes, all);
    int64_t sum = 0;
    for (const sized_table &t : tables)
        sum += t.total();
    keep_first(tables, 20, [](const auto &a, const auto &b) { return a.total() > b.total(); });
    columns out(6);
    for (const sized_table &t : tables)
        out.add({t.table->oid, t.total(), t.indexes, t.table->counters.live, t.table->counters.dead, sum});
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
    const young_sizes sizes = read_young_sizes();
    object_lists out;
    out.as_of = sizes.as_of;
    out.database_bytes = sizes.database_bytes;
    out.largest = largest_tables(sizes, *all);
    out.grown = grown_most(sizes.now, frame_before(span.seconds(), part::objects));
    out.unused = unused_indexes(*all);
    return out;
}

} // namespace dbopt::monitor
