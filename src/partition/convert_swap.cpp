// The swap of a conversion: names, sequences, triggers, keys, policies, views, in one transaction.
#include "partition/swapper.hpp"
#include "pg/query.hpp"

namespace dbopt::partition {

void swapper::collect() {
    for (const pg::row r : pg::query("SELECT pg_get_triggerdef(oid), tgname::text, tgenabled::text FROM pg_trigger "
                                     "WHERE tgrelid = $1 AND NOT tgisinternal AND tgparentid = 0 AND tgname NOT LIKE '\\_dbopt\\_capture%'", {w.source})) {
        later.push_back(r.get<std::string>(0));
        const std::string state = r.get<std::string>(2), name = pg::quote_identifier(r.get<std::string>(1));
        triggers.push_back(name);
        if (state != "O")
            later.push_back("ALTER TABLE " + final_name() + (state == "D" ? " DISABLE TRIGGER " : state == "A" ? " ENABLE ALWAYS TRIGGER " : " ENABLE REPLICA TRIGGER ") + name);
    }
    for (const pg::row r : pg::query(
             "SELECT format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', polname, $2::text, CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END, "
             "CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END, "
             "(SELECT string_agg(CASE WHEN u = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(u)) END, ', ') FROM unnest(polroles) u), "
             "coalesce(' USING (' || pg_get_expr(polqual, polrelid) || ')', ''), coalesce(' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')', '')) "
             "FROM pg_policy WHERE polrelid = $1", {w.source, final_name()}))
        later.push_back(r.get<std::string>(0));
    for (const pg::row r : pg::query("SELECT pubname::text, coalesce(' (' || (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute "
                                     "WHERE attrelid = prrelid AND attnum = ANY (prattrs::int2[])) || ')', '') || coalesce(' WHERE (' || pg_get_expr(prqual, prrelid) || ')', '') FROM pg_publication_rel JOIN pg_publication p ON p.oid = prpubid WHERE prrelid = $1", {w.source})) {
        privileged.push_back("ALTER PUBLICATION " + pg::quote_identifier(r.get<std::string>(0)) + " DROP TABLE " + old_qualified());
        privileged.push_back("ALTER PUBLICATION " + pg::quote_identifier(r.get<std::string>(0)) + " ADD TABLE " + final_name() + r.get<std::string>(1));
    }
    for (const pg::row r : pg::query("SELECT pg_get_ruledef(oid), rulename::text, ev_enabled::text FROM pg_rewrite WHERE ev_class = $1 AND rulename <> '_RETURN'", {w.source})) {
        later.push_back(r.get<std::string>(0));
        const std::string state = r.get<std::string>(2), name = pg::quote_identifier(r.get<std::string>(1));
        rules.push_back(name);
        if (state != "O")
            later.push_back("ALTER TABLE " + final_name() + (state == "D" ? " DISABLE RULE " : state == "A" ? " ENABLE ALWAYS RULE " : " ENABLE REPLICA RULE ") + name);
    }
    ties = ties_of(w.source, true);
    collect_comments();
}

// Accepted losses: they referred to a key that is not unique by itself any more.
void swapper::incoming_keys() {
    struct key {
        std::string table, name, definition;
        Oid relation;
    };
    std::vector<key> keys;
    {
        const pg::as_owner plain(extension_owner()); // every name is qualified
        for (const pg::row r : pg::query("SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid), conrelid::oid FROM pg_constraint "
                                         "WHERE confrelid = $1 AND contype = 'f' AND conparentid = 0", {w.source}))
            keys.push_back({r.get<std::string>(0), r.get<std::string>(1), r.get<std::string>(2), r.get<Oid>(3)});
    }
    for (const key &k : keys) {
        w.lost_keys.push_back(std::to_string(k.relation) + " ADD CONSTRAINT " + k.name + " " + k.definition);
        // As its owner: between the catalog and the command the name may have gone to another table.
        const pg::as_owner referencing(pg::owner_of(k.relation));
        pg::query("ALTER TABLE " + k.table + " DROP CONSTRAINT " + k.name);
    }
}

void swapper::rename() {
    const std::string old_now = final_name(), fresh = new_table.qualified();
    for (const pg::row r : pg::query(
             "SELECT x.relname::text, c.oid IS NOT NULL, '_dbopt_' || i.indexrelid, d.oid IS NOT NULL, i.indisreplident, i.indexrelid FROM pg_index i "
             "JOIN pg_class x ON x.oid = i.indexrelid LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.conrelid = i.indrelid AND c.contype IN ('p','u') "
             "LEFT JOIN pg_constraint d ON d.conrelid = $2 AND d.conname = '_dbopt_' || i.indexrelid "
             "WHERE i.indrelid = $1 AND i.indisvalid AND x.relname NOT LIKE '\\_dbopt\\_own\\_%'", {w.source, w.staging})) {
        const std::string name = r.get<std::string>(0), passing = r.get<std::string>(2), schema = pg::quote_identifier(old_table.schema) + ".";
        std::string note;
        const std::string aside = pg::quote_identifier(free_name(old_table.schema_oid, name, away, note));
        w.index_names.push_back(std::to_string(r.get<Oid>(5)) + " " + name);
        pg::query(r.get<bool>(1) ? "ALTER TABLE " + old_now + " RENAME CONSTRAINT " + pg::quote_identifier(name) + " TO " + aside
                                 : "ALTER INDEX " + schema + pg::quote_identifier(name) + " RENAME TO " + aside);
        pg::query(r.get<bool>(3) ? "ALTER TABLE " + fresh + " RENAME CONSTRAINT " + passing + " TO " + pg::quote_identifier(name)
                                 : "ALTER INDEX " + schema + passing + " RENAME TO " + pg::quote_identifier(name));
        if (r.get<bool>(4)) {
            pg::query("ALTER TABLE " + fresh + " REPLICA IDENTITY USING INDEX " + pg::quote_identifier(name));
            pg::query("SELECT dbopt._partition_replica_identity($1::regclass, inhrelid::regclass) FROM pg_inherits WHERE inhparent = $2",
                      {fresh, w.staging});
        }
    }
    pg::query("ALTER TABLE " + old_now + " RENAME TO " + pg::quote_identifier(old_name));
    pg::query("ALTER TABLE " + fresh + " RENAME TO " + pg::quote_identifier(old_table.name));
}

namespace {
// Rights on a sequence, given anew by its owner.
void copy_grants(const std::string &from, const std::string &to) {
    for (const pg::row r : pg::query(
             "SELECT format('GRANT %s ON SEQUENCE %s TO %s%s', a.privilege_type, $2::text, CASE WHEN a.grantee = 0 THEN 'PUBLIC' "
             "ELSE quote_ident(pg_get_userbyid(a.grantee)) END, CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) "
             "FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = $1::regclass AND a.grantee <> c.relowner", {from, to}))
        pg::query(r.get<std::string>(0));
}
} // namespace

void swapper::sequences(bool drop_old_identity) {
    for (const pg::row r : pg::query(
             "SELECT s.oid::regclass::text, s.relname::text, quote_ident(a.attname), d.deptype::text, a.attname::text FROM pg_depend d "
             "JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid "
             "WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.deptype IN ('a', 'i')", {w.source})) {
        const std::string sequence = r.get<std::string>(0), name = r.get<std::string>(1);
        if (r.get<std::string>(3) == "a") {
            pg::query("ALTER SEQUENCE " + sequence + " OWNED BY " + final_name() + "." + r.get<std::string>(2));
            continue;
        }
        // Identity: the new column has a sequence of its own; it goes on where the old one stopped.
        const auto fresh = pg::scalar<std::string>("SELECT pg_get_serial_sequence($1, $2)", {final_name(), r.get<std::string>(4)});
        pg::query("SELECT setval($1::regclass, last_value, is_called) FROM " + sequence, {*fresh});
        copy_grants(sequence, *fresh);
        if (drop_old_identity) {
            pg::query("ALTER TABLE " + old_qualified() + " ALTER COLUMN " + r.get<std::string>(2) + " DROP IDENTITY");
            pg::query("ALTER SEQUENCE " + *fresh + " RENAME TO " + pg::quote_identifier(name));
            continue;
        }
        std::string note;
        pg::query("ALTER SEQUENCE " + sequence + " RENAME TO " + pg::quote_identifier(free_name(old_table.schema_oid, name, "_old", note)));
        pg::query("ALTER SEQUENCE " + *fresh + " RENAME TO " + pg::quote_identifier(name));
    }
}

std::vector<std::pair<std::string, std::string>> outgoing_keys(Oid table) {
    std::vector<std::pair<std::string, std::string>> keys;
    for (const pg::row r : pg::query("SELECT quote_ident(conname), pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = $1 "
                                     "AND contype = 'f' AND confrelid <> $1 AND convalidated", {table}))
        keys.emplace_back(r.get<std::string>(0), r.get<std::string>(1));
    return keys;
}

// Keys that nobody has checked: a partitioned table can have none, so each of its partitions has its own.
std::vector<std::pair<std::string, std::string>> unproven_keys(Oid table) {
    std::vector<std::pair<std::string, std::string>> keys;
    for (const pg::row r : pg::query("SELECT DISTINCT ON (conname) quote_ident(conname), pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f' AND NOT convalidated "
                                     "AND conparentid = 0 AND confrelid <> $1 AND conrelid IN (SELECT $1 UNION SELECT relid FROM pg_partition_tree($1::oid::regclass)) "
                                     "ORDER BY conname, oid", {table}))
        keys.emplace_back(r.get<std::string>(0), r.get<std::string>(1));
    return keys;
}

void add_unproven_keys(Oid under, const std::vector<std::pair<std::string, std::string>> &keys) {
    for (const auto &[name, definition] : keys)
        for (const pg::row leaf : pg::query("SELECT relid::text FROM pg_partition_tree($1::oid::regclass) WHERE isleaf UNION "
                                            "SELECT oid::regclass::text FROM pg_class WHERE oid = $1 AND relkind = 'r'", {under}))
            pg::query("ALTER TABLE " + leaf.get<std::string>(0) + " ADD CONSTRAINT " + name + " " + definition);
}

// The old table's keys are valid and the contents are equal, so the rows need no second check. The
// parent's key takes a partition's over when that is marked as checked.
void add_trusted_keys(Oid under, const std::vector<std::pair<std::string, std::string>> &keys) {
    for (const auto &[name, definition] : keys) {
        for (const pg::row leaf : pg::query("SELECT relid::text FROM pg_partition_tree($1::oid::regclass) WHERE isleaf UNION ALL "
                                           "SELECT oid::regclass::text FROM pg_class WHERE oid = $1 AND relkind = 'r' AND NOT relispartition", {under}))
            pg::query("ALTER TABLE " + leaf.get<std::string>(0) + " ADD CONSTRAINT " + name + " " + definition + " NOT VALID");
        trust_constraint(under, name, 'f');
    }
}

void trust_constraint(Oid under, const std::string &quoted_name, char type) {
    const pg::as_owner power(extension_owner());
    pg::execute("UPDATE pg_constraint SET convalidated = true WHERE contype = $3::\"char\" AND quote_ident(conname) = $1 AND conrelid IN "
                "(SELECT relid FROM pg_partition_tree($2::oid::regclass) WHERE isleaf UNION SELECT $2::oid)", {quoted_name, under, std::string(1, type)});
}

// What is bound by OID, and what takes another owner's or a superuser's rights.
void swapper::run_privileged() const {
    bind_anew(ties);
    repeat_row_functions(ties);
    const pg::as_owner power(extension_owner());
    for (const std::string &command : privileged)
        pg::query(command);
}

void swapper::take_over() const {
    for (const std::string &command : later)
        pg::query(command);
    apply_comments();
    statistics();
}

void swapper::finish(const std::string &note) {
    run_privileged();
    w.phase = "done";
    store_work(w, note + old_qualified());
    set_config managed = w.set;
    managed.parent = w.staging;
    store_set(managed);
}

void swap_converted(work &w) {
    swapper s{w, pg::get_relation(w.source), pg::get_relation(w.staging), ""};
    std::string note;
    s.old_name = free_name(s.old_table.schema_oid, s.old_table.name, "_old", note);
    s.incoming_keys();
    {
        const pg::as_owner owner(s.old_table.owner);
        // Deparsed under the bare search_path, so that every name is qualified.
        s.collect();
        const std::vector<std::pair<std::string, std::string>> keys = outgoing_keys(w.source), unproven = unproven_keys(w.source);
        remove_capture(w.source);
        s.rename();
        s.sequences(false);
        // On the old table they would go on guarding rows that nobody sees any more.
        for (const auto *some : {&keys, &unproven})
            for (const auto &[name, definition] : *some)
                pg::query("ALTER TABLE " + s.old_qualified() + " DROP CONSTRAINT " + name);
        add_trusted_keys(w.staging, keys);
        add_unproven_keys(w.staging, unproven);
        for (const auto &[name, definition] : keys)
            pg::query("ALTER TABLE " + s.final_name() + " ADD CONSTRAINT " + name + " " + definition);
        s.take_over();
    }
    s.finish("done; the old table is kept as ");
}

} // namespace dbopt::partition
