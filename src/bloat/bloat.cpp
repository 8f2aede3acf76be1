#include "bloat/bloat.hpp"
#include "pg/query.hpp"
#include "pg/security.hpp"
#include <cmath>

namespace dbopt::bloat {

method parse_method(std::string_view name) {
    if (name == "sample")
        return method::sample;
    if (name == "exact")
        return method::exact;
    pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
               .message = "method \"" + std::string(name) + "\" is not known",
               .hint = "Use 'sample' (milliseconds, with intervals) or 'exact' (reads every page)."});
}

amount &amount::operator+=(const amount &o) {
    bytes += o.bytes;
    half_width = std::hypot(half_width, o.half_width);
    return *this;
}

heap_result &heap_result::operator+=(const heap_result &o) {
    pages += o.pages;
    sampled += o.sampled;
    live += o.live;
    dead += o.dead;
    free += o.free;
    reclaimable += o.reclaimable;
    held += o.held;
    running += o.running;
    live_rows += o.live_rows;
    dead_pointers += o.dead_pointers;
    root_entries += o.root_entries;
    return *this;
}

amount table_result::reclaimable() const {
    amount a = heap.reclaimable;
    a += toast.reclaimable;
    return a;
}

amount index_result::reclaimable() const {
    return {8192.0 * static_cast<double>(pages) - rebuilt.bytes, rebuilt.half_width};
}

void require_reader(Oid relation) {
    const Oid role = pg::caller();
    if (pg::may_maintain(relation, role) ||
        pg::call([&] { return has_privs_of_role(role, ROLE_PG_MONITOR); }))
        return;
    pg::raise({.code = ERRCODE_INSUFFICIENT_PRIVILEGE,
               .message = "permission denied for relation " + pg::qualified_name(relation),
               .hint = "Measuring bloat is for the owner and for members of pg_monitor."});
}

static table_result measure_leaf(const pg::relation_info &info, const options &o) {
    table_result t;
    t.heap = measure_heap(info.oid, o);
    if (t.heap.skipped.empty() && OidIsValid(info.toast)) {
        t.toast = measure_heap(info.toast, o);
        if (!t.toast.skipped.empty())
            t.detail = "its TOAST table is left out: " + t.toast.skipped;
    }
    return t;
}

table_result measure_table(Oid relation, const options &o) {
    const pg::relation_info info = pg::get_relation(relation);
    if (info.kind != RELKIND_PARTITIONED_TABLE)
        return measure_leaf(info, o);
    table_result sum;
    sum.leaves = 0;
    int64_t left_out = 0;
    std::string why;
    for (const pg::row &row :
         pg::query("SELECT relid::oid FROM pg_catalog.pg_partition_tree($1::oid) WHERE isleaf",
                   {relation})) {
        const auto leaf = pg::find_relation(row.get<Oid>(0));
        table_result t;
        if (leaf)
            t = measure_leaf(*leaf, o);
        else
            t.heap.skipped = "dropped meanwhile";
        if (t.heap.skipped.empty()) {
            sum.heap += t.heap;
            sum.toast += t.toast;
            ++sum.leaves;
        } else {
            ++left_out;
            why = (leaf ? leaf->qualified() : "a partition") + ": " + t.heap.skipped;
        }
    }
    if (sum.leaves == 0)
        sum.heap.skipped = left_out == 0 ? "has no partitions" : why;
    sum.detail = "sum of " + std::to_string(sum.leaves) + " partitions";
    if (left_out > 0)
        sum.detail += ", " + std::to_string(left_out) + " left out (" + why + ")";
    return sum;
}

} // namespace dbopt::bloat
