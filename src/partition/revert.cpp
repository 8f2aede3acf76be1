// Back to the plain table, after the swap of a conversion and for as long as its old table is kept.
//
// The old table holds what there was at the swap. From one moment on a trigger on the partitioned
// table notes what changes; a join of both tables then finds the rows that differ; they are applied
// as the changes of a conversion are, the contents are proved equal, and a short swap gives the old
// table its name back. None of it costs anything before it is asked for.
#include "partition/safety.hpp"
#include "partition/swapper.hpp"
#include "pg/bulk_copy.hpp"
#include "pg/pause.hpp"
#include "pg/query.hpp"
#include "pg/transaction.hpp"
#include <algorithm>

namespace dbopt::partition {

namespace {

constexpr int64_t hold_ms = 15;

std::string lines(const std::vector<std::string> &all) { return join(all, "\n"); }

// What was altered since the conversion, or would go on reading the partitioned table.
std::vector<std::string> obstacles(Oid partitioned, Oid old) {
    std::vector<std::string> all;
    for (const plan_row &r : dependents_of(partitioned, true))
        if (r.kind == "obstacle")
            all.push_back(r.item + ": " + r.detail);
    for (const std::string &d : differences(partitioned, old, true))
        all.push_back(d);
    for (const pg::row r : pg::query("SELECT quote_ident(conname), conrelid::regclass::text FROM pg_constraint WHERE confrelid = $1 AND contype = 'f' AND conparentid = 0", {partitioned}))
        all.push_back(r.get<std::string>(0) + ": foreign key of " + r.get<std::string>(1) + " refers to the partitioned table");
    if (hides_rows_from_owner(partitioned))
        all.push_back(pg::qualified_name(partitioned) + ": its row-level security is forced: the owner may not see all rows");
    for (const std::string &name : publications_of_new_tables(pg::get_relation(partitioned).schema_oid))
        all.push_back(name + ": this publication sends every new table here to subscribers: name the tables in it, for the time");
    return all;
}

void prepare(const work &finished) {
    work w = finished;
    w.kind = "revert";
    w.phase = "copy";
    w.source = finished.staging;
    w.staging = finished.source;
    w.blocks_done = w.rows_copied = w.changes_applied = 0;
    w.blocks_total = -1;
    {
        const pg::as_owner owner(pg::owner_of(w.source));
        // They fired when the rows were written; its own come from the partitioned table in the end.
        pg::query("ALTER TABLE " + pg::qualified_name(w.staging) + " DISABLE TRIGGER USER");
        for (const pg::row r : pg::query("SELECT quote_ident(rulename) FROM pg_rewrite WHERE ev_class = $1", {w.staging}))
            pg::query("ALTER TABLE " + pg::qualified_name(w.staging) + " DISABLE RULE " + r.get<std::string>(0));
        install_capture(w);
    }
    store_work(w, "looking for rows that changed since the conversion");
}

// The storage of every partition: TRUNCATE of one, ATTACH and DETACH pass the trigger by.
std::string storage_now(Oid partitioned) {
    return pg::scalar<std::string>("SELECT string_agg(relid::oid || ':' || coalesce(pg_relation_filenode(relid), 0), ' ' ORDER BY relid) "
                                   "FROM pg_partition_tree($1::oid::regclass)", {partitioned}).value_or("");
}

// The identities of all rows that differ go into the log, as if they had just changed.
void note_differences(work &w) {
    {
        const pg::as_owner owner(pg::owner_of(w.source));
        pg::set_local("work_mem", "256MB");
        const std::vector<std::string> keys = identity_columns(w.source, w.key_column);
        std::vector<std::string> either, same, ours, theirs;
        const std::map<std::string, std::string> operators = equalities(w.staging);
        for (const std::string &k : keys) {
            either.push_back("coalesce(n." + k + ", o." + k + ")");
            same.push_back("n." + k + " " + (operators.contains(k) ? operators.at(k) : "=") + " o." + k);
        }
        for (const std::string &c : stored_columns(w.source)) {
            ours.push_back("n." + c);
            theirs.push_back("o." + c);
        }
        w.rows_copied += pg::execute(
            "INSERT INTO " + work_names(w.source, pg::get_relation(w.source).schema_oid).log + " SELECT " + join(either, ", ") + " FROM ONLY " +
            pg::qualified_name(w.staging) + " o FULL JOIN " + pg::qualified_name(w.source) + " n ON " + join(same, " AND ") + " WHERE o." + keys[0] +
            " IS NULL OR n." + keys[0] + " IS NULL OR record_image_ne(ROW(" + join(ours, ", ") + "), ROW(" + join(theirs, ", ") + "))");
    }
    w.phase = "catchup";
    store_work(w, "applying what changed");
    pg::commit_and_restart();
}

struct index_name {
    Oid index;
    std::string name;
};
std::vector<index_name> names_of_indexes(const work &finished) {
    std::vector<index_name> all;
    for (const std::string &n : finished.index_names)
        all.push_back({static_cast<Oid>(std::stoul(n)), n.substr(n.find(' ') + 1)});
    return all;
}

std::vector<std::string> known_names(const work &finished) {
    std::vector<std::string> all;
    for (const index_name &n : names_of_indexes(finished))
        all.push_back(n.name);
    return all;
}

// On the old table, which nobody else uses.
void build_indexes_made_since(const work &w, const work &finished) {
    for (bool more = true; more;) {
        tune_for_building();
        more = build_index_made_since(w, known_names(finished), false);
        store_work(w, "building indexes that were made since the conversion");
        pg::commit_and_restart();
    }
}

// Built for the way back: the index, and that of the partitioned table it was made like, if that is there.
std::vector<std::pair<Oid, Oid>> passing_indexes(const work &w) {
    std::vector<std::pair<Oid, Oid>> all;
    for (const pg::row r : pg::query("SELECT i.indexrelid, coalesce((SELECT indexrelid FROM pg_index p WHERE p.indrelid = $2 AND x.relname = '_dbopt_' || p.indexrelid), 0) "
                                     "FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = $1 AND x.relname ~ '^_dbopt_[0-9]+$'", {w.staging, w.source}))
        all.emplace_back(r.get<Oid>(0), r.get<Oid>(1));
    return all;
}

void drop_index(Oid index) {
    const auto constraint = pg::scalar<std::string>("SELECT quote_ident(conname) FROM pg_constraint WHERE conindid = $1 AND contype IN ('p', 'u')", {index});
    pg::query(constraint ? "ALTER TABLE " + pg::qualified_name(*pg::scalar<Oid>("SELECT indrelid::oid FROM pg_index WHERE indexrelid = $1", {index})) + " DROP CONSTRAINT " + *constraint
                         : "DROP INDEX " + pg::qualified_name(index));
}

// Its own triggers, policies and rules are out of date; the partitioned table's take their place.
void clear_old(const work &w) {
    const std::string name = pg::qualified_name(w.staging);
    for (const pg::row r : pg::query("SELECT 'TRIGGER ' || quote_ident(tgname) FROM pg_trigger WHERE tgrelid = $1 AND NOT tgisinternal "
                                     "UNION ALL SELECT 'RULE ' || quote_ident(rulename) FROM pg_rewrite WHERE ev_class = $1 "
                                     "UNION ALL SELECT 'POLICY ' || quote_ident(polname) FROM pg_policy WHERE polrelid = $1", {w.staging}))
        pg::query("DROP " + r.get<std::string>(0) + " ON " + name);
}

// Each index of the old table gets its name back; the partitioned table's gives way.
void rename_back(const swapper &s, const work &finished) {
    pg::query("ALTER TABLE " + s.final_name() + " RENAME TO " + pg::quote_identifier(s.old_name));
    pg::query("ALTER TABLE " + s.new_table.qualified() + " RENAME TO " + pg::quote_identifier(s.old_table.name));
    const std::string schema = pg::quote_identifier(s.old_table.schema) + ".";
    const auto rename = [&](Oid index, const std::string &to) {
        const pg::result at = pg::query("SELECT x.relname::text, c.conname IS NOT NULL, i.indrelid::oid FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid LEFT JOIN pg_constraint c "
                                        "ON c.conindid = i.indexrelid AND c.conrelid = i.indrelid AND c.contype IN ('p', 'u', 'x') WHERE i.indexrelid = $1 AND i.indrelid IN ($2, $3)",
                                        {index, s.w.source, s.w.staging});
        if (at.empty() || at[0].get<std::string>(0) == to)
            return;
        const std::string from = pg::quote_identifier(at[0].get<std::string>(0));
        pg::query((at[0].get<bool>(1) ? "ALTER TABLE " + pg::qualified_name(at[0].get<Oid>(2)) + " RENAME CONSTRAINT " + from
                                      : "ALTER INDEX " + schema + from + " RENAME") + " TO " + pg::quote_identifier(to));
    };
    for (const auto &[index, like] : passing_indexes(s.w)) {
        if (like == InvalidOid) { // dropped while it was built
            drop_index(index);
            continue;
        }
        std::string note;
        const std::string name = pg::get_relation(like).name;
        rename(like, free_name(s.old_table.schema_oid, name, s.away, note));
        rename(index, name);
    }
    for (const index_name &n : names_of_indexes(finished)) {
        std::string note;
        const auto taken = pg::scalar<Oid>("SELECT indexrelid::oid FROM pg_index JOIN pg_class x ON x.oid = indexrelid WHERE indrelid = $1 AND x.relname = $2", {s.w.source, n.name});
        if (taken)
            rename(*taken, free_name(s.old_table.schema_oid, n.name, s.away, note));
        if (!pg::scalar<bool>("SELECT EXISTS (SELECT FROM pg_class WHERE relname = $1 AND relnamespace = $2)", {n.name, s.old_table.schema_oid}).value_or(true))
            rename(n.index, n.name);
    }
}

void swap_back(work &w, const work &finished) {
    swapper s{w, pg::get_relation(w.source), pg::get_relation(w.staging), ""};
    s.away = "_partitioned";
    std::string note;
    s.old_name = free_name(s.old_table.schema_oid, s.old_table.name, s.away, note);
    {
        const pg::as_owner owner(s.old_table.owner);
        s.collect();
        const std::vector<std::pair<std::string, std::string>> keys = outgoing_keys(w.source);
        remove_capture(w.source);
        clear_old(w);
        rename_back(s, finished);
        s.sequences(false);
        for (const auto &[name, definition] : keys)
            pg::query("ALTER TABLE " + s.old_qualified() + " DROP CONSTRAINT " + name);
        add_trusted_keys(w.staging, keys);
        add_unproven_keys(w.staging, unproven_keys(w.source));
        s.take_over();
    }
    s.run_privileged();
    const pg::as_owner writer(extension_owner());
    pg::execute("DELETE FROM dbopt.partition_config WHERE parent = $1", {w.source});
    forget_work(finished.source);
    forget_work(w.source);
    pg::notice("the plain table is back; the partitioned one is kept as " + s.old_qualified(), "DROP TABLE it when it is no longer needed.");
}

// Foreign keys that the conversion had to drop. Where rows do not fit any more, they are reported.
void restore_keys(const work &finished) {
    // OIDs of another database, after a dump and its restore, name tables of anybody.
    const std::vector<index_name> known = names_of_indexes(finished);
    const bool ours = !known.empty() && pg::scalar<bool>("SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = $1 AND indrelid = $2)",
                                                         {known[0].index, finished.source}).value_or(false);
    for (const std::string &key : finished.lost_keys) {
        if (!ours) {
            pg::notice("a foreign key that the conversion dropped is not back: the database was restored from a dump", key.substr(key.find(' ') + 1));
            continue;
        }
        const Oid table = static_cast<Oid>(std::stoul(key));
        if (!pg::find_relation(table))
            continue;
        const std::string name = pg::qualified_name(table), add = key.substr(key.find(' ') + 1);
        const std::string constraint = add.substr(strlen("ADD CONSTRAINT "), add.find(" FOREIGN KEY") - strlen("ADD CONSTRAINT "));
        for (const std::string &command : {"ALTER TABLE " + name + " " + add + (add.ends_with(" NOT VALID") ? "" : " NOT VALID"),
                                           "ALTER TABLE " + name + " VALIDATE CONSTRAINT " + constraint}) {
            const std::optional<pg::error> failure = pg::subtransaction([&] {
                const pg::as_owner owner(pg::owner_of(table));
                pg::set_local("lock_timeout", "5s");
                pg::query(command);
            });
            if (failure)
                pg::notice("a foreign key that the conversion dropped is not back: " + std::string(failure->message()), command);
            pg::commit_and_restart();
            if (failure)
                break;
        }
    }
}

} // namespace

void give_up_revert(const work &w) {
    const pg::as_owner owner(pg::owner_of(w.source));
    if (pg::find_relation(w.staging))
        for (const auto &[index, like] : passing_indexes(w))
            drop_index(index);
    remove_capture(w.source);
    forget_work(w.source);
}

void revert(const work &finished) {
    const pg::work_lock lock(work_kind, finished.staging);
    refuse_if_busy(lock, finished.staging);
    pg::require_owner(finished.staging);
    if (const std::vector<std::string> why = obstacles(finished.staging, finished.source); !why.empty())
        pg::raise({.code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, .message = pg::qualified_name(finished.staging) + " cannot be converted back as it is",
                   .detail = lines(why), .hint = "Nothing was changed."});
    if (!load_work(finished.staging)) {
        within_lock_wait(finished.staging, [&] { prepare(finished); });
    }
    for (bool swapped = false; !swapped;) {
        work w = *load_work(finished.staging);
        build_indexes_made_since(w, finished);
        const std::string storage = storage_now(w.source);
        note_differences(w);
        catch_up(w);
        prove(w);
        w.phase = "swap";
        store_work(w, "the contents are equal; waiting to swap");
        pg::commit_and_restart();
        swap_at_a_calm_moment(w, hold_ms, [&] {
            pg::query("LOCK TABLE " + pg::qualified_name(w.source) + " IN ACCESS EXCLUSIVE MODE"); // partitions, too
            pg::query("LOCK TABLE ONLY " + pg::qualified_name(w.staging) + " IN ACCESS EXCLUSIVE MODE");
            if (waiting_changes(w) > 0 || align_rights(w))
                return false;
            if (storage_now(w.source) != storage || build_index_made_since(w, known_names(finished), true))
                return true; // what went past the trigger is found by another look
            refuse_if_altered(w);
            work back = w;
            swap_back(back, finished);
            return swapped = true;
        });
    }
    restore_keys(finished);
}

} // namespace dbopt::partition
