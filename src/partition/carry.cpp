// What hangs on a table by name and goes along in a swap: comments and statistics objects.
#include "partition/swapper.hpp"
#include "pg/query.hpp"

namespace dbopt::partition {

// Those of indexes and columns come with the copy. The swap drops or renames what these are on, so they
// are read before.
void swapper::collect_comments() {
    for (const pg::row r : pg::query(
             "SELECT what, name, text FROM ("
             "SELECT 'TRIGGER' AS what, tgname::text AS name, obj_description(oid, 'pg_trigger') AS text FROM pg_trigger WHERE tgrelid = $1 AND NOT tgisinternal "
             "UNION ALL SELECT 'POLICY', polname, obj_description(oid, 'pg_policy') FROM pg_policy WHERE polrelid = $1 "
             "UNION ALL SELECT 'RULE', rulename, obj_description(oid, 'pg_rewrite') FROM pg_rewrite WHERE ev_class = $1 "
             "UNION ALL SELECT 'CONSTRAINT', conname, obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE conrelid = $1) x WHERE text IS NOT NULL", {w.source}))
        comments.push_back({r.get<std::string>(0), r.get<std::string>(1), r.get<std::string>(2)});
}

void swapper::apply_comments() const {
    for (const comment &c : comments) {
        const auto there = pg::scalar<bool>(
            c.what == "TRIGGER"  ? "SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = $1 AND tgname = $2)"
            : c.what == "POLICY" ? "SELECT EXISTS (SELECT FROM pg_policy WHERE polrelid = $1 AND polname = $2)"
            : c.what == "RULE"   ? "SELECT EXISTS (SELECT FROM pg_rewrite WHERE ev_class = $1 AND rulename = $2)"
                                 : "SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = $1 AND conname = $2)", {w.staging, c.name});
        if (there && *there) {
            pg::query("COMMENT ON " + c.what + " " + pg::quote_identifier(c.name) + " ON " + final_name() + " IS " + pg::quote_literal(c.text));
            continue;
        }
        // A unique constraint without the partition key is an ordinary index by now.
        const auto index = pg::scalar<Oid>("SELECT indexrelid::oid FROM pg_index JOIN pg_class x ON x.oid = indexrelid WHERE indrelid = $1 AND relname = $2 "
                                           "AND obj_description(indexrelid, 'pg_class') IS NULL", {w.staging, c.name});
        if (index)
            pg::query("COMMENT ON INDEX " + pg::qualified_name(*index) + " IS " + pg::quote_literal(c.text));
    }
    // Of the table and its columns, where they changed since the copy was made.
    for (const pg::row r : pg::query(
             "SELECT CASE WHEN sub = 0 THEN 'TABLE ' || $3 ELSE 'COLUMN ' || $3 || '.' || quote_ident(name) END || ' IS ' || coalesce(quote_literal(ours), 'NULL') FROM ("
             "SELECT 0 AS sub, '' AS name, obj_description($1, 'pg_class') AS ours, obj_description($2, 'pg_class') AS theirs UNION ALL "
             "SELECT o.attnum, o.attname, col_description($1, o.attnum), col_description($2, n.attnum) FROM pg_attribute o JOIN pg_attribute n ON n.attrelid = $2 AND n.attname = o.attname "
             "WHERE o.attrelid = $1 AND o.attnum > 0 AND NOT o.attisdropped) x WHERE ours IS DISTINCT FROM theirs", {w.source, w.staging, final_name()}))
        pg::query("COMMENT ON " + r.get<std::string>(0));
}

namespace {

std::string in_schema(const std::string &schema, const std::string &name) { return pg::quote_identifier(schema) + "." + pg::quote_identifier(name); }

std::string free_statistics_name(const std::string &schema, const std::string &base, const std::string &suffix) {
    for (int i = 1;; ++i) {
        const std::string name = core::bounded_name(base, i == 1 ? suffix : suffix + "_" + std::to_string(i), NAMEDATALEN - 1);
        if (!*pg::scalar<bool>("SELECT EXISTS (SELECT FROM pg_statistic_ext JOIN pg_namespace n ON n.oid = stxnamespace WHERE nspname = $1 AND stxname = $2)", {schema, name}))
            return name;
    }
}

struct statistics_object {
    Oid oid;
    std::string schema, name, columns, kinds, list;
    int64_t target;
    std::optional<std::string> comment;
};

// Of the table's owner; others cannot be renamed with his rights.
std::vector<statistics_object> statistics_of(Oid table) {
    std::vector<statistics_object> all;
    for (const pg::row r : pg::query(
             "SELECT s.oid, n.nspname::text, s.stxname::text, pg_get_statisticsobjdef_columns(s.oid), s.stxkind::text, "
             "coalesce((SELECT ' (' || string_agg(CASE k WHEN 'd' THEN 'ndistinct' WHEN 'f' THEN 'dependencies' ELSE 'mcv' END, ', ') || ')' FROM unnest(s.stxkind) k WHERE k <> 'e'), ''), "
             "coalesce(s.stxstattarget, -1)::bigint, obj_description(s.oid, 'pg_statistic_ext') FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace "
             "JOIN pg_class c ON c.oid = s.stxrelid WHERE s.stxrelid = $1 AND pg_has_role(c.relowner, s.stxowner, 'USAGE') ORDER BY s.oid", {table}))
        all.push_back({r.get<Oid>(0), r.get<std::string>(1), r.get<std::string>(2), r.get<std::string>(3), r.get<std::string>(4), r.get<std::string>(5),
                       r.get<int64_t>(6), r.optional<std::string>(7)});
    return all;
}

// The first of `among` that holds the same; it is taken out.
std::optional<statistics_object> take_like(const statistics_object &s, std::vector<statistics_object> &among) {
    for (auto i = among.begin(); i != among.end(); ++i)
        if (i->columns == s.columns && i->kinds == s.kinds) {
            statistics_object found = *i;
            among.erase(i);
            return found;
        }
    return std::nullopt;
}

void set_target(const std::string &name, int64_t target) {
    pg::query("ALTER STATISTICS " + name + " SET STATISTICS " + std::to_string(target));
}

} // namespace

void statistics_targets(Oid source, Oid copy) {
    std::vector<statistics_object> made = statistics_of(copy);
    for (const statistics_object &s : statistics_of(source))
        if (const auto same = take_like(s, made); same && same->target != s.target)
            set_target(in_schema(same->schema, same->name), s.target);
}

// After rename(). The new table has its own, by the names that LIKE gave them.
void swapper::statistics() const {
    std::vector<statistics_object> made = statistics_of(w.staging);
    for (const statistics_object &s : statistics_of(w.source)) {
        const std::string wanted = in_schema(s.schema, s.name);
        pg::query("ALTER STATISTICS " + wanted + " RENAME TO " + pg::quote_identifier(free_statistics_name(s.schema, s.name, away)));
        const auto same = take_like(s, made);
        if (same) {
            if (same->schema != s.schema)
                pg::query("ALTER STATISTICS " + in_schema(same->schema, same->name) + " SET SCHEMA " + pg::quote_identifier(s.schema));
            if (same->name != s.name)
                pg::query("ALTER STATISTICS " + in_schema(s.schema, same->name) + " RENAME TO " + pg::quote_identifier(s.name));
        } else {
            pg::query("CREATE STATISTICS " + wanted + s.list + " ON " + s.columns + " FROM " + final_name());
        }
        if ((same ? same->target : -1) != s.target)
            set_target(wanted, s.target);
        if (s.comment)
            pg::query("COMMENT ON STATISTICS " + wanted + " IS " + pg::quote_literal(*s.comment));
    }
    for (const statistics_object &s : made) // dropped on the other table since
        pg::query("DROP STATISTICS " + in_schema(s.schema, s.name));
}

} // namespace dbopt::partition
