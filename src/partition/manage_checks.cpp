#include "partition/manage.hpp"
#include "pg/compat.hpp"
#include "pg/query.hpp"

namespace dbopt::partition {

[[noreturn]] void refuse(int code, std::string message, std::string detail, std::string hint) {
    pg::raise({.code = code, .message = std::move(message), .detail = std::move(detail),
               .hint = std::move(hint)});
}

void check_table(const pg::partitioned_table &t, const pg::relation_info &r) {
    const std::string name = r.qualified();
    if (pg::is_catalog(r))
        refuse(ERRCODE_INSUFFICIENT_PRIVILEGE, name + " is a system catalog", "",
               "Only tables of applications can be managed.");
    if (r.persistence == 't')
        refuse(ERRCODE_WRONG_OBJECT_TYPE, name + " is a temporary table",
               "It ends with its session, and other processes cannot see it.", "Use a permanent table.");
    if (t.strategy == 0)
        refuse(ERRCODE_WRONG_OBJECT_TYPE,
               name + " is a " + pg::kind_name(r.kind) + " without a partition key", "",
               r.kind == 'r' ? "CALL dbopt.partition_convert('" + name +
                                   "', 'key_column', '1 month') turns it into a partitioned table."
                             : "Give a table made with PARTITION BY RANGE.");
    if (t.strategy != 'r')
        refuse(ERRCODE_WRONG_OBJECT_TYPE,
               name + " is partitioned by " + (t.strategy == 'l' ? "list" : "hash") + ", not by range",
               "List and hash partitions have no order in which time passes.",
               "Sub-partitions by list or hash can come from a template; the first level must be RANGE.");
    if (r.is_partition)
        refuse(ERRCODE_WRONG_OBJECT_TYPE, name + " is itself a partition of another table", "",
               "Manage the topmost table and describe the lower levels by a template.");
}

void check_template(const manage_options &o, const pg::partitioned_table &t) {
    if (!o.template_table || *o.template_table == InvalidOid)
        return;
    const pg::relation_info r = pg::get_relation(*o.template_table);
    if (*o.template_table == t.relation || (r.kind != 'r' && r.kind != 'p'))
        refuse(ERRCODE_WRONG_OBJECT_TYPE,
               r.qualified() + " cannot be the template: it is " +
                   (*o.template_table == t.relation ? "the parent itself" : "a " + pg::kind_name(r.kind)),
               "", "Make one with CREATE TABLE ... (LIKE parent) and give it the storage options, "
                   "indexes and sub-partitions that new partitions should have.");
    pg::require_owner(*o.template_table);
    if (pg::is_catalog(r))
        refuse(ERRCODE_INSUFFICIENT_PRIVILEGE, r.qualified() + " is a system catalog: it cannot be the template", "",
               "Make one with CREATE TABLE ... (LIKE parent).");
    if (const auto column = pg::scalar<std::string>(
            "SELECT format('%I %s', p.attname, format_type(p.atttypid, p.atttypmod)) FROM pg_attribute p WHERE p.attrelid = $1 AND p.attnum > 0 "
            "AND NOT p.attisdropped AND NOT EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = $2 AND t.attname = p.attname AND t.attnum > 0 "
            "AND NOT t.attisdropped AND t.atttypid = p.atttypid AND t.atttypmod = p.atttypmod) ORDER BY p.attnum LIMIT 1",
            {t.relation, *o.template_table}))
        refuse(ERRCODE_DATATYPE_MISMATCH, r.qualified() + " cannot be the template: it has no column " + *column, "It has to be a table like the parent.",
               "Make one with CREATE TABLE ... (LIKE " + pg::qualified_name(t.relation) + ").");
}

// Bounds that ids of 64 bits cannot express would pass for MAXVALUE.
void check_bounds(const pg::partitioned_table &t) {
    if (t.key_type != NUMERICOID)
        return;
    for (const pg::partition_entry &e : t.partitions) {
        if (e.range.lower != core::minus_infinity && e.range.lower != core::infinity && e.range.upper != core::infinity)
            continue;
        const std::string text = pg::scalar<std::string>("SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = $1", {e.relation}).value_or("");
        if ((e.range.upper == core::infinity && text.find(") TO (MAXVALUE") == std::string::npos) ||
            (e.range.lower == core::minus_infinity && text.find("FROM (MINVALUE") == std::string::npos))
            refuse(ERRCODE_FEATURE_NOT_SUPPORTED, pg::qualified_name(e.relation) + " has bounds beyond 64 bits: " + text,
                   "Ids are counted with 64 bits.", "Such a table cannot be managed.");
    }
}

// A start long ago is meant or mistyped: thousands of partitions are made, tens of thousands are not.
void check_start(const open_set &s) {
    if (!s.config.start)
        return;
    constexpr int most = 10000;
    const core::position end = s.calendar.floor(current_position(s));
    if (*s.config.start < end && core::cut(s.calendar, *s.config.start, end, most).empty())
        refuse(ERRCODE_INVALID_PARAMETER_VALUE, "start_at \"" + s.config.start_at.value_or("") + "\" is more than " + std::to_string(most) +
                   " steps of " + s.config.step + " ago", "Each step would be a partition.", "Begin later, or choose a longer step.");
}

void check_schema(const pg::partitioned_table &t, const set_config &s) {
    const auto need_create = [&](Oid schema, const std::string &name) {
        if (!pg::call([&] { return pg::compat::may_create_in(schema, t.owner); }))
            refuse(ERRCODE_INSUFFICIENT_PRIVILEGE,
                   "role \"" + pg::role_name(t.owner) + "\" may not create tables in schema \"" + name + "\"",
                   "New partitions belong to the owner of the parent, who needs that right.",
                   "GRANT CREATE ON SCHEMA " + pg::quote_identifier(name) + " TO " +
                       pg::quote_identifier(pg::role_name(t.owner)));
    };
    const char *own = pg::call([&] { return get_namespace_name(t.schema); });
    need_create(t.schema, own);
    if (s.mode != retirement::archive)
        return;
    if (!s.archive_schema)
        refuse(ERRCODE_INVALID_PARAMETER_VALUE, "retention_mode 'archive' needs an archive_schema", "",
               "For example archive_schema => 'archive'.");
    const Oid archive = pg::call([&] { return get_namespace_oid(s.archive_schema->c_str(), true); });
    if (archive == InvalidOid)
        refuse(ERRCODE_UNDEFINED_SCHEMA, "schema \"" + *s.archive_schema + "\" does not exist", "",
               "CREATE SCHEMA " + pg::quote_identifier(*s.archive_schema));
    need_create(archive, *s.archive_schema);
    if (!s.archive_tablespace)
        return;
    const pg::result space = pg::query("SELECT has_tablespace_privilege($2, oid, 'CREATE') FROM pg_tablespace WHERE spcname = $1", {*s.archive_tablespace, t.owner});
    if (space.empty())
        refuse(ERRCODE_UNDEFINED_OBJECT, "tablespace \"" + *s.archive_tablespace + "\" does not exist", "", "SELECT spcname FROM pg_tablespace lists them.");
    if (!space[0].get<bool>(0))
        refuse(ERRCODE_INSUFFICIENT_PRIVILEGE, "role \"" + pg::role_name(t.owner) + "\" may not create tables in tablespace \"" + *s.archive_tablespace + "\"", "",
               "GRANT CREATE ON TABLESPACE " + pg::quote_identifier(*s.archive_tablespace) + " TO " + pg::quote_identifier(pg::role_name(t.owner)));
}

} // namespace dbopt::partition
