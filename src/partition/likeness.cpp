// Between the making of a copy and its swap hours may pass, and the source is in use. What is granted,
// revoked or altered meanwhile must not be undone by the swap.
#include "partition/conversion.hpp"
#include "partition/recipe_sql.hpp"
#include "pg/query.hpp"

namespace dbopt::partition {

namespace {

// Relations of the copy whose rights or row security are not the source's: who may do what, whoever
// granted it.
std::vector<Oid> unlike(const work &w) {
    std::vector<Oid> all;
    for (const pg::row r : pg::query(
             "WITH r AS (SELECT oid, relacl, relowner, relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid IN ($1, $2) "
             "OR oid IN (SELECT relid FROM pg_partition_tree($2::oid::regclass))), "
             "a AS (SELECT oid, format('%s %s %s', grantee, privilege_type, bool_or(is_grantable)) AS one "
             "FROM r, aclexplode(coalesce(relacl, acldefault('r', relowner))) GROUP BY oid, grantee, privilege_type "
             "UNION ALL SELECT attrelid, format('%s %s %s %s', grantee, privilege_type, bool_or(is_grantable), attname) "
             "FROM pg_attribute, aclexplode(attacl) WHERE attrelid IN (SELECT oid FROM r) AND NOT attisdropped "
             "GROUP BY attrelid, attname, grantee, privilege_type), "
             "f AS (SELECT oid, relrowsecurity AS rs, relforcerowsecurity AS fs, "
             "(SELECT array_agg(one ORDER BY one) FROM a WHERE a.oid = r.oid) AS rights FROM r) "
             "SELECT f.oid FROM f JOIN f s ON s.oid = $1 WHERE f.oid <> $1 AND (f.rs, f.fs, f.rights) IS DISTINCT FROM (s.rs, s.fs, s.rights)",
             {w.source, w.staging}))
        all.push_back(r.get<Oid>(0));
    return all;
}

void make_alike(Oid source, Oid target) {
    const std::string name = pg::qualified_name(target);
    for (const pg::row r : pg::query(
             "SELECT DISTINCT CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END FROM ("
             "SELECT (aclexplode(relacl)).grantee FROM pg_class WHERE oid = $1 UNION ALL "
             "SELECT (aclexplode(attacl)).grantee FROM pg_attribute WHERE attrelid = $1 AND NOT attisdropped) x", {target}))
        pg::query("REVOKE ALL ON " + name + " FROM " + r.get<std::string>(0) + " CASCADE");
    pg::query("GRANT ALL ON " + name + " TO " + pg::quote_identifier(pg::role_name(pg::owner_of(target))));
    const pg::result found = pg::query(recipe_sql, {source, pg::value(Oid{0})});
    if (!found[0].null(6))
        for (std::string command : found[0].get<std::vector<std::string>>(6)) {
            if (!command.starts_with("GRANT ") && !command.starts_with("REVOKE "))
                continue;
            for (size_t at; (at = command.find('\1')) != std::string::npos;)
                command.replace(at, 1, name);
            pg::query(command);
        }
    const pg::result flags = pg::query("SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = $1", {source});
    pg::query("ALTER TABLE " + name + (flags[0].get<bool>(0) ? " ENABLE" : " DISABLE") + " ROW LEVEL SECURITY, " +
              (flags[0].get<bool>(1) ? "FORCE" : "NO FORCE") + " ROW LEVEL SECURITY");
}

} // namespace

bool align_rights(const work &w) {
    const pg::as_owner owner(pg::owner_of(w.source));
    const std::vector<Oid> others = unlike(w);
    for (const Oid other : others)
        make_alike(w.source, other);
    if (!others.empty() && !unlike(w).empty())
        pg::raise({.code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                   .message = "the rights on " + pg::qualified_name(w.source) + " were changed, and its copy cannot get the same",
                   .hint = "CALL dbopt.partition_convert_abort and start again."});
    return !others.empty();
}

void copy_rights(Oid source, Oid target) { make_alike(source, target); }

std::vector<std::string> differences(Oid source, Oid copy, bool not_null) {
    const pg::as_owner owner(pg::owner_of(source));
    std::vector<std::string> all;
    for (const pg::row r : pg::query(
             "WITH c AS (SELECT attrelid, attname, format_type(atttypid, atttypmod), attcollation, attnotnull AND $3, attidentity, attgenerated, "
             "(SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = attrelid AND adnum = attnum) FROM pg_attribute "
             "WHERE attrelid IN ($1, $2) AND attnum > 0 AND NOT attisdropped), "
             "k AS (SELECT conrelid, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid IN ($1, $2) AND contype = 'c') "
             "SELECT DISTINCT quote_ident(name) FROM ("
             "(SELECT (c).attname AS name, to_jsonb(c) - 'attrelid' AS j, attrelid AS t FROM c UNION ALL SELECT (k).conname, to_jsonb(k) - 'conrelid', conrelid FROM k)) x "
             "GROUP BY name, j HAVING count(*) <> 2", {source, copy, not_null}))
        all.push_back(r.get<std::string>(0) + ": is not the same in both tables any more");
    return all;
}

void refuse_if_altered(const work &w) {
    std::vector<std::string> all = differences(w.source, w.staging, w.kind == "revert");
    // What was bound to the table since the plan was made.
    for (const plan_row &r : dependents_of(w.source, w.kind == "revert" || w.accept_lost))
        if (r.kind == "obstacle")
            all.push_back(r.item + ": " + r.detail);
    if (hides_rows_from_owner(w.source))
        all.push_back(pg::qualified_name(w.source) + ": its row-level security is forced: the owner may not see all rows");
    if (w.kind == "revert" || !w.accept_lost)
        for (const pg::row r : pg::query("SELECT quote_ident(conname), conrelid::regclass::text FROM pg_constraint "
                                         "WHERE confrelid = $1 AND contype = 'f' AND conparentid = 0", {w.source}))
            all.push_back(r.get<std::string>(0) + ": foreign key of " + r.get<std::string>(1) + " refers to the table");
    if (w.kind != "revert")
        for (const pg::row r : pg::query("SELECT indexrelid::regclass::text FROM pg_index i JOIN pg_class x ON x.oid = indexrelid WHERE indrelid = $1 AND indisvalid "
                                         "AND relname NOT LIKE '\\_dbopt\\_own\\_%' AND NOT EXISTS (SELECT FROM pg_index JOIN pg_class c ON c.oid = indexrelid "
                                         "WHERE indrelid = $2 AND relname = '_dbopt_' || i.indexrelid)", {w.source, w.staging}))
            all.push_back(r.get<std::string>(0) + ": the copy lacks this index");
    if (!all.empty())
        pg::raise({.code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, .message = pg::qualified_name(w.source) + " was altered while it was converted",
                   .detail = join(all, "\n"),
                   .hint = w.kind == "revert" ? "Nothing was swapped."
                                              : "Undo it and call again, or CALL dbopt.partition_convert_abort and start anew."});
}

} // namespace dbopt::partition
