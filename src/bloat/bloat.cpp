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
    entries += o.entries;
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

namespace {

// `whole`: what the leaf is a part of.
table_result measure_leaf(const pg::relation_info &info, const options &whole, double heap_share = 1,
                          double toast_share = 1) {
    options o = whole;
    table_result t;
    o.share = heap_share;
    t.heap = measure_heap(info.oid, o);
    if (t.heap.skipped.empty() && OidIsValid(info.toast)) {
        o.share = toast_share;
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
SELECT c.oid, c.reltoastrelid FROM t JOIN pg_catalog.pg_class c ON c.oid = t.oid WHERE c.relkind <> 'p'
ORDER BY c.oid)";

struct leaf {
    Oid oid;
    double heap_bytes = 0, toast_bytes = 0;
};

// A tree is measured as one relation: each leaf gets its part of the sample.
class tree {
  public:
    tree(Oid root, const options &o) : options_(o) {
        const auto sizes = stored_sizes();
        auto size_of = [&](Oid oid) {
            const auto at = sizes.find(oid);
            return at != sizes.end() ? static_cast<double>(at->second) : 0.0;
        };
        for (const pg::row &row : pg::query(leaves_sql, {root})) {
            leaf l{row.get<Oid>(0)};
            l.toast_bytes = size_of(row.get<Oid>(1));
            l.heap_bytes = std::max(0.0, size_of(l.oid) - l.toast_bytes);
            heap_bytes_ += l.heap_bytes;
            toast_bytes_ += l.toast_bytes;
            leaves_.push_back(l);
        }
    }

    table_result measure() {
        table_result sum;
        sum.leaves = 0;
        for (const leaf &l : leaves_)
            add(l, sum);
        if (sum.leaves == 0)
            sum.heap.skipped = left_out_ == 0 ? "has no partitions" : why_;
        sum.detail = "sum of " + std::to_string(sum.leaves) + " partitions";
        if (left_out_ > 0)
            sum.detail += ", " + std::to_string(left_out_) + " left out (" + why_ + ")";
        return sum;
    }

  private:
    static double share(double part, double whole) {
        return part > 0 && whole > 0 ? std::min(1.0, part / whole) : 1; // grown meanwhile: as itself
    }
    void add(const leaf &l, table_result &sum) {
        const auto info = pg::find_relation(l.oid);
        table_result t;
        const std::string failure = info ? reason_of_failure([&] {
            t = measure_leaf(*info, options_, share(l.heap_bytes, heap_bytes_),
                             share(l.toast_bytes, toast_bytes_));
        }) : "dropped meanwhile";
        if (!failure.empty())
            t.heap.skipped = failure;
        options_.seed += options_.seed != 0 ? 0x9E3779B97F4A7C15ULL : 0; // other places in each leaf
        if (t.heap.skipped.empty()) {
            sum.heap += t.heap;
            sum.toast += t.toast;
            ++sum.leaves;
            return;
        }
        ++left_out_;
        why_ = (info ? info->qualified() : "a partition") + ": " + t.heap.skipped;
    }
    options options_;
    std::vector<leaf> leaves_;
    double heap_bytes_ = 0, toast_bytes_ = 0;
    int64_t left_out_ = 0;
    std::string why_;
};

} // namespace

table_result measure_table(Oid relation, const options &o) {
    const pg::relation_info info = pg::get_relation(relation);
    return info.kind == RELKIND_PARTITIONED_TABLE ? tree(relation, o).measure() : measure_leaf(info, o);
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
