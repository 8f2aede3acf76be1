// From copy to proof: what several processes do at once (pieces.cpp), and the steps between.
#include "partition/conversion.hpp"
#include "pg/pause.hpp"
#include "pg/query.hpp"
#include "pg/relation.hpp"
#include "pg/steady_wal.hpp"
#include "pg/transaction.hpp"
#include <algorithm>

namespace dbopt::partition {

namespace {

// An index of the source as the copy gets it. With or without a name, on the whole or on a partition.
struct index_recipe {
    Oid index;
    bool constraint, unique;
    std::string text; // PRIMARY KEY (…), or what follows the table in CREATE INDEX
    std::string comment;
    bool clustered;
    std::string name() const { return "_dbopt_" + std::to_string(index); }
    std::string command(const std::string &table, const std::string &named) const {
        if (constraint)
            return "ALTER TABLE " + table + " ADD " + (named.empty() ? "" : "CONSTRAINT " + named + " ") + text;
        return std::string("CREATE ") + (unique ? "UNIQUE " : "") + "INDEX " + named + " ON " + table + text;
    }
};

// Keys that lack the partition key get it at their end; other unique indexes without it are ordinary ones.
std::vector<index_recipe> recipes(const work &w) {
    std::vector<index_recipe> all;
    const std::string key = pg::quote_identifier(w.key_column);
    for (const pg::row r : pg::query(
             "SELECT i.indexrelid, coalesce(c.contype::text, 'i'), i.indisunique, "
             "EXISTS (SELECT FROM unnest(i.indkey[0:i.indnkeyatts-1]) k(att), pg_attribute a WHERE a.attrelid = $1 AND a.attnum = k.att AND a.attname = $2), "
             "(SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.n) FROM unnest(i.indkey) WITH ORDINALITY k(att, n), pg_attribute a WHERE a.attrelid = $1 AND a.attnum = k.att AND k.n <= i.indnkeyatts), "
             "substr(pg_get_indexdef(i.indexrelid), length(format('CREATE %sINDEX %I ON %s%I.%I', CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, x.relname, CASE r.relkind WHEN 'p' THEN 'ONLY ' ELSE '' END, n.nspname, r.relname)) + 1), "
             "coalesce(c.condeferrable, false), coalesce(c.condeferred, false), coalesce(obj_description(i.indexrelid, 'pg_class'), ''), coalesce(pg_get_constraintdef(c.oid), ''), i.indisclustered "
             "FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class r ON r.oid = i.indrelid JOIN pg_namespace n ON n.oid = r.relnamespace "
             "LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.conrelid = i.indrelid AND c.contype IN ('p', 'u') "
             "WHERE i.indrelid = $1 AND i.indisvalid AND x.relname NOT LIKE '\\_dbopt\\_own\\_%' "
             // What belongs to a partition itself comes later (drain_swap.cpp), and not to each of its heirs.
             "AND ($3 OR EXISTS (SELECT FROM pg_inherits WHERE inhrelid = i.indexrelid)) ORDER BY i.indisprimary DESC, i.indexrelid",
             {w.source, w.key_column, w.kind != "drain" && w.kind != "split"})) {
        index_recipe one{r.get<Oid>(0), false, r.get<bool>(2), r.get<std::string>(5), r.get<std::string>(8), r.get<bool>(10)};
        const std::string kind = r.get<std::string>(1);
        const bool has_key = r.get<bool>(3);
        one.constraint = kind == "p" || (kind == "u" && has_key);
        one.unique = one.unique && has_key;
        if (one.constraint)
            one.text = has_key ? r.get<std::string>(9)
                               : "PRIMARY KEY (" + r.get<std::string>(4) + ", " + key + ")" + (r.get<bool>(6) ? " DEFERRABLE" : "") +
                                     (r.get<bool>(7) ? " INITIALLY DEFERRED" : "");
        all.push_back(std::move(one));
    }
    return all;
}

} // namespace

// The next index of the source that staging lacks; partitions that have it already are only tied to
// it. False when all are there.
bool build_next_index(const work &w) {
    const pg::as_owner owner(pg::owner_of(w.source));
    const std::string staging = pg::qualified_name(w.staging);
    for (const index_recipe &r : recipes(w)) {
        const auto there = pg::scalar<bool>("SELECT EXISTS (SELECT FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = $1 AND relname = $2)",
                                            {w.staging, r.name()});
        if (*there)
            continue;
        const pg::steady_wal calm;
        pg::query(r.command(staging, r.name()));
        if (!r.comment.empty())
            pg::query("COMMENT ON INDEX " + pg::quote_identifier(pg::get_relation(w.staging).schema) + "." + r.name() + " IS " + pg::quote_literal(r.comment));
        if (r.clustered) // a mark that only partitions can bear
            for (const pg::row leaf : pg::query("SELECT i.indrelid::regclass::text, quote_ident(x.relname) FROM pg_index p JOIN pg_class c ON c.oid = p.indexrelid JOIN pg_inherits h ON h.inhparent = c.oid "
                                                "JOIN pg_index i ON i.indexrelid = h.inhrelid JOIN pg_class x ON x.oid = h.inhrelid WHERE p.indrelid = $1 AND c.relname = $2", {w.staging, r.name()}))
                pg::query("ALTER TABLE " + leaf.get<std::string>(0) + " CLUSTER ON " + leaf.get<std::string>(1));
        return true;
    }
    return false;
}

namespace {

// On the old table: a primary key, or an index of the same definition, under whatever name. (After a dump
// and its restore the known names may be those of other indexes, and anybody may have renamed one.)
bool has_alike(Oid table, Oid index) {
    return pg::scalar<bool>("SELECT EXISTS (SELECT FROM pg_index o, pg_index n WHERE o.indrelid = $1 AND o.indisvalid AND n.indexrelid = $2 AND (o.indisprimary AND n.indisprimary "
                            "OR regexp_replace(pg_get_indexdef(o.indexrelid), '^.*? USING ', '') = regexp_replace(pg_get_indexdef(n.indexrelid), '^.*? USING ', '')))",
                            {table, index}).value_or(true);
}

} // namespace

// Indexes of the source that neither have one of these names nor are on staging. Builds the first of them;
// false when there is none.
bool build_index_made_since(const work &w, const std::vector<std::string> &known, bool only_look) {
    const pg::as_owner owner(pg::owner_of(w.source));
    for (const index_recipe &r : recipes(w)) {
        const std::string name = pg::get_relation(r.index).name;
        if (std::find(known.begin(), known.end(), name) != known.end() ||
            *pg::scalar<bool>("SELECT EXISTS (SELECT FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = $1 AND relname = $2)", {w.staging, r.name()}) || has_alike(w.staging, r.index))
            continue;
        if (only_look)
            return true;
        pg::query(r.command(pg::qualified_name(w.staging), r.name()));
        if (!r.comment.empty())
            pg::query("COMMENT ON INDEX " + pg::quote_identifier(pg::get_relation(w.staging).schema) + "." + r.name() + " IS " + pg::quote_literal(r.comment));
        return true;
    }
    return false;
}

// A row that changed while it was copied may be there twice, as it was before and after. All of them
// are in the log: they go, and come back as they are now when the log is applied.
void build_partition(const work &w, Oid leaf) {
    const pg::as_owner owner(pg::owner_of(w.source));
    const std::string table = pg::qualified_name(leaf), log = work_names(w.source, pg::get_relation(w.source).schema_oid).log;
    const row_identity identity = identity_of(w);
    if (pg::scalar<bool>("SELECT EXISTS (SELECT FROM " + log + ")").value_or(true))
        pg::execute("DELETE FROM " + table + " t USING (" + identity.distinct(log) + ") l WHERE " + identity.same("t", "l"));
    for (const index_recipe &r : recipes(w))
        pg::query(r.command(table, ""));
}

void tune_for_building() {
    pg::set_local("maintenance_work_mem", "256MB");
    pg::set_local("backend_flush_after", "1MB");  // or the system writes much at once, and commits wait behind it
    pg::set_local("synchronous_commit", "off"); // a lost step is done again
}

namespace {

void do_all_pieces(const work &w) {
    for (;;) {
        const piece_result r = do_next_piece(w.source);
        pg::commit_and_restart();
        if (r == piece_result::none)
            return;
        if (r == piece_result::elsewhere) // another process is at the last ones
            pg::pause(10);
    }
}

} // namespace

void prove(const work &w) {
    // One snapshot for both tables, and for the changes that wait.
    pg::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ");
    const std::vector<std::string> different = compare_contents(w);
    if (!different.empty())
        pg::raise({.code = ERRCODE_DATA_CORRUPTED, .message = "the copy differs from " + pg::qualified_name(w.source),
                   .detail = join(different, "\n"), .hint = "CALL dbopt.partition_convert_abort and start again. The table itself is unharmed."});
    pg::commit_and_restart();
}

// From copy to the proof, each step a transaction; goes on wherever the work stands.
void copy_and_prove(work &w, int64_t blocks_a_batch) {
    if (w.phase == "copy") {
        make_copy_pieces(w, blocks_a_batch);
        store_work(w, "copying");
        call_helpers(w);
        pg::commit_and_restart();
        do_all_pieces(w);
        w.phase = "settle";
        w.blocks_done = w.blocks_total;
        w.rows_copied = rows_of_pieces(w.source);
        store_work(w, "copied");
        pg::commit_and_restart();
    }
    if (w.phase == "settle") {
        make_build_pieces(w);
        w.phase = "index";
        store_work(w, "building indexes");
        pg::commit_and_restart();
    }
    if (w.phase == "index")
        do_all_pieces(w);
    while (w.phase == "index") {
        tune_for_building();
        if (!build_next_index(w)) {
            w.phase = "catchup";
            forget_pieces(w.source);
        }
        store_work(w, "building indexes");
        pg::commit_and_restart();
    }
    if (w.phase == "catchup") {
        catch_up(w);
        {
            const pg::as_owner owner(pg::owner_of(w.source));
            pg::query("ANALYZE " + pg::qualified_name(w.staging));
        }
        pg::commit_and_restart();
        catch_up(w);
        prove(w);
        w.phase = "swap";
        store_work(w, "the contents are equal; waiting to swap");
        pg::commit_and_restart();
    }
}

} // namespace dbopt::partition
