#include "bloat/bloat.hpp"
#include "pg/inventory.hpp"
#include "pg/query.hpp"
#include "pg/security.hpp"
#include "pg/transaction.hpp"
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

namespace {

// What is wrong with the relation and not with the call: data_corrupted, index_corrupted, a file that
// cannot be read, a transaction id without status, a relation dropped or rewritten under our hands.
bool is_its_fault(const std::string &state) {
    for (const char *known : {"XX001", "XX002", "58P01", "58030", "42P01", "42704"})
        if (state == known)
            return true;
    return false;
}

template <class F> std::string reason_of_failure(F &&measure) {
    auto failure = pg::subtransaction(measure);
    if (!failure)
        return "";
    if (!is_its_fault(failure->sqlstate()))
        throw std::move(*failure);
    return "cannot be read: " + std::string(failure->message());
}

} // namespace

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

// pg_partition_tree would wait for the lock of every partition.
constexpr const char *leaves_sql = R"(
WITH RECURSIVE t(oid) AS (
    SELECT $1::oid
    UNION ALL SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN t ON i.inhparent = t.oid)
SELECT c.oid FROM t JOIN pg_catalog.pg_class c ON c.oid = t.oid WHERE c.relkind <> 'p')";

table_result measure_table(Oid relation, const options &o) {
    const pg::relation_info info = pg::get_relation(relation);
    if (info.kind != RELKIND_PARTITIONED_TABLE)
        return measure_leaf(info, o);
    table_result sum;
    sum.leaves = 0;
    int64_t left_out = 0;
    std::string why;
    for (const pg::row &row :
         pg::query(leaves_sql, {relation})) {
        const auto leaf = pg::find_relation(row.get<Oid>(0));
        table_result t;
        std::string why_not;
        if (leaf)
            why_not = reason_of_failure([&] { t = measure_leaf(*leaf, o); });
        else
            why_not = "dropped meanwhile";
        if (!why_not.empty())
            t.heap.skipped = why_not;
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

table_result try_table(Oid relation, const options &o) {
    table_result t;
    if (const std::string why = reason_of_failure([&] { t = measure_table(relation, o); }); !why.empty())
        t.heap.skipped = why;
    return t;
}

index_result try_index(Oid index, const options &o) {
    index_result r;
    if (const std::string why = reason_of_failure([&] { r = measure_index(index, o); }); !why.empty())
        r.skipped = why;
    return r;
}

std::unordered_map<Oid, int64_t> stored_sizes() {
    std::unordered_map<Oid, int64_t> out;
    const auto all = pg::current_inventory(); // named: a temporary would be gone inside the loop
    for (const pg::stored_relation &r : all->sizes()) {
        out[r.oid] += r.bytes();
        if (r.kind == RELKIND_TOASTVALUE)
            out[r.owner_table] += r.bytes();
    }
    return out;
}

// Kind and name only: what others run is not for everybody who owns a table.
std::string oldest_holder() {
    const pg::as_owner superuser(BOOTSTRAP_SUPERUSERID);
    return pg::scalar<std::string>(
               "SELECT format('%s %s%s', h.kind, h.holder, ' (since ' || h.since::timestamptz(0) || ')')"
               " FROM dbopt.xmin_holders h WHERE h.scope <> 'system catalogs'"
               " AND (h.database IS NULL OR h.database = current_database())"
               " ORDER BY h.xmin_age DESC LIMIT 1",
               {})
        .value_or("");
}

} // namespace dbopt::bloat
