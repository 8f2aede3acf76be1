// What stands in the way of a conversion, and the steps it will take.
#include "partition/ties.hpp"
#include "pg/bulk_copy.hpp"
#include "partition/safety.hpp"
#include "pg/compat.hpp"
#include "pg/query.hpp"
#include "pg/relation.hpp"
#include <algorithm>

namespace dbopt::partition {

namespace {

struct planner {
    const convert_options &o;
    pg::relation_info info;
    std::vector<plan_row> rows;
    std::vector<tie> ties{};
    const char *unless_accepted() const { return o.accept_lost ? "loss" : "obstacle"; }
    void add(const char *kind, std::string item, std::string detail, std::string command = "") {
        rows.push_back({static_cast<int>(rows.size()) + 1, kind, std::move(item), std::move(detail), std::move(command)});
    }
    void table();
    void keys();
    void owners();
    void bound();
    void dependents();
    void rebinding();
    void steps();
};

void planner::table() {
    if (info.kind != 'r')
        add("obstacle", info.qualified(), "is a " + pg::kind_name(info.kind) + ", not a plain table");
    if (pg::is_catalog(info) || info.persistence == 't')
        add("obstacle", info.qualified(), "catalogs and temporary tables cannot be converted");
    if (info.is_partition)
        add("obstacle", info.qualified(), "is a partition of another table");
    if (info.persistence == 'u')
        add("obstacle", info.qualified(), "is unlogged; newer versions refuse unlogged partitioned tables",
            "ALTER TABLE " + info.qualified() + " SET LOGGED");
    if (info.kind == 'r' && !o.adopt && !pg::has_tid_ranges(o.source))
        add("obstacle", info.qualified(), "its access method cannot be read by ranges of row numbers, as several processes copy it");
    if (hides_rows_from_owner(o.source))
        add("obstacle", info.qualified(), "has forced row-level security: the owner, with whose rights rows are moved, may not see all of them",
            "ALTER TABLE " + info.qualified() + " NO FORCE ROW LEVEL SECURITY");
    for (const pg::row r : pg::query("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1 "
                                     "UNION ALL SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = $1", {o.source}))
        add("obstacle", r.get<std::string>(0), "is tied to the table by inheritance");
    for (const pg::row r : pg::query("SELECT subname::text FROM pg_subscription_rel JOIN pg_subscription s ON s.oid = srsubid WHERE srrelid = $1", {o.source}))
        add(unless_accepted(), r.get<std::string>(0), "is a subscription that fills the table: it would pass the new one by",
            "ALTER SUBSCRIPTION " + pg::quote_identifier(r.get<std::string>(0)) + " REFRESH PUBLICATION WITH (copy_data = false) afterwards");
    for (const pg::row r : pg::query("SELECT extname::text FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid WHERE d.classid = 'pg_class'::regclass AND d.objid = $1 "
                                     "AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'", {o.source}))
        add("obstacle", r.get<std::string>(0), "is an extension that the table belongs to");
    if (!pg::call([&] { return pg::compat::may_create_in(info.schema_oid, info.owner); }))
        add("obstacle", info.schema, "the owner may not create tables in this schema",
            "GRANT CREATE ON SCHEMA " + pg::quote_identifier(info.schema) + " TO " +
                pg::quote_identifier(pg::role_name(info.owner)));
}

void planner::keys() {
    if (identity_columns(o.source, o.key_column).empty())
        add("obstacle", info.qualified(), "has no primary key and no unique index over NOT NULL columns: changed rows could not be told apart",
            "Give it a primary key first.");
    for (const pg::row r : pg::query(
             "SELECT x.relname::text, coalesce(pg_get_constraintdef(c.oid), pg_get_indexdef(x.oid)), coalesce(c.contype::text, 'i') "
             "FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.contype IN ('p','u','x') AND c.conrelid = i.indrelid "
             "WHERE i.indrelid = $1 AND (i.indisexclusion OR i.indisunique AND NOT EXISTS (SELECT FROM unnest(i.indkey[0:i.indnkeyatts-1]) k(att), pg_attribute a "
             "WHERE a.attrelid = $1 AND a.attnum = k.att AND a.attname = $2))", {o.source, o.key_column})) {
        const std::string kind = r.get<std::string>(2), name = r.get<std::string>(0), def = r.get<std::string>(1);
        if (kind == "x")
            add("obstacle", name, "exclusion constraints do not work across partitions: " + def);
        else if (kind == "p")
            add("loss", name, def + " becomes a key that also holds " + o.key_column + ": the shorter one is no longer unique by itself, and ON CONFLICT on it fails");
        else
            add("loss", name, def + " does not contain " + o.key_column + ": it becomes an ordinary index");
    }
    for (const pg::row r : pg::query("SELECT conname::text, conrelid::regclass::text, pg_get_constraintdef(oid), conrelid = $1 FROM pg_constraint "
                                     "WHERE confrelid = $1 AND contype = 'f' AND conparentid = 0", {o.source}))
        add("loss", r.get<std::string>(0),
            (r.get<bool>(3) ? "foreign key of the table to itself (" : "foreign key of " + r.get<std::string>(1) + " (") + r.get<std::string>(2) + ") is dropped: it would have to include the partition key",
            "ALTER TABLE " + r.get<std::string>(1) + " DROP CONSTRAINT " + pg::quote_identifier(r.get<std::string>(0)));
    for (const pg::row r : pg::query("SELECT conname::text, contype::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = $1 "
                                     "AND NOT convalidated AND contype IN ('c', 'f')", {o.source}))
        if (r.get<std::string>(1) == "c")
            add("obstacle", r.get<std::string>(0), r.get<std::string>(2) + ": no partition may have rows that break its parent's check",
                "ALTER TABLE " + info.qualified() + " VALIDATE CONSTRAINT " + pg::quote_identifier(r.get<std::string>(0)));
        else
            add("loss", r.get<std::string>(0), r.get<std::string>(2) + ": a partitioned table has no foreign keys that are not valid; the partitions made now have it so, later ones lack it",
                "ALTER TABLE " + info.qualified() + " VALIDATE CONSTRAINT " + pg::quote_identifier(r.get<std::string>(0)));
    for (const pg::row r : pg::query("SELECT conname::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = $1 AND contype = 'c' AND connoinherit", {o.source}))
        add("obstacle", r.get<std::string>(0), r.get<std::string>(1) + ": a partitioned table has no checks that are not inherited");
    const bool nullable = pg::scalar<bool>("SELECT NOT attnotnull FROM pg_attribute WHERE attrelid = $1 AND attname = $2", {o.source, o.key_column}).value_or(true);
    if (nullable)
        add("obstacle", o.key_column, "may be NULL, and a partition key that is part of the primary key may not",
            "ALTER TABLE " + info.qualified() + " ALTER COLUMN " + pg::quote_identifier(o.key_column) + " SET NOT NULL");
}

// Views and functions are made anew over the new table, by their owners.
void planner::owners() {
    for (const tie &t : ties) {
        if (t.kind != tie_kind::view && t.kind != tie_kind::function)
            continue;
        const pg::result where = pg::query(
            "SELECT nspname::text FROM pg_namespace n WHERE n.oid = (SELECT relnamespace FROM pg_class WHERE $1 AND oid = $2 UNION ALL "
            "SELECT pronamespace FROM pg_proc WHERE NOT $1 AND oid = $2) AND NOT has_schema_privilege($3, n.oid, 'CREATE')", {t.kind == tie_kind::view, t.object, t.owner});
        if (where.empty())
            continue;
        const std::string schema = where[0].get<std::string>(0), owner = pg::role_name(t.owner);
        add("obstacle", t.name, "is a " + t.what + " over the table; its owner " + owner + " has to make it anew in the swap and may not create in schema " + schema,
            "GRANT CREATE ON SCHEMA " + pg::quote_identifier(schema) + " TO " + pg::quote_identifier(owner));
    }
}

void planner::bound() {
    for (const tie &t : ties)
        switch (t.kind) {
        case tie_kind::matview:
            add(unless_accepted(), t.name, "is a materialized view over the table: its query is exchanged in the swap, under ACCESS EXCLUSIVE; its rows stay");
            break;
        case tie_kind::row_function:
            add(unless_accepted(), t.name, t.takes ? "takes the table's row type: it stays with rows of the old table, and a second one is made for the new table's"
                                                   : "returns the table's row type: it goes on returning the old table's");
            break;
        case tie_kind::row_column:
            add(unless_accepted(), t.name, "has the table's row type: it keeps the old table's, which cannot be dropped as long as it is there");
            break;
        case tie_kind::row_other:
            add(unless_accepted(), t.name, "uses the table's row type: it keeps the old table's, which cannot be dropped as long as it is there");
            break;
        case tie_kind::view_column:
            add("obstacle", t.name, "has the table's row type, and the type of a view's column cannot be changed", "Drop the view and make it again afterwards.");
            break;
        case tie_kind::other:
            add("obstacle", t.name, t.what == "other" ? "is bound to the table and cannot be made anew in the swap"
                                                      : "is a " + t.what + ": it would go on reading the old table", "Drop it and make it again afterwards.");
            break;
        default:
            break;
        }
    const pg::as_owner keeper(extension_owner());
    for (const pg::row r : pg::query("SELECT matview::regclass::text FROM dbopt._matview_use WHERE base = $1", {o.source}))
        add("obstacle", r.get<std::string>(0), "is refreshed from captured changes of the table",
            "SELECT dbopt.matview_unmanage(" + pg::quote_literal(r.get<std::string>(0)) + "), and manage it again afterwards");
}

void planner::dependents() {
    owners();
    bound();
    for (const pg::row r : pg::query("SELECT tgname::text FROM pg_trigger WHERE tgrelid = $1 AND NOT tgisinternal AND (tgoldtable IS NOT NULL OR tgnewtable IS NOT NULL) AND tgtype & 1 = 1", {o.source}))
        add("obstacle", r.get<std::string>(0), "is a row trigger with transition tables, which partitioned tables do not allow");
    for (const pg::row r : pg::query("SELECT pubname::text FROM pg_publication_rel JOIN pg_publication p ON p.oid = prpubid WHERE prrelid = $1 "
                                     "AND NOT pubviaroot AND (prqual IS NOT NULL OR prattrs IS NOT NULL)", {o.source}))
        add("obstacle", r.get<std::string>(0), "publishes a part of the table's rows or columns; for a partitioned table it must publish via the root",
            "ALTER PUBLICATION " + pg::quote_identifier(r.get<std::string>(0)) + " SET (publish_via_partition_root = true)");
}

void planner::rebinding() {
    for (const tie &t : ties)
        if (t.moves())
            add("step", "bind", t.what + " " + t.name + " is made anew over the new table, in the swap");
}

void planner::steps() {
    const std::string name = info.qualified();
    if (o.adopt) {
        add("step", "prepare", "a partitioned table with the next partitions is made, empty; a trigger notes rows that come in above the bound");
        for (const pg::row r : pg::query("SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i WHERE indrelid = $1 AND indisunique AND NOT EXISTS (SELECT FROM "
                                         "unnest(i.indkey[0:i.indnkeyatts-1]) k(att), pg_attribute a WHERE a.attrelid = $1 AND a.attnum = k.att AND a.attname = $2)", {o.source, o.key_column}))
            add("step", "index", "a worker builds, CONCURRENTLY, what takes the place of: " + r.get<std::string>(0));
        add("step", "swap", "one transaction under ACCESS EXCLUSIVE, at most " + std::to_string(o.max_lock_ms) + " ms: the table becomes partition " +
                                core::bounded_name(info.name, "_adopted") + "; no row moves");
        rebinding();
        add("step", "split", "a worker cuts that partition into steps, as the default partition is drained",
            "CALL dbopt.partition_split(" + pg::quote_literal(pg::quote_identifier(info.schema) + "." + pg::quote_identifier(core::bounded_name(info.name, "_adopted"))) + ")");
        return;
    }
    add("step", "prepare", "a trigger notes the identity of every changed row; a partitioned copy is made, empty", "");
    add("step", "copy", std::to_string(info.pages) + " pages, in batches, each a transaction", "");
    add("step", "settle", "changes made meanwhile are applied", "");
    for (const pg::row r : pg::query("SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = $1 ORDER BY indisprimary DESC, indexrelid", {o.source}))
        add("step", "index", r.get<std::string>(0), "");
    add("step", "catch up", "changes again, ANALYZE, and a proof by hash that both tables hold the same rows", "");
    add("step", "swap", "one transaction under ACCESS EXCLUSIVE, at most " + std::to_string(o.max_lock_ms) +
                            " ms: names, sequences, triggers, foreign keys, policies, views; the old table is kept as " +
                            core::bounded_name(info.name, "_old"), "");
    rebinding();
}

} // namespace

std::vector<plan_row> dependents_of(Oid table, bool accept_lost) {
    convert_options o;
    o.source = table;
    o.accept_lost = accept_lost;
    planner p{o, pg::get_relation(table), {}};
    p.ties = ties_of(table, false);
    p.dependents();
    return p.rows;
}

std::vector<plan_row> convert_plan(const convert_options &o) {
    planner p{o, pg::get_relation(o.source), {}};
    pg::require_owner(o.source);
    const int16_t attribute = pg::call([&] { return get_attnum(o.source, o.key_column.c_str()); });
    if (attribute <= 0)
        pg::raise({.code = ERRCODE_UNDEFINED_COLUMN,
                   .message = "column \"" + o.key_column + "\" of " + p.info.qualified() + " does not exist",
                   .hint = "Name the column that the table shall be partitioned by."});
    if (p.info.kind == 'p')
        pg::raise({.code = ERRCODE_WRONG_OBJECT_TYPE, .message = p.info.qualified() + " is partitioned already",
                   .hint = "SELECT * FROM dbopt.partition_manage('" + p.info.qualified() + "', ...) puts it under management."});
    p.ties = ties_of(o.source, false);
    p.table();
    p.keys();
    p.dependents();
    for (const std::string &name : publications_of_new_tables(p.info.schema_oid))
        p.add("obstacle", name, "publishes every new table here: the copy and its log would go to subscribers, which have no such tables",
              "Name the tables in the publication for the time of the conversion, instead of ALL TABLES or TABLES IN SCHEMA");
    p.steps();
    return p.rows;
}

} // namespace dbopt::partition
