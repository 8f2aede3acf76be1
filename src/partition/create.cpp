// What a new partition is made of, as SQL text.
#include "partition/recipe_sql.hpp"
#include "partition/sets.hpp"
#include "pg/query.hpp"
#include "pg/relation.hpp"
#include <unordered_map>

namespace dbopt::partition {

namespace {

// Every name in the schema that a new table or its row type would meet.
bool name_taken(Oid schema, const std::string &name) {
    return pg::call([&] {
        return get_relname_relid(name.c_str(), schema) != InvalidOid ||
               GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(name.c_str()),
                               ObjectIdGetDatum(schema)) != InvalidOid;
    });
}

std::string schema_name(Oid schema) {
    const char *name = pg::call([&] { return get_namespace_name(schema); });
    return name != nullptr ? name : "";
}

std::string replaced(std::string text, const std::string &name) {
    for (size_t at = text.find('\1'); at != std::string::npos; at = text.find('\1', at + name.size()))
        text.replace(at, 1, name);
    return text;
}

// The partitions below a partitioned template, level by level, under names of the new partition.
void add_subpartitions(const open_set &s, const std::string &base, const std::string &name,
                       recipe &r) {
    const std::string template_name = pg::get_relation(s.config.template_table).name;
    std::unordered_map<Oid, std::string> made{{s.config.template_table, name}};
    for (const pg::row row : pg::query(
             "SELECT t.relid::oid, t.parentrelid::oid, c.relname::text, "
             "pg_get_expr(c.relpartbound, c.oid), "
             "CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END "
             "FROM pg_partition_tree($1::oid::regclass) t JOIN pg_class c ON c.oid = t.relid "
             "WHERE t.level > 0 ORDER BY t.level, c.relname",
             {s.config.template_table})) {
        std::string tail = row.get<std::string>(2);
        tail = tail.starts_with(template_name) ? tail.substr(template_name.size()) : "_" + tail;
        const std::string child = free_name(s.table.schema, base, tail, r.note);
        const std::string qualified =
            pg::quote_identifier(schema_name(s.table.schema)) + "." + pg::quote_identifier(child);
        std::string command = "CREATE TABLE " + qualified + " PARTITION OF " +
                              made[row.get<Oid>(1)] + " " + row.get<std::string>(3);
        if (const auto key = row.optional<std::string>(4))
            command += " PARTITION BY " + *key;
        made[row.get<Oid>(0)] = qualified;
        r.before_attach.push_back(command);
    }
}

std::string create_command(const open_set &s, const pg::row &parts, const std::string &name) {
    std::string command = parts.get<bool>(0) ? "CREATE UNLOGGED TABLE " : "CREATE TABLE ";
    // The parent's indexes come with ATTACH; identity belongs to the parent.
    command += name + " (LIKE " + s.parent_name() +
               " INCLUDING ALL EXCLUDING INDEXES EXCLUDING IDENTITY)";
    if (const auto key = parts.optional<std::string>(1))
        command += " PARTITION BY " + *key;
    const bool plain = parts.null(1);
    if (const auto method = parts.optional<std::string>(2); method && plain)
        command += " USING " + pg::quote_identifier(*method);
    if (const auto options = parts.optional<std::string>(3); options && plain)
        command += " WITH (" + *options + ")";
    if (const auto space = parts.optional<std::string>(4))
        command += " TABLESPACE " + pg::quote_identifier(*space);
    return command;
}

} // namespace

std::string free_name(Oid schema, const std::string &base, const std::string &suffix,
                      std::string &note) {
    const std::string wanted = core::bounded_name(base, suffix, NAMEDATALEN - 1);
    if (!name_taken(schema, wanted))
        return wanted;
    for (int i = 2;; ++i) {
        const std::string other =
            core::bounded_name(base, suffix + "_" + std::to_string(i), NAMEDATALEN - 1);
        if (!name_taken(schema, other)) {
            note += (note.empty() ? "" : "; ") + ("the name \"" + wanted +
                    "\" is taken by another object, so it is called \"" + other + "\"");
            return other;
        }
    }
}

recipe make_recipe(const open_set &s, const core::bounds *range) {
    if (s.config.template_table != InvalidOid && !pg::find_relation(s.config.template_table))
        pg::raise({.code = ERRCODE_UNDEFINED_TABLE, .message = "the template of " + s.parent_name() + " is gone",
                   .hint = "Name another one, or template => NULL, with dbopt.partition_manage."});
    static pg::statement *statement = nullptr;
    if (statement == nullptr)
        statement = new pg::statement(recipe_sql, {OIDOID, OIDOID});
    recipe r;
    const std::string suffix =
        range == nullptr ? "_default"
        : core::partition_suffix(s.calendar, range->lower != core::minus_infinity ? range->lower : s.calendar.floor(range->upper - 1));
    const std::string plain = free_name(s.table.schema, s.table.name, suffix, r.note);
    r.name = pg::quote_identifier(schema_name(s.table.schema)) + "." + pg::quote_identifier(plain);
    const pg::result found = statement->run({s.table.relation, s.config.template_table});
    const pg::row parts = found[0];
    r.before_attach.push_back(create_command(s, parts, r.name));
    if (!parts.null(5))
        r.before_attach.push_back("ALTER TABLE " + r.name + " " +
                                  join(parts.get<std::vector<std::string>>(5), ", "));
    if (!parts.null(1))
        add_subpartitions(s, plain, r.name, r);
    if (!parts.null(6))
        for (const std::string &command : parts.get<std::vector<std::string>>(6)) {
            r.before_attach.push_back(replaced(command, r.name));
            if (command.starts_with("CREATE INDEX ") || command.starts_with("CREATE UNIQUE INDEX ") || command.starts_with("ALTER TABLE "))
                r.own_indexes.push_back(r.before_attach.back());
        }
    r.after_attach.push_back("ALTER TABLE " + s.parent_name() + " ATTACH PARTITION " + r.name + " " +
                             (range != nullptr ? s.bound_clause(*range) : "DEFAULT"));
    if (!parts.null(7))
        r.after_attach.push_back("SELECT dbopt._partition_replica_identity(" +
                                 pg::quote_literal(s.parent_name()) + ", " +
                                 pg::quote_literal(r.name) + ")");
    return r;
}

} // namespace dbopt::partition
