// The swap of a drained or split partition, and what has to be looked at before it.
#include "partition/drain.hpp"
#include "partition/swapper.hpp"
#include "pg/query.hpp"
#include "pg/relation.hpp"
#include "pg/transaction.hpp"
#include <algorithm>

namespace dbopt::partition {

std::string gone_name(Oid source) { return "_dbopt_gone_" + std::to_string(source); }

opened::opened(Oid parent) : configs(load_sets(parent)) {
    if (configs.empty())
        pg::raise({.code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, .message = pg::qualified_name(parent) + " is not managed",
                   .hint = "SELECT * FROM dbopt.partition_manage(...) puts it under management."});
    tables = pg::read_partitions({parent}, {configs[0].unit});
    set.emplace(configs[0], tables[0]);
}

std::string inside(const open_set &s, const core::bounds &b) {
    const std::string column = pg::quote_identifier(s.table.key_column);
    std::string text;
    if (b.lower != core::minus_infinity)
        text += column + " >= " + s.literal(b.lower);
    if (b.upper != core::infinity)
        text += (text.empty() ? "" : " AND ") + column + " < " + s.literal(b.upper);
    return text.empty() ? "true" : text;
}

namespace {

// The default's constraint in the very form in which PostgreSQL writes it, so that it is recognised
// as proved and ATTACH … DEFAULT reads no row.
std::string outside_all(const open_set &s, std::vector<core::bounds> all) {
    std::sort(all.begin(), all.end());
    std::vector<std::string> parts;
    for (const core::bounds &b : all)
        parts.push_back("(" + inside(s, b) + ")");
    return "NOT (" + pg::quote_identifier(s.table.key_column) + " IS NOT NULL AND (" + join(parts, " OR ") + "))";
}


std::string wanted_outside(const open_set &s, const pg::partitioned_table &staging) {
    std::vector<core::bounds> all;
    for (const pg::partitioned_table *table : {const_cast<const pg::partitioned_table *>(&s.table), &staging})
        for (const pg::partition_entry &e : table->partitions)
            all.push_back(e.range);
    return outside_all(s, std::move(all));
}

bool overlap(const core::bounds &a, const core::bounds &b) { return a.lower < b.upper && b.lower < a.upper; }

// Whether these partitions hold every key of the range.
bool covered(core::bounds range, std::vector<pg::partition_entry> parts) {
    std::sort(parts.begin(), parts.end(), [](const auto &a, const auto &b) { return a.range < b.range; });
    for (const pg::partition_entry &e : parts)
        if (e.range.lower <= range.lower && range.lower < e.range.upper)
            range.lower = e.range.upper;
    return range.lower >= range.upper;
}

// The text from which the new default's constraint was made is its comment.
std::string bound_of_default(const pg::partitioned_table &staging) {
    return pg::scalar<std::string>("SELECT obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE conrelid = $1 AND conname = '_dbopt_bound'",
                                   {staging.default_partition.relation}).value_or("");
}

bool fits(const open_set &s, const pg::partitioned_table &staging) {
    for (const pg::partition_entry &leaf : staging.partitions)
        for (const pg::partition_entry &e : s.table.partitions)
            if (overlap(leaf.range, e.range))
                return false;
    return !staging.has_default || bound_of_default(staging) == wanted_outside(s, staging);
}

// The new default gets name and belongings of the old one, whose name is gone_name() by now.
void take_place(const swapper &own, Oid fresh, const std::string &name) {
    pg::query("ALTER TABLE " + pg::qualified_name(fresh) + " RENAME TO " + pg::quote_identifier(name));
    copy_rights(own.w.source, fresh);
    for (const pg::row r : pg::query("SELECT quote_ident(polname) FROM pg_policy WHERE polrelid = $1", {fresh}))
        pg::query("DROP POLICY " + r.get<std::string>(0) + " ON " + pg::qualified_name(fresh));
    const auto comment = pg::scalar<std::string>("SELECT obj_description($1, 'pg_class')", {own.w.source});
    pg::query("COMMENT ON TABLE " + pg::qualified_name(fresh) + " IS " + (comment ? pg::quote_literal(*comment) : "NULL"));
    for (const std::string &command : own.later)
        pg::query(command);
}

} // namespace

swap_result swap_once(const work &w, open_set &s) {
    const pg::as_owner owner(s.table.owner);
    const std::string parent = s.parent_name(), old_default = pg::qualified_name(w.source);
    pg::query("LOCK TABLE ONLY " + parent + " IN ACCESS EXCLUSIVE MODE");
    pg::query("LOCK TABLE ONLY " + old_default + " IN ACCESS EXCLUSIVE MODE");
    if (waiting_changes(w) > 0)
        return swap_result::changes;
    pg::partitioned_table staging = pg::read_partitions({w.staging}, {w.set.unit})[0];
    if (w.kind == "drain" && !fits(s, staging))
        return swap_result::misfit;
    work noted = w;
    swapper own{noted, pg::get_relation(w.source), pg::get_relation(w.staging), gone_name(w.source)};
    if (staging.has_default)
        own.collect(); // triggers, policies, publications, views of the old default partition
    const std::string staged = pg::qualified_name(w.staging), name = pg::get_relation(w.source).name;
    remove_capture(w.source);
    pg::query("ALTER TABLE " + parent + " DETACH PARTITION " + old_default);
    const auto move = [&](const pg::partition_entry &e, const std::string &bound) {
        const std::string leaf = pg::qualified_name(e.relation);
        pg::query("ALTER TABLE " + staged + " DETACH PARTITION " + leaf);
        add_trusted_keys(e.relation, outgoing_keys(w.parent));
        pg::query("ALTER TABLE " + parent + " ATTACH PARTITION " + leaf + " " + bound);
    };
    for (const pg::partition_entry &e : staging.partitions)
        move(e, s.bound_clause(e.range));
    if (staging.has_default)
        move(staging.default_partition, "DEFAULT");
    // Its files go later: removing gigabytes is no work to do while others wait.
    pg::query("ALTER TABLE " + old_default + " RENAME TO " + gone_name(w.source));
    if (staging.has_default)
        take_place(own, staging.default_partition.relation, name);
    pg::query("DROP TABLE " + staged);
    if (staging.has_default)
        own.run_privileged();
    return swap_result::done;
}

set_config like_partition(const set_config &of_parent, Oid partition, bool is_default) {
    set_config alike = of_parent;
    const auto made_like = alike.template_table != InvalidOid ? pg::find_relation(alike.template_table) : std::nullopt;
    if (is_default || alike.template_table == InvalidOid || (made_like && made_like->kind == 'p')) // rows are copied into plain tables
        alike.template_table = partition;
    return alike;
}

void build_own_indexes(const work &w) {
    const opened o(w.parent);
    const pg::partitioned_table staging = pg::read_partitions({w.staging}, {w.set.unit})[0];
    std::vector<pg::partition_entry> leaves = staging.partitions;
    if (staging.has_default)
        leaves.push_back(staging.default_partition);
    for (const pg::partition_entry &leaf : leaves) {
        const set_config alike = like_partition(*o.configs.begin(), w.source, leaf.is_default);
        {
            const pg::as_owner owner(staging.owner);
            const bool built = pg::scalar<bool>("SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = $1 AND NOT EXISTS "
                                                "(SELECT FROM pg_inherits WHERE inhrelid = indexrelid))", {leaf.relation}).value_or(true);
            const recipe r = make_recipe(open_set(alike, o.set->table), leaf.is_default ? nullptr : &leaf.range);
            const std::string name = pg::qualified_name(leaf.relation);
            if (!built)
                for (std::string command : r.own_indexes) {
                    const size_t at = command.find(r.name); // after ON or ALTER TABLE: the first name in it
                    pg::query(command.replace(at, r.name.size(), name));
                }
        }
        pg::commit_and_restart();
    }
}

void fit_to_parent(work &w) {
    if (w.kind != "drain")
        return;
    const opened o(w.parent);
    const pg::partitioned_table staging = pg::read_partitions({w.staging}, {w.set.unit})[0];
    if (!fits(*o.set, staging)) {
        const pg::as_owner owner(o.tables[0].owner);
        pg::partitioned_table rest = staging;
        rest.partitions.clear();
        for (const pg::partition_entry &leaf : staging.partitions) {
            const auto in_the_way = std::find_if(o.tables[0].partitions.begin(), o.tables[0].partitions.end(),
                                                 [&](const auto &e) { return overlap(e.range, leaf.range); });
            if (in_the_way == o.tables[0].partitions.end()) {
                rest.partitions.push_back(leaf);
                continue;
            }
            // The default cannot hold rows of a range that has its partition by now.
            const std::string name = pg::qualified_name(leaf.relation);
            if (!covered(leaf.range, o.tables[0].partitions) || pg::scalar<bool>("SELECT EXISTS (SELECT FROM " + name + ")").value_or(true))
                pg::raise({.code = ERRCODE_OBJECT_IN_USE,
                           .message = pg::qualified_name(in_the_way->relation) + " was attached while the default partition was drained, and overlaps with " + name,
                           .hint = "CALL dbopt.partition_convert_abort(" + pg::quote_literal(pg::qualified_name(w.source)) + ") and drain again."});
            pg::query("DROP TABLE " + name);
        }
        const std::string bound = wanted_outside(*o.set, rest), name = pg::qualified_name(staging.default_partition.relation);
        pg::query("ALTER TABLE " + name + " DROP CONSTRAINT IF EXISTS _dbopt_bound, ADD CONSTRAINT _dbopt_bound CHECK (" + bound + ")");
        pg::query("COMMENT ON CONSTRAINT _dbopt_bound ON " + name + " IS " + pg::quote_literal(bound));
    }
    pg::commit_and_restart();
}

} // namespace dbopt::partition
