#include "partition/safety.hpp"
#include "pg/query.hpp"

namespace dbopt::partition {

void missed(int &times, int64_t took_ms, int64_t allowed_ms) {
    const std::string message = "the swap took " + std::to_string(took_ms) + " ms, longer than max_lock";
    if (++times < most_missed_swaps)
        pg::raise({.code = ERRCODE_LOCK_NOT_AVAILABLE, .message = message});
    pg::raise({.code = ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, .message = message,
               .detail = std::to_string(times) + " tries took more than " + std::to_string(allowed_ms) + " ms and were undone.",
               .hint = "Call again with a longer max_lock: the work up to the swap is kept."});
}

// Written into the catalog: ALTER TRIGGER ... DEPENDS ON EXTENSION would lock readers out, and tables
// have no such command.
void tie_to_extension(Oid source, const work_names &names) {
    const pg::as_owner power(extension_owner());
    pg::execute("INSERT INTO pg_depend (classid, objid, objsubid, refclassid, refobjid, refobjsubid, deptype) "
                "SELECT o.class, o.oid, 0, 'pg_extension'::regclass, e.oid, 0, 'x' FROM pg_extension e, ("
                "SELECT 'pg_class'::regclass AS class, to_regclass(t)::oid AS oid FROM unnest(ARRAY[$2, $3]) t "
                "UNION ALL SELECT 'pg_proc'::regclass, to_regprocedure($4 || '()')::oid "
                "UNION ALL SELECT 'pg_trigger'::regclass, oid FROM pg_trigger WHERE tgrelid = $1 AND NOT tgisinternal "
                "AND tgname IN ($5, $5 || '_truncate')) o WHERE e.extname = 'dbopt' AND o.oid IS NOT NULL",
                {source, names.log, names.batch, names.function, names.trigger});
}

bool remove_leftovers(Oid source) {
    const std::optional<pg::relation_info> info = pg::find_relation(source);
    if (!info || load_work(source))
        return false;
    const work_names names(source, info->schema_oid);
    // Only what belongs to the table's owner: another role may have made a table of this name.
    const bool staged = pg::scalar<bool>("SELECT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass($1) AND relowner = $2 AND relkind = 'p')",
                                         {names.staging, info->owner}).value_or(false);
    const bool captured = pg::scalar<bool>("SELECT EXISTS (SELECT FROM pg_proc WHERE oid = to_regprocedure($1 || '()') AND proowner = $2)",
                                           {names.function, info->owner}).value_or(false);
    if (!staged && !captured)
        return false;
    const pg::as_owner owner(info->owner);
    if (captured)
        remove_capture(source);
    if (staged)
        pg::query("DROP TABLE " + names.staging);
    return true;
}

bool undone_by_hand(const work &finished) {
    const std::optional<pg::relation_info> made = pg::find_relation(finished.staging);
    return finished.phase == "done" && (!made || made->kind != 'p');
}

void forget_dropped() {
    const pg::as_owner writer(extension_owner());
    pg::execute("DELETE FROM dbopt.partition_work w WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = w.source) "
                "AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = w.staging)");
    pg::execute("DELETE FROM dbopt.partition_piece p WHERE NOT EXISTS (SELECT FROM dbopt.partition_work w WHERE w.source = p.source) "
                "AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = p.source)");
}

std::vector<std::string> publications_of_new_tables(Oid schema) {
    std::vector<std::string> all;
    for (const pg::row r : pg::query("SELECT quote_ident(pubname) FROM pg_publication p WHERE puballtables OR EXISTS "
                                     "(SELECT FROM pg_publication_namespace n WHERE n.pnpubid = p.oid AND n.pnnspid = $1) ORDER BY 1", {schema}))
        all.push_back(r.get<std::string>(0));
    return all;
}

std::map<std::string, std::string> equalities(Oid source) {
    std::map<std::string, std::string> all;
    for (const pg::row r : pg::query(
             "SELECT DISTINCT ON (a.attname) quote_ident(a.attname), format('OPERATOR(%I.%s)', n.nspname, o.oprname) FROM pg_index i, "
             "unnest(i.indkey::int2[], i.indclass::oid[]) k(att, class) JOIN pg_opclass c ON c.oid = k.class JOIN pg_amop m ON m.amopfamily = c.opcfamily "
             "AND m.amopstrategy = 3 AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype JOIN pg_operator o ON o.oid = m.amopopr "
             "JOIN pg_namespace n ON n.oid = o.oprnamespace JOIN pg_attribute a ON a.attnum = k.att "
             "WHERE i.indrelid = $1 AND a.attrelid = $1 AND i.indisunique AND c.opcmethod = 403 ORDER BY a.attname, i.indisprimary DESC", {source}))
        all[r.get<std::string>(0)] = r.get<std::string>(1);
    return all;
}

} // namespace dbopt::partition
