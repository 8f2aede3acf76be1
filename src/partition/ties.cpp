#include "partition/ties.hpp"
#include "pg/query.hpp"
#include "pg/replace_query.hpp"
#include "pg/transaction.hpp"

namespace dbopt::partition {

namespace {

// $1 the table, $2 whether texts are wanted. One row per tie; kinds as in tie_kind, by name.
constexpr const char *ties_sql = R"sql(
WITH types AS MATERIALIZED (
    SELECT unnest(ARRAY[t.oid, nullif(t.typarray, 0)]) AS type FROM pg_class c JOIN pg_type t ON t.oid = c.reltype WHERE c.oid = $1),
deps AS MATERIALIZED (
    SELECT classid, objid, objsubid, bool_or(by_type) AS by_type, bool_or(NOT by_type) AS by_table FROM (
        SELECT classid, objid, objsubid, false AS by_type FROM pg_depend WHERE refclassid = 'pg_class'::regclass AND refobjid = $1
        UNION ALL
        SELECT classid, objid, objsubid, true FROM pg_depend JOIN types ON refobjid = type WHERE refclassid = 'pg_type'::regclass) d
    GROUP BY 1, 2, 3),
rewrites AS (
    SELECT DISTINCT w.oid AS rule, w.rulename, c.oid, c.relkind, c.relowner, c.reloptions FROM deps
    JOIN pg_rewrite w ON w.oid = objid JOIN pg_class c ON c.oid = w.ev_class
    WHERE classid = 'pg_rewrite'::regclass AND w.ev_class <> $1),
functions AS (
    SELECT p.oid, p.proowner, p.prokind, p.prosqlbody IS NOT NULL AS bound,
           EXISTS (SELECT FROM types WHERE type = ANY (p.proargtypes)) AS takes,
           EXISTS (SELECT FROM types WHERE type = p.prorettype OR type = ANY (p.proallargtypes)) AS gives
    FROM (SELECT DISTINCT objid FROM deps WHERE classid = 'pg_proc'::regclass) d JOIN pg_proc p ON p.oid = objid),
known AS (
    SELECT CASE WHEN rulename <> '_RETURN' THEN 'rule' WHEN relkind = 'm' THEN 'materialized view' ELSE 'view' END AS what,
           CASE WHEN rulename <> '_RETURN' THEN quote_ident(rulename) || ' on ' || oid::regclass ELSE oid::regclass::text END AS name,
           CASE WHEN rulename <> '_RETURN' THEN rule ELSE oid END AS object, relowner AS owner,
           CASE WHEN NOT $2 THEN '' WHEN rulename <> '_RETURN' THEN regexp_replace(pg_get_ruledef(rule), '^CREATE', 'CREATE OR REPLACE')
                WHEN relkind = 'm' THEN pg_get_viewdef(oid)
                ELSE 'CREATE OR REPLACE VIEW ' || oid::regclass || coalesce(' WITH (' || array_to_string(reloptions, ', ') || ')', '') || ' AS ' || pg_get_viewdef(oid)
           END AS command
    FROM rewrites
    UNION ALL
    SELECT 'policy', quote_ident(polname) || ' on ' || polrelid::regclass, p.oid, c.relowner,
           CASE WHEN $2 THEN format('ALTER POLICY %I ON %s', polname, polrelid::regclass) || coalesce(' USING (' || pg_get_expr(polqual, polrelid) || ')', '') ||
                             coalesce(' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')', '') ELSE '' END
    FROM (SELECT DISTINCT objid FROM deps WHERE classid = 'pg_policy'::regclass) d JOIN pg_policy p ON p.oid = objid JOIN pg_class c ON c.oid = polrelid
    WHERE polrelid <> $1
    UNION ALL
    -- a bound body that returns the row type would go on reading the old table
    SELECT CASE WHEN bound AND gives AND NOT takes THEN 'function with a bound body that returns the row type'
                WHEN takes OR gives THEN 'function with the row type' ELSE 'function' END, oid::regprocedure::text, oid, proowner,
           CASE WHEN $2 AND prokind <> 'a' AND (takes OR NOT gives) THEN pg_get_functiondef(oid) ELSE '' END
    FROM functions WHERE takes OR gives OR bound
    UNION ALL
    SELECT CASE WHEN c.relkind IN ('v', 'm') THEN 'view column' ELSE 'column' END, c.oid::regclass || '.' || quote_ident(a.attname), c.oid, c.relowner, ''
    FROM deps JOIN pg_class c ON c.oid = objid JOIN pg_attribute a ON a.attrelid = objid AND a.attnum = objsubid
    WHERE classid = 'pg_class'::regclass AND by_type AND objsubid <> 0 AND objid <> $1 AND NOT a.attisdropped AND NOT c.relispartition
    UNION ALL
    SELECT CASE WHEN by_table THEN 'other' ELSE 'other with the row type' END, pg_describe_object(classid, objid, objsubid), objid, 0::oid, ''
    FROM deps WHERE CASE classid
        WHEN 'pg_rewrite'::regclass THEN false
        WHEN 'pg_policy'::regclass THEN false
        WHEN 'pg_proc'::regclass THEN NOT EXISTS (SELECT FROM functions f WHERE f.oid = objid AND (takes OR gives OR bound))
        WHEN 'pg_class'::regclass THEN objsubid = 0 AND objid <> $1
            AND NOT EXISTS (SELECT FROM pg_class WHERE oid = objid AND relkind IN ('S', 't'))
            AND NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = objid AND indrelid = $1)
            AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = objid AND inhparent = $1)
        WHEN 'pg_type'::regclass THEN NOT EXISTS (SELECT FROM types WHERE type = objid)
            AND NOT EXISTS (SELECT FROM pg_type WHERE oid = objid AND typrelid = $1)
        WHEN 'pg_attrdef'::regclass THEN NOT EXISTS (SELECT FROM pg_attrdef WHERE oid = objid AND adrelid = $1)
        WHEN 'pg_constraint'::regclass THEN NOT EXISTS (SELECT FROM pg_constraint WHERE oid = objid AND $1 IN (conrelid, confrelid))
        WHEN 'pg_trigger'::regclass THEN NOT EXISTS (SELECT FROM pg_trigger WHERE oid = objid AND (tgrelid = $1 OR tgisinternal))
        WHEN 'pg_statistic_ext'::regclass THEN false
        WHEN 'pg_publication_rel'::regclass THEN false
        ELSE true END)
SELECT what, name, object, owner, command, EXISTS (SELECT FROM functions f WHERE f.oid = object AND takes) FROM known ORDER BY what, name
)sql";

tie_kind kind_of(const std::string &what) {
    constexpr std::pair<const char *, tie_kind> kinds[] = {
        {"view", tie_kind::view}, {"materialized view", tie_kind::matview}, {"rule", tie_kind::rule}, {"policy", tie_kind::policy},
        {"function", tie_kind::function}, {"function with the row type", tie_kind::row_function}, {"column", tie_kind::row_column},
        {"view column", tie_kind::view_column}, {"other with the row type", tie_kind::row_other}};
    for (const auto &[name, kind] : kinds)
        if (what == name)
            return kind;
    return tie_kind::other;
}

// Whether the name still leads to the object that was to be made anew.
bool same_object(const tie &t) {
    switch (t.kind) {
    case tie_kind::view:
    case tie_kind::matview:
        return pg::scalar<Oid>("SELECT to_regclass($1)::oid", {t.name}) == t.object;
    case tie_kind::function:
        return pg::scalar<Oid>("SELECT to_regprocedure($1)::oid", {t.name}) == t.object;
    case tie_kind::rule:
        return pg::scalar<bool>("SELECT EXISTS (SELECT FROM pg_rewrite WHERE oid = $1)", {t.object}).value_or(false);
    default:
        return true;
    }
}

} // namespace

std::vector<tie> ties_of(Oid table, bool commands) {
    std::vector<tie> all;
    for (const pg::row r : pg::query(ties_sql, {table, commands}))
        all.push_back({kind_of(r.get<std::string>(0)), r.get<std::string>(0), r.get<std::string>(1), r.get<bool>(5), r.get<Oid>(2), r.get<Oid>(3), r.get<std::string>(4)});
    return all;
}

// One that was dropped after ties_of() would be created by its command, and must not become another
// role's. Then the swap is undone.
void bind_anew(const std::vector<tie> &ties) {
    for (const tie &t : ties) {
        if (!t.moves())
            continue;
        const pg::as_owner owner(t.owner);
        if (t.kind == tie_kind::matview)
            pg::replace_query(t.object, t.command); // its rows stay; there is no SQL for it
        else
            pg::query(t.command);
        if (!same_object(t))
            pg::raise({.code = ERRCODE_OBJECT_IN_USE, .message = t.what + " " + t.name + " was changed during the swap",
                       .hint = "Call it again: everything up to the swap is kept."});
    }
}

namespace {

void repeat(const tie &t) {
    const pg::as_owner owner(t.owner);
    pg::set_local("check_function_bodies", "off");
    // The argument's type has the old table's name by now, and the text names the new one.
    const pg::result old = pg::query("SELECT proacl IS NOT NULL, CASE WHEN prokind = 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, obj_description(oid, 'pg_proc') "
                                     "FROM pg_proc WHERE oid = $1", {t.object});
    if (pg::scalar<Oid>("SELECT to_regprocedure($1)::oid", {t.name}))
        return; // the way back: the one for the old table's rows is there
    pg::query(t.command);
    const std::string name = old[0].get<std::string>(1) + " " + t.name;
    if (old[0].get<bool>(0))
        pg::query("REVOKE ALL ON " + name + " FROM PUBLIC");
    for (const pg::row r : pg::query("SELECT CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END || "
                                     "CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END FROM pg_proc, aclexplode(proacl) WHERE oid = $1 AND grantee <> proowner", {t.object}))
        pg::query("GRANT EXECUTE ON " + name + " TO " + r.get<std::string>(0));
    if (const auto comment = old[0].optional<std::string>(2))
        pg::query("COMMENT ON " + name + " IS " + pg::quote_literal(*comment));
}

} // namespace

void repeat_row_functions(const std::vector<tie> &ties) {
    for (const tie &t : ties) {
        if (t.kind != tie_kind::row_function || t.command.empty())
            continue;
        if (const std::optional<pg::error> failure = pg::subtransaction([&] { repeat(t); }))
            pg::notice("function " + t.name + " could not be made for the new table's rows: " + std::string(failure->message()));
    }
}

} // namespace dbopt::partition
