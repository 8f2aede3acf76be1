// The checks over all tables and indexes, from one inventory: nothing is opened, each object is
// looked at once.
#include "monitor/checks.hpp"
#include "monitor/history.hpp"
#include "pg/inventory.hpp"
#include <algorithm>
#include <unordered_map>

namespace dbopt::monitor {

namespace {

// Objects that a check found, with a weight: the heaviest three are named.
struct found {
    std::vector<std::pair<double, Oid>> list = {};
    void add(Oid o, double weight = 0) { list.emplace_back(weight, o); }

    std::string names() {
        if (list.empty())
            return "none";
        const size_t shown = std::min<size_t>(3, list.size());
        std::partial_sort(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(shown), list.end(),
                          [](const auto &a, const auto &b) { return a.first > b.first || (a.first == b.first && a.second < b.second); });
        std::string out;
        for (size_t i = 0; i < shown; ++i)
            out += (i == 0 ? "" : ", ") +
                   pg::scalar<std::string>("SELECT $1::pg_catalog.oid::pg_catalog.regclass::pg_catalog.text", {list[i].second}).value_or("");
        return out + (list.size() > shown ? " ..." : "");
    }
    measurement result() { return {static_cast<double>(list.size()), names()}; }
};

double setting(const char *name) {
    return pg::scalar<double>("SELECT pg_catalog.current_setting($1)::pg_catalog.float8", {name}).value_or(0);
}

// Blocks asked for and found: lately, where the history reaches back, else since statistics began.
// The history is read only if some object is busy enough to be judged.
class recent_blocks {
  public:
    explicit recent_blocks(const pg::inventory &all) {
        const auto busy = [](const pg::stored_relation &r) { return r.of_users() && r.counters.blocks_fetched >= enough; };
        if (std::any_of(all.relations().begin(), all.relations().end(), busy))
            then_ = frame_of_last_hour();
    }
    static constexpr int64_t enough = 100000;

    std::pair<double, double> of(const pg::stored_relation &r) const {
        int64_t fetched = r.counters.blocks_fetched, hit = r.counters.blocks_hit;
        if (then_)
            if (const auto at = then_->objects.find(r.oid); at != then_->objects.end()) {
                const core::history_values &old = at->second;
                if (fetched >= old[object_fetched] && hit >= old[object_hit]) { // else somebody reset them
                    fetched -= old[object_fetched];
                    hit -= old[object_hit];
                }
            }
        return {static_cast<double>(fetched), static_cast<double>(hit)};
    }

  private:
    // A caller who may not read the history is told of the lifetime.
    static std::optional<frame> frame_of_last_hour() {
        if (!pg::scalar<bool>("SELECT pg_catalog.has_table_privilege('dbopt.history', 'SELECT')").value_or(false))
            return std::nullopt;
        return frame_before(3600, part::objects);
    }
    std::optional<frame> then_;
};

bool is_table(const pg::stored_relation &r) { return r.kind == 'r' || r.kind == 'm'; }

Oid own_schema() {
    return pg::scalar<Oid>("SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'dbopt'").value_or(InvalidOid);
}

} // namespace

void measure_tables(measurements &into) {
    const auto all = pg::current_inventory();
    const double vacuum_rows = setting("autovacuum_vacuum_threshold"), vacuum_part = setting("autovacuum_vacuum_scale_factor");
    const double analyze_rows = setting("autovacuum_analyze_threshold"), analyze_part = setting("autovacuum_analyze_scale_factor");
    const double freeze_max = setting("autovacuum_freeze_max_age");
    const Oid own = own_schema();
    const recent_blocks blocks(*all);
    found dead, never, stale, seq, cold, cold_indexes, off, overdue, unlogged;
    std::unordered_map<Oid, std::pair<double, double>> of_indexes; // table → blocks of its indexes
    double oldest = -1;
    Oid oldest_table = InvalidOid;
    for (const pg::stored_relation &r : all->relations()) {
        if (r.kind == 'i' && r.of_users() && r.counters.blocks_fetched > 0) {
            const auto [fetched, hit] = blocks.of(r);
            auto &sum = of_indexes[r.owner_table];
            sum.first += fetched;
            sum.second += hit;
        }
        if (static_cast<double>(r.frozen_age) > oldest) {
            oldest = static_cast<double>(r.frozen_age);
            oldest_table = r.oid;
        }
        if (!is_table(r) || !r.of_users() || r.schema == own)
            continue; // dbopt looks after its own
        const pg::relation_counters &c = r.counters;
        const double rows = std::max(r.tuples, 0.0), d = static_cast<double>(c.dead), m = static_cast<double>(c.modified);
        if (d > 10000 && d > 0.2 * (static_cast<double>(c.live) + d))
            dead.add(r.oid, d);
        if (r.tuples < 0 && c.live > 1000)
            never.add(r.oid, static_cast<double>(c.live));
        if (r.tuples >= 0 && m > 10000 && m > 2 * (analyze_rows + analyze_part * rows))
            stale.add(r.oid, m);
        if (r.kind == 'r' && c.scans > 50 && rows > 100000 && c.rows_read / c.scans > 50000)
            seq.add(r.oid, static_cast<double>(c.rows_read));
        if (const auto [fetched, hit] = blocks.of(r); fetched >= recent_blocks::enough && hit < 0.9 * fetched)
            cold.add(r.oid, fetched - hit);
        if (!r.autovacuum)
            off.add(r.oid, rows);
        if (d > 3 * (vacuum_rows + vacuum_part * rows))
            overdue.add(r.oid, d);
        if (r.persistence == 'u')
            unlogged.add(r.oid, r.pages);
    }
    for (const auto &[table, b] : of_indexes)
        if (b.first >= recent_blocks::enough && b.second < 0.9 * b.first)
            cold_indexes.add(table, b.first - b.second);
    into["tables_many_dead_rows"] = dead.result();
    into["tables_never_analyzed"] = never.result();
    into["tables_stale_statistics"] = stale.result();
    into["tables_seq_scanned"] = seq.result();
    into["tables_low_cache_hit"] = cold.result();
    into["indexes_low_cache_hit"] = cold_indexes.result();
    into["tables_autovacuum_off"] = off.result();
    into["tables_vacuum_overdue"] = overdue.result();
    into["tables_unlogged"] = unlogged.result();
    found oldest_one;
    if (oldest > freeze_max)
        oldest_one.add(oldest_table);
    into["table_freeze_pct"] = {100 * std::max(oldest, 0.0) / freeze_max,
                                oldest > freeze_max ? oldest_one.names() : "all tables are frozen in time"};
}

namespace {

// The columns of a foreign key must be the first ones of a whole and valid index, in any order.
bool serves(const pg::stored_index &i, const pg::stored_constraint &key) {
    if (i.partial || !i.valid || i.keys.size() < key.keys.size())
        return false;
    const auto end = i.keys.begin() + static_cast<std::ptrdiff_t>(key.keys.size());
    return std::all_of(key.keys.begin(), key.keys.end(), [&](int16_t k) { return std::find(i.keys.begin(), end, k) != end; });
}

// Of these, the ones that `condition` on the OID $1 holds for.
void keep_where(found &f, const char *condition) {
    std::erase_if(f.list, [&](const auto &o) {
        return !pg::scalar<bool>(std::string("SELECT ") + condition, {o.second}).value_or(false);
    });
}

measurement tables_without_key(const pg::inventory &all, const std::unordered_map<Oid, std::vector<const pg::stored_index *>> &of) {
    std::string list = "{";
    for (const pg::stored_relation &r : all.relations()) {
        if ((r.kind != 'r' && r.kind != 'p') || !r.of_users() || r.persistence != 'p' || r.is_partition)
            continue;
        const auto at = of.find(r.oid);
        if (at == of.end() || std::none_of(at->second.begin(), at->second.end(), [](const auto *i) { return i->primary; }))
            list += (list.size() > 1 ? "," : "") + std::to_string(r.oid);
    }
    found without;
    // Tables of extensions and of the standard's schema are nobody's to change.
    for (const pg::row &r : pg::query(
             "SELECT c.oid, c.reltuples::pg_catalog.float8 FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1::pg_catalog.oid[]) AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend p "
             "WHERE p.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND p.objid = c.oid AND p.deptype = 'e') "
             "AND c.relnamespace <> 'information_schema'::pg_catalog.regnamespace", {list + "}"}))
        without.add(r.get<Oid>(0), r.get<double>(1));
    return without.result();
}

} // namespace

void measure_indexes(measurements &into) {
    const auto all = pg::current_inventory();
    std::unordered_map<Oid, const pg::stored_relation *> relation;
    for (const pg::stored_relation &r : all->relations())
        if (r.of_users())
            relation.emplace(r.oid, &r);
    std::unordered_map<Oid, std::vector<const pg::stored_index *>> of; // table → indexes
    std::unordered_map<std::string_view, Oid> first;
    found invalid, duplicate, unused, many, keys, not_valid, disabled;
    double unused_bytes = 0, keys_without = 0;
    const Oid own = own_schema();
    for (const pg::stored_index &i : all->indexes()) {
        of[i.table].push_back(&i);
        if (const auto [at, fresh] = first.emplace(i.signature, i.oid); !fresh)
            duplicate.add(std::max(at->second, i.oid));
        const auto r = relation.find(i.oid);
        if (r == relation.end() || r->second->kind != 'i')
            continue;
        if (!i.valid)
            invalid.add(i.oid);
        else if (!i.unique && !i.exclusion && r->second->pages > 128 && r->second->counters.scans == 0) {
            unused.add(i.oid, r->second->pages);
            unused_bytes += 8192.0 * r->second->pages;
        }
    }
    for (const auto &[table, indexes] : of)
        if (const auto r = relation.find(table); indexes.size() > 10 && r != relation.end() &&
                                                 r->second->counters.inserted + r->second->counters.updated > 1000)
            many.add(table, static_cast<double>(indexes.size()));
    for (const pg::stored_constraint &c : all->constraints()) {
        if (!c.validated)
            not_valid.add(c.table);
        const auto at = of.find(c.table);
        const auto r = relation.find(c.table);
        if (r == relation.end() || r->second->schema == own)
            continue; // dbopt's own tables are no one else's to index
        if (c.foreign_key && (at == of.end() || std::none_of(at->second.begin(), at->second.end(), [&](const auto *i) { return serves(*i, c); }))) {
            ++keys_without;
            keys.add(c.table, r->second->pages);
        }
    }
    for (const pg::row &r : pg::query("SELECT DISTINCT tgrelid FROM pg_catalog.pg_trigger WHERE tgenabled = 'D' "
                                      "AND NOT tgisinternal AND tgrelid >= 16384"))
        disabled.add(r.get<Oid>(0));
    keep_where(invalid, "NOT EXISTS (SELECT FROM pg_catalog.pg_index i, pg_catalog.pg_stat_get_progress_info('CREATE INDEX') p "
                        "WHERE i.indexrelid = $1::pg_catalog.oid AND p.relid = i.indrelid)");
    std::sort(keys.list.begin(), keys.list.end());
    keys.list.erase(std::unique(keys.list.begin(), keys.list.end()), keys.list.end());
    into["indexes_invalid"] = invalid.result();
    into["indexes_duplicate"] = duplicate.result();
    into["indexes_unused_bytes"] = {unused_bytes, unused.names()};
    into["tables_many_indexes"] = many.result();
    into["foreign_keys_unindexed"] = {keys_without, keys.names()};
    into["tables_without_primary_key"] = tables_without_key(*all, of);
    into["constraints_not_validated"] = not_valid.result();
    into["triggers_disabled"] = disabled.result();
}

} // namespace dbopt::monitor
