#include "partition/conversion.hpp"
#include "pg/bulk_copy.hpp"
#include "pg/pause.hpp"
#include "pg/query.hpp"
#include "pg/relation.hpp"
#include "pg/transaction.hpp"
#include <algorithm>

namespace dbopt::partition {

work_names::work_names(Oid source, Oid schema) {
    const char *in = pg::call([&] { return get_namespace_name(schema); });
    const std::string prefix = pg::quote_identifier(in != nullptr ? in : "public") + ".", id = std::to_string(source);
    log = prefix + "_dbopt_log_" + id;
    batch = prefix + "_dbopt_batch_" + id;
    function = prefix + "_dbopt_capture_" + id;
    staging = prefix + "_dbopt_new_" + id;
    trigger = "_dbopt_capture";
}

namespace {
work_names names_of(const work &w) {
    return {w.source, pg::get_relation(w.source).schema_oid};
}
} // namespace

std::optional<work> load_work(Oid source) {
    const pg::as_owner reader(extension_owner());
    const pg::result found = pg::query(
        "SELECT kind, phase, parent::oid, staging::oid, key_column::text, step, key_unit, timezone, "
        "step_months, step_days, step_us, step_ids, anchor, accept_lost, blocks_done, blocks_total, "
        "rows_copied, changes_applied FROM dbopt.partition_work WHERE source = $1", {source});
    if (found.empty())
        return std::nullopt;
    const pg::row r = found[0];
    work w;
    w.source = source;
    w.kind = r.get<std::string>(0);
    w.phase = r.get<std::string>(1);
    w.parent = r.get_or<Oid>(2, InvalidOid);
    w.staging = r.get_or<Oid>(3, InvalidOid);
    w.key_column = r.get<std::string>(4);
    w.step = r.get<std::string>(5);
    w.set.parent = w.staging;
    w.set.step = w.step;
    w.set.unit = unit_of(r.get<std::string>(6));
    w.set.time_zone = r.get<std::string>(7);
    w.set.size = {r.get<int64_t>(8), r.get<int64_t>(9), r.get<int64_t>(10), r.get<int64_t>(11)};
    w.set.anchor = r.optional<int64_t>(12);
    w.accept_lost = r.get<bool>(13);
    w.blocks_done = r.get<int64_t>(14);
    w.blocks_total = r.get<int64_t>(15);
    w.rows_copied = r.get<int64_t>(16);
    w.changes_applied = r.get<int64_t>(17);
    return w;
}

void store_work(const work &w, const std::string &note) {
    const pg::as_owner writer(extension_owner());
    const auto relation = [](Oid o) { return o != InvalidOid ? pg::value(o) : pg::value(nullptr); };
    pg::execute("INSERT INTO dbopt.partition_work (source, kind, phase, parent, staging, key_column, step, "
                "key_unit, timezone, step_months, step_days, step_us, step_ids, anchor, accept_lost, "
                "blocks_done, blocks_total, rows_copied, changes_applied, detail) "
                "VALUES ($1::oid::regclass, $2, $3, $4::oid::regclass, $5::oid::regclass, $6::name, $7, $8, $9, $10, $11, "
                "$12, $13, $14::bigint, $15, $16, $17, $18, $19, $20) "
                "ON CONFLICT (source) DO UPDATE SET phase = EXCLUDED.phase, staging = EXCLUDED.staging, "
                "accept_lost = EXCLUDED.accept_lost, blocks_done = EXCLUDED.blocks_done, "
                "blocks_total = EXCLUDED.blocks_total, rows_copied = EXCLUDED.rows_copied, "
                "changes_applied = EXCLUDED.changes_applied, detail = EXCLUDED.detail, "
                "updated_at = clock_timestamp()",
                {w.source, w.kind, w.phase, relation(w.parent), relation(w.staging), w.key_column, w.step,
                 unit_name(w.set.unit), w.set.time_zone, w.set.size.months, w.set.size.days, w.set.size.us,
                 w.set.size.ids, w.set.anchor, w.accept_lost, w.blocks_done, w.blocks_total, w.rows_copied,
                 w.changes_applied, note});
    crash_point(w.kind + ":" + w.phase);
}

void forget_work(Oid source) {
    const pg::as_owner writer(extension_owner());
    pg::execute("DELETE FROM dbopt.partition_work WHERE source = $1", {source});
    crash_point("forget");
}

std::vector<std::string> identity_columns(Oid source, const std::string &key_column) {
    std::vector<std::string> columns;
    const auto found = pg::scalar<std::vector<std::string>>(
        "SELECT array_agg(a.attname::text ORDER BY k.n) FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k(att, n), "
        "pg_attribute a WHERE i.indexrelid = (SELECT indexrelid FROM pg_index x WHERE x.indrelid = $1 "
        "AND x.indisunique AND x.indimmediate AND x.indisvalid AND x.indpred IS NULL AND x.indexprs IS NULL "
        "AND NOT EXISTS (SELECT FROM unnest(x.indkey) u(att), pg_attribute b WHERE b.attrelid = $1 "
        "AND b.attnum = u.att AND NOT b.attnotnull) ORDER BY x.indisprimary DESC, x.indnkeyatts LIMIT 1) "
        "AND k.n <= i.indnkeyatts AND a.attrelid = $1 AND a.attnum = k.att", {source});
    if (!found)
        return columns;
    for (const std::string &c : *found)
        columns.push_back(pg::quote_identifier(c));
    const std::string key = pg::quote_identifier(key_column);
    if (std::find(columns.begin(), columns.end(), key) == columns.end())
        columns.push_back(key);
    return columns;
}

std::vector<std::string> stored_columns(Oid source) {
    std::vector<std::string> columns;
    for (const pg::row r : pg::query("SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = $1 "
                                     "AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum", {source}))
        columns.push_back(r.get<std::string>(0));
    return columns;
}

namespace {
std::string prefixed(const std::vector<std::string> &columns, const std::string &prefix) {
    std::vector<std::string> all;
    for (const std::string &c : columns)
        all.push_back(prefix + c);
    return join(all, ", ");
}
std::string matching(const std::vector<std::string> &columns, const char *a, const char *b) {
    std::vector<std::string> all;
    for (const std::string &c : columns)
        all.push_back(std::string(a) + "." + c + " = " + b + "." + c);
    return join(all, " AND ");
}
} // namespace

bool hides_rows_from_owner(Oid table) {
    return pg::scalar<bool>("SELECT relrowsecurity AND relforcerowsecurity AND NOT (rolsuper OR rolbypassrls) "
                            "FROM pg_class c JOIN pg_roles r ON r.oid = relowner WHERE c.oid = $1", {table}).value_or(false);
}

void install_capture(const work &w, const std::string &only_when) {
    const work_names n = names_of(w);
    const std::string source = pg::qualified_name(w.source);
    const std::vector<std::string> keys = identity_columns(w.source, w.key_column);
    const std::string list = join(keys, ", ");
    for (const std::string *table : {&n.log, &n.batch})
        pg::query("CREATE TABLE " + *table + " AS SELECT " + list + " FROM " + source + " WITH NO DATA");
    pg::query("CREATE FUNCTION " + n.function + "() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
              "SET search_path = pg_catalog, pg_temp AS $dbopt$BEGIN\n"
              "IF TG_OP = 'TRUNCATE' THEN RAISE EXCEPTION 'TRUNCATE is not possible while the table is being converted' "
              "USING ERRCODE = 'object_in_use', HINT = 'CALL dbopt.partition_convert_abort first, or DELETE the rows.'; END IF;\n"
              "IF TG_OP <> 'INSERT' THEN INSERT INTO " + n.log + " VALUES (" + prefixed(keys, "OLD.") + "); END IF;\n"
              "IF TG_OP <> 'DELETE' THEN INSERT INTO " + n.log + " VALUES (" + prefixed(keys, "NEW.") + "); END IF;\n"
              "RETURN NULL; END$dbopt$");
    pg::query("REVOKE ALL ON FUNCTION " + n.function + "() FROM PUBLIC");
    if (!only_when.empty()) {
        pg::query("CREATE TRIGGER " + n.trigger + " AFTER INSERT OR UPDATE ON " + source + " FOR EACH ROW WHEN (" + only_when +
                  ") EXECUTE FUNCTION " + n.function + "()");
        pg::query("ALTER TABLE " + source + " ENABLE ALWAYS TRIGGER " + n.trigger);
        return;
    }
    pg::query("CREATE TRIGGER " + n.trigger + " AFTER INSERT OR UPDATE OR DELETE ON " + source +
              " FOR EACH ROW EXECUTE FUNCTION " + n.function + "()");
    pg::query("CREATE TRIGGER " + n.trigger + "_truncate BEFORE TRUNCATE ON " + source +
              " FOR EACH STATEMENT EXECUTE FUNCTION " + n.function + "()");
    // Also for replicated changes, and in sessions with session_replication_role = replica.
    for (const char *suffix : {"", "_truncate"})
        pg::query("ALTER TABLE " + source + " ENABLE ALWAYS TRIGGER " + n.trigger + suffix);
}

void remove_capture(Oid source) {
    const work_names n(source, pg::get_relation(source).schema_oid);
    const std::string table = pg::qualified_name(source);
    pg::set_local("client_min_messages", "warning"); // no word about what was never made
    pg::query("DROP TRIGGER IF EXISTS " + n.trigger + " ON " + table);
    pg::query("DROP TRIGGER IF EXISTS " + n.trigger + "_truncate ON " + table);
    pg::query("DROP FUNCTION IF EXISTS " + n.function + "()");
    pg::query("DROP TABLE IF EXISTS " + n.log);
    pg::query("DROP TABLE IF EXISTS " + n.batch);
}

int64_t waiting_changes(const work &w) {
    const pg::as_owner owner(pg::owner_of(w.source));
    return pg::scalar<int64_t>("SELECT count(*) FROM " + names_of(w).log).value_or(0);
}

int64_t apply_changes(work &w) {
    const pg::as_owner owner(pg::owner_of(w.source));
    const work_names n = names_of(w);
    const std::vector<std::string> keys = identity_columns(w.source, w.key_column);
    // A deferred check would run at COMMIT, with other rights than the owner's.
    pg::query("SET CONSTRAINTS ALL IMMEDIATE");
    // Both tables have an index over the identity by now; nothing is known of the batch, and guessing
    // its size the planner would read the whole of them.
    if (w.phase != "settle")
        for (const char *way : {"enable_hashjoin", "enable_mergejoin", "enable_seqscan", "enable_material", "jit"})
            pg::set_local(way, "off");
    const std::string columns = join(stored_columns(w.source), ", ");
    const std::string staging = pg::qualified_name(w.staging);
    const int64_t taken = pg::execute(
        "WITH gone AS (DELETE FROM " + n.log + " RETURNING *) INSERT INTO " + n.batch + " SELECT DISTINCT * FROM gone");
    if (taken == 0)
        return 0;
    pg::execute("DELETE FROM " + staging + " t USING " + n.batch + " b WHERE " + matching(keys, "t", "b"));
    // The batch holds no identity twice, so the join gives each row once.
    pg::execute("INSERT INTO " + staging + " (" + columns + ") OVERRIDING SYSTEM VALUE SELECT " +
                prefixed(stored_columns(w.source), "s.") + " FROM " + n.batch + " b JOIN ONLY " +
                pg::qualified_name(w.source) + " s ON " + matching(keys, "s", "b"));
    pg::execute("DELETE FROM " + n.batch);
    w.changes_applied += taken;
    return taken;
}

std::vector<std::string> compare_contents(const work &w) {
    const pg::as_owner owner(pg::owner_of(w.source));
    const work_names n = names_of(w);
    const std::vector<std::string> keys = identity_columns(w.source, w.key_column);
    // Types with a hash of their own are hashed as they are, the others through their text.
    const auto row = pg::scalar<std::string>(
        "SELECT 'ROW(' || string_agg(CASE WHEN a.atttypid = ANY ('{bool,int2,int4,int8,float4,float8,numeric,text,"
        "varchar,bpchar,name,uuid,date,timestamp,timestamptz,time,interval,bytea,jsonb,inet,oid}'::regtype[]) "
        "THEN 't.' || quote_ident(attname) ELSE 't.' || quote_ident(attname) || '::text' END, ', ' ORDER BY attnum) || ')' "
        "FROM pg_attribute a WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped", {w.source});
    pg::partitioned_table table = pg::read_partitions({w.staging}, {w.set.unit})[0];
    std::sort(table.partitions.begin(), table.partitions.end(),
              [](const auto &a, const auto &b) { return a.range < b.range; });
    const open_set s(w.set, table);
    std::vector<std::string> edges;
    for (const pg::partition_entry &e : table.partitions)
        if (e.range.lower != core::minus_infinity)
            edges.push_back(s.literal(e.range.lower));
    const std::string type = pg::call([&] { return format_type_be(table.key_type); });
    const std::string bucket = edges.empty() ? "0" : "width_bucket(t." + pg::quote_identifier(w.key_column) + ", ARRAY[" +
                                                   join(edges, ", ") + "]::" + type + "[])";
    const bool pending = pg::scalar<bool>("SELECT EXISTS (SELECT FROM " + n.log + ")").value_or(false);
    const auto side = [&](const std::string &table_name) {
        return "SELECT " + bucket + " AS b, count(*) AS n, sum(hash_record_extended(" + *row + ", 0) >> 16) AS h FROM " +
               table_name + " t" +
               (pending ? " WHERE NOT EXISTS (SELECT FROM " + n.log + " l WHERE " + matching(keys, "l", "t") + ")" : "") +
               " GROUP BY 1";
    };
    // A row whose partition key changed is in the log with both its keys, so both sides leave it out.
    std::vector<std::string> different;
    for (const pg::row r : pg::query(
             "SELECT coalesce(a.b, c.b)::text, coalesce(a.n, 0), coalesce(c.n, 0) FROM (" +
             side("ONLY " + pg::qualified_name(w.source)) + ") a FULL JOIN (" + side(pg::qualified_name(w.staging)) +
             ") c USING (b) WHERE (a.n, a.h) IS DISTINCT FROM (c.n, c.h)"))
        different.push_back("range " + r.get<std::string>(0) + ": " + std::to_string(r.get<int64_t>(1)) +
                            " rows in the source, " + std::to_string(r.get<int64_t>(2)) + " in the copy");
    return different;
}

bool copy_blocks(work &w, int64_t batch_blocks) {
    if (w.blocks_total < 0)
        w.blocks_total = pg::blocks_of(w.source); // later blocks hold captured rows only
    if (w.blocks_done >= w.blocks_total)
        return false;
    pg::partitioned_table table = pg::read_partitions({w.staging}, {w.set.unit})[0];
    std::vector<pg::copy_target> targets;
    for (const pg::partition_entry &e : table.partitions)
        targets.push_back({e.relation, e.range});
    std::sort(targets.begin(), targets.end(), [](const auto &a, const auto &b) { return a.range < b.range; });
    const int16_t attribute = pg::call([&] { return get_attnum(w.source, w.key_column.c_str()); });
    const int64_t end = std::min(w.blocks_done + batch_blocks, w.blocks_total);
    const pg::as_owner owner(pg::owner_of(w.source));
    w.rows_copied += pg::bulk_copy({.source = w.source, .first_block = static_cast<uint32_t>(w.blocks_done),
                                    .end_block = static_cast<uint32_t>(end), .key_attribute = attribute,
                                    .unit = w.set.unit, .targets = &targets,
                                    .default_leaf = table.has_default ? table.default_partition.relation : InvalidOid});
    w.blocks_done = end;
    return true;
}

bool try_briefly(const std::function<void()> &f, int64_t timeout_ms) {
    const std::string timeout = std::to_string(timeout_ms > 0 ? timeout_ms : config.lock_timeout_ms);
    std::optional<pg::error> failure = pg::subtransaction([&] {
        pg::set_local("lock_timeout", timeout.c_str());
        f();
        pg::set_local("lock_timeout", "0");
    });
    if (!failure)
        return true;
    if (failure->code() == ERRCODE_LOCK_NOT_AVAILABLE || failure->code() == ERRCODE_T_R_DEADLOCK_DETECTED)
        return false;
    throw std::move(*failure);
}

} // namespace dbopt::partition
