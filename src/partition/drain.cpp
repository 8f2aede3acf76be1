// Rows leave the default partition without ever being hidden: they are copied beside, into the
// partitions they belong to and a new default, and one short transaction swaps the metadata.
//
// A row that an older snapshot saw in the default is seen by it in the copy as well, because the
// swap waits until no snapshot is left that is older than the copy, and needs an empty log.
#include "partition/drain.hpp"
#include "partition/safety.hpp"
#include "pg/pause.hpp"
#include "pg/query.hpp"
#include "pg/relation.hpp"
#include "pg/transaction.hpp"
#include <algorithm>

namespace dbopt::partition {

namespace {

constexpr int64_t hold_ms = 15;

// Ranges without a partition that hold rows of the default, up to three steps ahead of now; what lies
// further, and infinite times, stay where they are.
std::vector<core::bounds> ranges_to_make(open_set &s, size_t most = 1000) {
    std::vector<pg::partition_entry> parts = s.table.partitions;
    std::sort(parts.begin(), parts.end(), [](const auto &a, const auto &b) { return a.range < b.range; });
    s.now = current_position(s);
    const core::partition_rules rules = rules_of(s);
    core::position end = s.now;
    for (int i = 0; i <= s.config.premake; ++i)
        end = s.calendar.next(end);
    const std::string column = pg::quote_identifier(s.table.key_column);
    const std::string name = pg::qualified_name(s.table.default_partition.relation);
    std::vector<core::bounds> found;
    const pg::as_owner owner(s.table.owner); // planning folds the expressions of indexes
    core::position from = rules.cutoff ? s.calendar.floor(*rules.cutoff) : core::minus_infinity;
    if (s.config.unit == core::key_unit::id) // ids past the highest partition are new ones, too
        end = core::infinity;
    while (found.size() < most) {
        std::string where = finite_only(column, s.table.key_type);
        if (from != core::minus_infinity)
            where += " AND " + column + " >= " + s.literal(from);
        if (end != core::infinity)
            where += " AND " + column + " < " + s.literal(end);
        const pg::result least = pg::query("SELECT " + extreme_key(name, column, false, where));
        if (least[0].null(0))
            break;
        const core::position p = pg::key_position(least[0].datum(0), s.table.key_type, s.config.unit);
        core::bounds b{s.calendar.floor(p), s.calendar.next(p)};
        for (const pg::partition_entry &e : parts) { // only the part that is free
            if (e.range.upper <= p)
                b.lower = std::max(b.lower, e.range.upper);
            else if (e.range.lower > p)
                b.upper = std::min(b.upper, e.range.lower);
        }
        found.push_back(b);
        from = b.upper;
    }
    return found;
}

void refuse_what_cannot_be(const open_set &s, const pg::partition_entry &from) {
    const std::string name = pg::qualified_name(from.relation);
    const auto no = [&](std::string why, std::string hint) {
        pg::raise({.code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                   .message = name + " cannot be " + (from.is_default ? "drained" : "split"), .detail = std::move(why),
                   .hint = std::move(hint)});
    };
    if (s.table.key_column.empty())
        no("The partition key is an expression.", "Detach the default partition, insert its rows again, and drop it.");
    if (from.kind != 'r')
        no("It is not a plain table.", "Detach it and move its rows by hand.");
    if (hides_rows_from_owner(from.relation))
        no("Its row-level security is forced: the owner, with whose rights rows are moved, may not see all of them.",
           "ALTER TABLE " + name + " NO FORCE ROW LEVEL SECURITY, for the time.");
    if (from.owner != s.table.owner)
        no("It belongs to another role than its parent.", "ALTER TABLE " + name + " OWNER TO " + pg::quote_identifier(pg::role_name(s.table.owner)));
    for (const plan_row &r : dependents_of(from.relation, false))
        if (r.kind == "obstacle" && !r.command.starts_with("ALTER PUBLICATION"))
            no(r.item + " " + r.detail, r.command);
    if (const auto rule = pg::scalar<std::string>("SELECT quote_ident(rulename) FROM pg_rewrite WHERE ev_class = $1", {from.relation}))
        no(*rule + " is a rule of it.", "Drop the rule, and make it again on the parent.");
    if (const auto key = pg::scalar<std::string>("SELECT format('%s of %s', quote_ident(conname), conrelid::regclass) FROM pg_constraint "
                                                 "WHERE confrelid IN ($1, $2) AND contype = 'f' AND conparentid = 0", {s.table.relation, from.relation}))
        no("Foreign key " + *key + " refers to the table, and PostgreSQL detaches no partition that is referred to.",
           "Drop the foreign key, drain, and add it again.");
    if (const std::vector<std::string> names = publications_of_new_tables(from.schema); !names.empty())
        no("Publication " + join(names, ", ") + " sends every new table here to subscribers, which have no such tables.",
           "Name the tables in the publication, for the time, instead of ALL TABLES or TABLES IN SCHEMA.");
}

void prepare(open_set &s, const pg::partition_entry &from, const std::vector<core::bounds> &ranges) {
    work w;
    w.source = from.relation;
    w.kind = from.is_default ? "drain" : "split";
    w.phase = "copy";
    w.parent = s.table.relation;
    w.key_column = s.table.key_column;
    w.step = s.config.step;
    w.set = s.config;
    {
        const pg::as_owner owner(s.table.owner);
        const work_names names(w.source, from.schema);
        pg::query("CREATE TABLE " + names.staging + " (LIKE " + s.parent_name() + " INCLUDING ALL EXCLUDING INDEXES EXCLUDING IDENTITY) "
                  "PARTITION BY " + *pg::scalar<std::string>("SELECT pg_get_partkeydef($1)", {s.table.relation}));
        w.staging = *pg::scalar<Oid>("SELECT $1::regclass::oid", {names.staging});
        // What belongs to the partition and not to its parent goes over to those that take its place.
        const set_config alike = like_partition(s.config, from.relation, false), own = like_partition(s.config, from.relation, from.is_default);
        pg::partitioned_table there = s.table; // the new default has the schema of the old one
        if (from.is_default)
            there.schema = from.schema;
        const open_set recipes(alike, s.table), at_home(own, there);
        const auto make = [&](const core::bounds *range) {
            const recipe r = make_recipe(range != nullptr ? recipes : at_home, range);
            for (const std::string &command : r.before_attach) // indexes when it is filled
                if (std::find(r.own_indexes.begin(), r.own_indexes.end(), command) == r.own_indexes.end())
                    pg::query(command);
            if (range != nullptr)
                pg::query("ALTER TABLE " + r.name + " ADD CONSTRAINT _dbopt_bound CHECK (" + pg::quote_identifier(s.table.key_column) +
                          " IS NOT NULL AND " + inside(s, *range) + ")");
            else
                copy_rights(from.relation, *pg::scalar<Oid>("SELECT $1::regclass::oid", {r.name}));
            pg::query("ALTER TABLE " + names.staging + " ATTACH PARTITION " + r.name + " " +
                      (range != nullptr ? s.bound_clause(*range) : "DEFAULT"));
        };
        for (const core::bounds &b : ranges)
            make(&b);
        if (from.is_default)
            make(nullptr);
        install_capture(w);
    }
    store_work(w, "copying");
}

// What is under way for a relation, unless it is the finished conversion that it came from.
bool unfinished(Oid source) {
    const std::optional<work> w = load_work(source);
    if (w && w->phase == "done")
        forget_work(source);
    return w && w->phase != "done";
}

// The range of a partition cut into steps; the first piece reaches as far down as the partition.
std::vector<core::bounds> pieces(const open_set &s, const pg::partition_entry &e) {
    const std::string column = pg::quote_identifier(s.table.key_column);
    const pg::as_owner owner(s.table.owner);
    const std::string name = pg::qualified_name(e.relation), finite = finite_only(column, s.table.key_type);
    const pg::result ends = pg::query("SELECT " + extreme_key(name, column, false, finite) + ", " + extreme_key(name, column, true, finite));
    if (ends[0].null(0))
        return {e.range};
    const core::position low = pg::key_position(ends[0].datum(0), s.table.key_type, s.config.unit);
    const core::position high = pg::key_position(ends[0].datum(1), s.table.key_type, s.config.unit);
    const core::position to = e.range.upper != core::infinity ? e.range.upper : s.calendar.next(high);
    std::vector<core::bounds> all = core::cut(s.calendar, std::max(s.calendar.floor(low), e.range.lower), to, 2000);
    if (all.empty())
        pg::raise({.code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, .message = pg::qualified_name(e.relation) + " would become more than 2000 partitions",
                   .hint = "Choose a longer step."});
    all.front().lower = e.range.lower;
    all.back().upper = e.range.upper;
    return all;
}

template <class F> void insist(Oid parent, F &&f) {
    pg::set_local("synchronous_commit", "off"); // what is lost is done again
    const int64_t deadline = pg::clock().us + int64_t{config.lock_wait_s} * core::us_per_second;
    for (int64_t pause = 50; !try_briefly(f); pause = std::min<int64_t>(pause * 2, 500)) {
        pg::commit_and_restart();
        if (pg::clock().us > deadline)
            pg::raise({.code = ERRCODE_LOCK_NOT_AVAILABLE,
                       .message = "no lock on " + pg::qualified_name(parent) + " within dbopt.partition_lock_wait",
                       .hint = "Another transaction holds it: see dbopt.blocking. Call again to go on."});
        pg::pause(pause);
    }
    pg::commit_and_restart();
}

// The constraints that spared ATTACH its scans; the partition bound says the same.
void drop_helpers(Oid parent) {
    const pg::result left = pg::query("SELECT conrelid::oid FROM pg_constraint JOIN pg_inherits ON inhrelid = conrelid "
                                      "WHERE inhparent = $1 AND contype = 'c' AND conname = '_dbopt_bound' AND conislocal", {parent});
    std::vector<Oid> leaves;
    for (const pg::row r : left)
        leaves.push_back(r.get<Oid>(0));
    for (const Oid leaf : leaves) {
        for (int tries = 0; tries < 20; ++tries) {
            const bool done = try_briefly([&] {
                if (!pg::find_relation(leaf))
                    return;
                const pg::as_owner owner(pg::owner_of(leaf));
                pg::query("ALTER TABLE " + pg::qualified_name(leaf) + " DROP CONSTRAINT _dbopt_bound");
            }, hold_ms);
            pg::commit_and_restart();
            if (done)
                break;
            pg::pause(50);
        }
    }
}

// What a swap has left: the old partition, empty of meaning by now.
void remove_old(Oid parent) {
    std::vector<Oid> gone;
    {
        const pg::as_owner reader(extension_owner());
        for (const pg::row r : pg::query("SELECT source::oid FROM dbopt.partition_work WHERE parent = $1 AND phase = 'drop'", {parent}))
            gone.push_back(r.get<Oid>(0));
    }
    for (const Oid source : gone)
        insist(parent, [&] {
            if (pg::find_relation(source) && pg::get_relation(source).name == gone_name(source)) {
                const pg::as_owner owner(pg::owner_of(source));
                pg::query("DROP TABLE " + pg::qualified_name(source));
            }
            forget_work(source);
        });
}

void move_rows(Oid parent, Oid source, int64_t batch_rows) {
    work w = *load_work(source);
    copy_and_prove(w, std::max<int64_t>(64, batch_rows / 50));
    int64_t longest = 50;
    for (bool swapped = false; !swapped;) {
        build_own_indexes(w);
        fit_to_parent(w);
        swap_at_a_calm_moment(w, hold_ms, [&] {
            opened o(parent);
            const int64_t began = pg::clock().us;
            const swap_result result = swap_once(w, *o.set);
            if (result == swap_result::changes)
                return false;
            if (result == swap_result::misfit) // partitions came or went: nothing is swapped, look anew
                return true;
            // A loaded machine: rather another try than a long wait for everybody, but not for ever.
            const int64_t took = (pg::clock().us - began) / 1000;
            if (took > longest)
                longest *= 2, pg::raise({.code = ERRCODE_LOCK_NOT_AVAILABLE, .message = "the swap took " + std::to_string(took) + " ms"});
            work after = w;
            after.phase = "drop";
            store_work(after, "swapped; the old partition is removed next");
            return swapped = true;
        });
    }
    remove_old(parent);
    drop_helpers(parent);
}

} // namespace

bool anything_to_drain(open_set &s) { return s.table.key_column.empty() || !ranges_to_make(s, 1).empty(); }

void drain_default(Oid parent, int64_t batch_rows) {
    pg::require_owner(parent);
    const pg::work_lock lock(work_kind, parent);
    refuse_if_busy(lock, parent);
    remove_old(parent);
    Oid source = InvalidOid;
    {
        opened o(parent);
        if (!o.tables[0].has_default)
            return;
        source = o.tables[0].default_partition.relation;
        if (!load_work(source)) {
            refuse_what_cannot_be(*o.set, o.tables[0].default_partition);
            const std::vector<core::bounds> ranges = ranges_to_make(*o.set);
            if (ranges.empty()) {
                pg::notice("the default partition of " + pg::qualified_name(parent) + " holds no row that belongs to a partition");
                return;
            }
            insist(parent, [&] {
                opened again(parent);
                prepare(*again.set, again.tables[0].default_partition, ranges);
            });
        }
    }
    move_rows(parent, source, batch_rows);
}

void split_partition(Oid partition, int64_t batch_rows) {
    pg::require_owner(partition);
    const auto parent = pg::scalar<Oid>("SELECT inhparent FROM pg_inherits WHERE inhrelid = $1 AND NOT inhdetachpending", {partition});
    if (!parent)
        pg::raise({.code = ERRCODE_WRONG_OBJECT_TYPE, .message = pg::qualified_name(partition) + " is not a partition",
                   .hint = "dbopt.partitions lists the partitions of managed tables."});
    pg::require_owner(*parent);
    const pg::work_lock lock(work_kind, *parent);
    refuse_if_busy(lock, *parent);
    remove_old(*parent);
    if (!unfinished(partition)) {
        opened o(*parent);
        const pg::partition_entry *entry = o.find(partition);
        if (entry == nullptr)
            pg::raise({.code = ERRCODE_WRONG_OBJECT_TYPE, .message = pg::qualified_name(partition) + " is the default partition",
                       .hint = "CALL dbopt.partition_drain_default(" + pg::quote_literal(o.set->parent_name()) + ")"});
        refuse_what_cannot_be(*o.set, *entry);
        const std::vector<core::bounds> ranges = pieces(*o.set, *entry);
        if (ranges.size() < 2 && ranges[0] == entry->range) {
            pg::notice(pg::qualified_name(partition) + " is no longer than one step");
            return;
        }
        insist(*parent, [&] {
            opened again(*parent);
            prepare(*again.set, *again.find(partition), ranges);
        });
    }
    move_rows(*parent, partition, batch_rows);
}

} // namespace dbopt::partition
