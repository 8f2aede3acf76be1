// Adoption in place: the table becomes the first partition of a new partitioned one; no row moves.
//
// All its rows must lie below a bound. That is proved without keeping anyone waiting: from one moment
// on a trigger notes rows at or above the bound, a scan after that moment finds none, and if the
// trigger has noted nothing when the lock is held, the CHECK of the bound holds for every row. It is
// then marked as checked, which is what VALIDATE would find. If rows came in, the next try takes a
// higher bound. (A CHECK added beforehand would have refused such rows to the application.)
//
// Unique keys without the partition key get their longer form beforehand, by CREATE UNIQUE INDEX
// CONCURRENTLY in a worker. Afterwards a worker splits the partition (drain.cpp).
#include "partition/safety.hpp"
#include "partition/swapper.hpp"
#include "pg/pause.hpp"
#include "pg/query.hpp"
#include "pg/queue.hpp"
#include "pg/transaction.hpp"
#include <algorithm>

namespace dbopt::partition {

namespace {

constexpr int64_t hold_ms = 15;
constexpr int partitions_ahead = 3;

std::string key_of(const std::string &column) { return pg::quote_identifier(column); }

// The bound below which every row lies, and no row of the near future if possible.
core::position bound_above(const open_set &s, const convert_options &o) {
    const std::string column = key_of(o.key_column), table = pg::qualified_name(o.source);
    const Oid type = s.table.key_type;
    if ((type == TIMESTAMPTZOID || type == TIMESTAMPOID || type == DATEOID) &&
        pg::scalar<bool>("SELECT EXISTS (SELECT FROM ONLY " + table + " WHERE " + column + " = 'infinity')").value_or(false))
        pg::raise({.code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, .message = table + " holds rows at infinity: no bound is above them",
                   .hint = "Use method => 'split', which puts them into a default partition."});
    const pg::result found = pg::query("SELECT " + extreme_key(table, column, true));
    const bool ids = s.config.unit == core::key_unit::id;
    core::position high = ids ? 0 : current_position(s), limit = high;
    for (int i = 0; i < 3; ++i)
        limit = s.calendar.next(limit);
    if (!found[0].null(0)) {
        const core::position greatest = pg::key_position(found[0].datum(0), type, s.config.unit);
        if (!ids && greatest >= limit)
            pg::raise({.code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                       .message = table + " holds rows as far ahead as " + s.text(greatest) + ": all rows until then would go into the old partition",
                       .hint = "Use method => 'split'."});
        high = std::max(high, greatest);
    }
    core::position next = s.calendar.next(high);
    if (ids) // they come in meanwhile
        next = s.calendar.next(next);
    if (next >= rules_of(s).highest)
        pg::raise({.code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, .message = table + " holds keys at the end of what their type can hold: no bound is above them",
                   .hint = "Use method => 'split', which puts them into a default partition."});
    return next;
}

// Indexes that a partition of the new table must have and the source has not: the longer form of
// unique keys that lack the partition key. Name, and the command that makes it.
std::vector<std::pair<std::string, std::string>> missing_indexes(const work &w) {
    std::vector<std::pair<std::string, std::string>> all;
    for (const pg::row r : pg::query(
             "SELECT '_dbopt_own_' || i.indexrelid, CASE WHEN c.contype = 'p' THEN format('CREATE UNIQUE INDEX CONCURRENTLY _dbopt_own_%s ON %I.%I (%s, %I)', "
             "i.indexrelid, n.nspname, r.relname, (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.n) FROM unnest(i.indkey) WITH ORDINALITY k(att, n), pg_attribute a "
             "WHERE a.attrelid = $1 AND a.attnum = k.att AND k.n <= i.indnkeyatts), $2::text) "
             "ELSE format('CREATE INDEX CONCURRENTLY _dbopt_own_%s ON %I.%I', i.indexrelid, n.nspname, r.relname) || substr(pg_get_indexdef(i.indexrelid), "
             "length(format('CREATE UNIQUE INDEX %I ON %I.%I', x.relname, n.nspname, r.relname)) + 1) END "
             "FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class r ON r.oid = i.indrelid JOIN pg_namespace n ON n.oid = r.relnamespace "
             "LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.conrelid = i.indrelid AND c.contype IN ('p', 'u') "
             "WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND x.relname NOT LIKE '\\_dbopt\\_own\\_%' "
             "AND NOT EXISTS (SELECT FROM unnest(i.indkey[0:i.indnkeyatts-1]) k(att), pg_attribute a WHERE a.attrelid = $1 AND a.attnum = k.att AND a.attname = $2)",
             {w.source, w.key_column}))
        all.emplace_back(r.get<std::string>(0), r.get<std::string>(1));
    return all;
}

} // namespace

std::vector<std::string> own_indexes(Oid source) {
    std::vector<std::string> all;
    for (const pg::row r : pg::query("SELECT indexrelid::oid FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = $1 "
                                     "AND relname LIKE '\\_dbopt\\_own\\_%'", {source}))
        all.push_back(pg::qualified_name(r.get<Oid>(0)));
    return all;
}

void prepare_adoption(const convert_options &o) {
    begin_work(o, "adopt", "index", "preparing indexes", [&](work &w, const open_set &s) {
        const core::position bound = bound_above(s, o);
        core::position from = bound;
        for (int i = 0; i < partitions_ahead && from < rules_of(s).highest; ++i) {
            const core::bounds b{from, std::min(s.calendar.next(from), rules_of(s).highest)};
            make_partition(s, o.source, &b);
            from = b.upper;
        }
        make_partition(s, o.source, nullptr);
        while (build_next_index(w)) {
        }
        install_capture(w, "NEW." + key_of(o.key_column) + " >= " + s.literal(bound));
    });
}

namespace {

// The old table ends where the first of the new partitions begins.
core::bounds adopted_range(const work &w) {
    const pg::partitioned_table t = pg::read_partitions({w.staging}, {w.set.unit})[0];
    core::bounds b{core::minus_infinity, core::infinity};
    for (const pg::partition_entry &e : t.partitions)
        b.upper = std::min(b.upper, e.range.lower);
    return b;
}

void build_own_indexes(const work &w) {
    for (const auto &[name, command] : missing_indexes(w)) {
        const auto valid = pg::scalar<bool>("SELECT indisvalid FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = $1 AND relname = $2",
                                            {w.source, name});
        if (valid && *valid)
            continue;
        const Oid owner = pg::owner_of(w.source);
        if (!pg::workers_available())
            pg::raise({.code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                       .message = "a unique key lacks the partition key, and its longer form can only be built by a worker",
                       .detail = command, .hint = "Add dbopt to shared_preload_libraries, or use method => 'split'."});
        if (pg::area_paused("partition"))
            pg::raise({.code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                       .message = "a worker has to build an index, and background work of partitions is paused",
                       .detail = command, .hint = "SELECT dbopt.resume('partition'), then call again to go on."});
        const std::string drop = "DROP INDEX CONCURRENTLY IF EXISTS " + pg::quote_identifier(pg::get_relation(w.source).schema) + "." + name;
        for (const std::string &sql : valid ? std::vector<std::string>{drop, command} : std::vector<std::string>{command}) {
            const int64_t run = pg::enqueue({.area = "partition", .command = sql, .object = w.source,
                                             .run_as = pg::can_run_as(owner) ? owner : extension_owner(), .priority = 10});
            const auto over = pg::wait_for_run(run, -1);
            if (!over || over->status != "done")
                pg::raise({.code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                           .message = "an index could not be built: " + (over ? over->message : "its run is gone"),
                           .detail = sql, .hint = "Call again to go on, or CALL dbopt.partition_convert_abort."});
        }
    }
}

// Old keys without the partition key make way for the longer ones, within the partition.
void exchange_indexes(const work &w, const swapper &s) {
    const std::string table = s.old_qualified(), schema = pg::quote_identifier(s.old_table.schema) + ".";
    for (const auto &[name, command] : missing_indexes(w)) {
        const pg::result found = pg::query(
            "SELECT x.relname::text, c.contype::text FROM pg_class x LEFT JOIN pg_constraint c ON c.conindid = x.oid AND c.conrelid = $2 "
            "AND c.contype IN ('p', 'u') WHERE '_dbopt_own_' || x.oid = $1 AND x.relkind = 'i'", {name, w.source});
        const std::string kind = found[0].get_or<std::string>(1, "i"), old = pg::quote_identifier(found[0].get<std::string>(0));
        std::string note;
        const std::string fresh = pg::quote_identifier(free_name(s.old_table.schema_oid, s.old_name, kind == "p" ? "_pkey" : "_idx", note));
        pg::query(kind == "i" ? "DROP INDEX " + schema + old : "ALTER TABLE " + table + " DROP CONSTRAINT " + old);
        if (kind == "p")
            pg::query("ALTER TABLE " + table + " ADD CONSTRAINT " + fresh + " PRIMARY KEY USING INDEX " + name);
        else
            pg::query("ALTER INDEX " + schema + name + " RENAME TO " + fresh);
    }
}

void swap_adopted(work &w) {
    swapper s{w, pg::get_relation(w.source), pg::get_relation(w.staging), ""};
    s.away = "_adopted";
    std::string note;
    s.old_name = free_name(s.old_table.schema_oid, s.old_table.name, s.away, note);
    s.incoming_keys();
    {
        const pg::as_owner owner(s.old_table.owner);
        pg::partitioned_table table = pg::describe_partitioned(w.staging);
        const open_set set(w.set, table);
        const core::bounds range = adopted_range(w);
        s.collect();
        const auto keys = outgoing_keys(w.source);
        remove_capture(w.source);
        pg::query("ALTER TABLE " + s.final_name() + " ADD CONSTRAINT _dbopt_bound CHECK (" + key_of(w.key_column) + " < " +
                  set.literal(range.upper) + ") NOT VALID");
        trust_constraint(w.source, "_dbopt_bound", 'c');
        for (const std::string &trigger : s.triggers) // they come back with the parent's
            pg::query("DROP TRIGGER " + trigger + " ON " + s.final_name());
        for (const std::string &rule : s.rules)
            pg::query("DROP RULE " + rule + " ON " + s.final_name());
        s.rename();
        s.sequences(true);
        exchange_indexes(w, s);
        add_unproven_keys(w.staging, unproven_keys(w.source)); // the partitions to come; the old table keeps its own
        for (const auto &[name, definition] : keys)
            pg::query("ALTER TABLE " + s.final_name() + " ADD CONSTRAINT " + name + " " + definition);
        pg::query("ALTER TABLE " + s.final_name() + " ATTACH PARTITION " + s.old_qualified() + " " + set.bound_clause(range));
        pg::query("ALTER TABLE " + s.old_qualified() + " DROP CONSTRAINT _dbopt_bound");
        pg::query("SELECT dbopt._partition_replica_identity($1::regclass, $2::oid::regclass)", {s.final_name(), w.source});
        s.take_over();
    }
    s.finish("done; the old rows are in partition ");
}

// No row at or above the bound, as of now; the trigger has watched since before.
bool below_bound(const work &w) {
    const pg::as_owner owner(pg::owner_of(w.source));
    pg::partitioned_table table = pg::describe_partitioned(w.staging);
    const open_set s(w.set, table);
    return !pg::scalar<bool>("SELECT EXISTS (SELECT FROM ONLY " + pg::qualified_name(w.source) + " WHERE " + key_of(w.key_column) + " >= " +
                             s.literal(adopted_range(w).upper) + ")").value_or(true);
}

void start_split(const work &w) {
    const std::string name = pg::qualified_name(w.source), command = "CALL dbopt.partition_split(" + pg::quote_literal(name) + ")";
    if (!pg::workers_available()) {
        pg::notice("no worker is there to split " + name + ": " + command);
        return;
    }
    const Oid owner = pg::owner_of(w.source);
    const pg::as_owner writer(extension_owner());
    (void)pg::enqueue({.area = "partition", .command = command, .object = w.source,
                       .run_as = pg::can_run_as(owner) ? owner : extension_owner()});
}

enum class attempt { done, busy, above };

attempt try_adoption(work &w, int64_t max_lock_ms, int &too_long) {
    attempt outcome = below_bound(w) ? attempt::busy : attempt::above;
    pg::commit_and_restart();
    if (outcome == attempt::above)
        return outcome;
    const bool tried = try_briefly([&] {
        pg::query("LOCK TABLE ONLY " + pg::qualified_name(w.source) + " IN ACCESS EXCLUSIVE MODE");
        const int64_t began = pg::clock().us;
        if (waiting_changes(w) > 0) {
            outcome = attempt::above;
            return;
        }
        if (align_rights(w))
            return; // busy: the next try swaps
        refuse_if_altered(w);
        work swapped = w;
        swap_adopted(swapped);
        const int64_t took = (pg::clock().us - began) / 1000;
        if (took > max_lock_ms)
            missed(too_long, took, max_lock_ms);
        pg::log("dbopt: adoption", "the lock was held for " + std::to_string(took) + " ms");
        outcome = attempt::done;
    }, hold_ms);
    pg::commit_and_restart();
    return tried ? outcome : attempt::busy;
}

} // namespace

void adopt(work &w, const convert_options &o) {
    int too_long = 0;
    for (int64_t rest = 20; w.phase != "done"; rest = std::min<int64_t>(rest * 2, 500)) {
        build_own_indexes(w);
        switch (try_adoption(w, o.max_lock_ms, too_long)) {
        case attempt::done:
            w.phase = "done";
            break;
        case attempt::above: // rows came in above the bound: again, with a higher one
            while (!try_briefly([&] {
                undo_preparation(w);
                prepare_adoption(o);
            })) {
                pg::commit_and_restart();
                pg::pause(200);
            }
            pg::commit_and_restart();
            w = *load_work(o.source);
            break;
        case attempt::busy:
            store_work(w, "waiting for a calm moment to swap");
            pg::commit_and_restart();
            pg::pause(rest);
        }
    }
    start_split(w);
    pg::commit_and_restart();
}

} // namespace dbopt::partition
