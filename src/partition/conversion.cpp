#include "partition/safety.hpp"
#include "pg/contents.hpp"
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

namespace {

std::optional<work> load(const std::string &where, Oid which) {
    const pg::as_owner reader(extension_owner());
    const pg::result found = pg::query(
        "SELECT kind, phase, parent::oid, staging::oid, key_column::text, step, key_unit, timezone, "
        "step_months, step_days, step_us, step_ids, anchor, accept_lost, blocks_done, blocks_total, "
        "rows_copied, changes_applied, source::oid, index_names, lost_keys FROM dbopt.partition_work WHERE " + where, {which});
    if (found.empty())
        return std::nullopt;
    const pg::row r = found[0];
    work w;
    w.source = r.get<Oid>(18);
    w.index_names = r.get<std::vector<std::string>>(19);
    w.lost_keys = r.get<std::vector<std::string>>(20);
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

} // namespace

std::optional<work> load_work(Oid source) { return load("source = $1", source); }

std::optional<work> load_conversion_to(Oid staging) {
    return load("staging = $1 AND kind IN ('convert', 'adopt') AND phase = 'done'", staging);
}

void store_work(const work &w, const std::string &note) {
    const pg::as_owner writer(extension_owner());
    const auto relation = [](Oid o) { return o != InvalidOid ? pg::value(o) : pg::value(nullptr); };
    pg::execute("INSERT INTO dbopt.partition_work (source, kind, phase, parent, staging, key_column, step, "
                "key_unit, timezone, step_months, step_days, step_us, step_ids, anchor, accept_lost, "
                "blocks_done, blocks_total, rows_copied, changes_applied, detail, index_names, lost_keys) "
                "VALUES ($1::oid::regclass, $2, $3, $4::oid::regclass, $5::oid::regclass, $6::name, $7, $8, $9, $10, $11, "
                "$12, $13, $14::bigint, $15, $16, $17, $18, $19, $20, $21, $22) "
                "ON CONFLICT (source) DO UPDATE SET phase = EXCLUDED.phase, staging = EXCLUDED.staging, "
                "accept_lost = EXCLUDED.accept_lost, blocks_done = EXCLUDED.blocks_done, "
                "blocks_total = EXCLUDED.blocks_total, rows_copied = EXCLUDED.rows_copied, "
                "changes_applied = EXCLUDED.changes_applied, detail = EXCLUDED.detail, "
                "index_names = EXCLUDED.index_names, lost_keys = EXCLUDED.lost_keys, "
                "updated_at = clock_timestamp()",
                {w.source, w.kind, w.phase, relation(w.parent), relation(w.staging), w.key_column, w.step,
                 unit_name(w.set.unit), w.set.time_zone, w.set.size.months, w.set.size.days, w.set.size.us,
                 w.set.size.ids, w.set.anchor, w.accept_lost, w.blocks_done, w.blocks_total, w.rows_copied,
                 w.changes_applied, note, w.index_names, w.lost_keys});
    crash_point(w.kind + ":" + w.phase);
}

void forget_work(Oid source) {
    const pg::as_owner writer(extension_owner());
    forget_pieces(source);
    pg::execute("DELETE FROM dbopt.partition_work WHERE source = $1", {source});
    crash_point("forget");
}

std::vector<std::string> identity_columns(Oid source, const std::string &key_column) {
    std::vector<std::string> columns;
    const auto found = pg::scalar<std::vector<std::string>>(
        "SELECT array_agg(a.attname::text ORDER BY k.n) FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k(att, n), "
        "pg_attribute a WHERE i.indexrelid = (SELECT indexrelid FROM pg_index x WHERE x.indrelid = $1 "
        "AND x.indisunique AND x.indimmediate AND x.indisvalid AND x.indpred IS NULL AND x.indexprs IS NULL "
        "AND NOT EXISTS (SELECT FROM unnest(x.indkey[0:x.indnkeyatts-1]) u(att), pg_attribute b WHERE b.attrelid = $1 "
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
} // namespace

std::string row_identity::same(const std::string &a, const std::string &b) const {
    if (whole)
        return "ROW(" + prefixed(columns, a + ".") + ")::text = ROW(" + prefixed(columns, b + ".") + ")::text";
    std::vector<std::string> all;
    for (const std::string &c : columns)
        all.push_back(a + "." + c + " " + (operators.contains(c) ? operators.at(c) : "=") + " " + b + "." + c);
    return join(all, " AND ");
}

// Not every type has an equality, but every one has a text.
std::string row_identity::distinct(const std::string &from) const {
    return std::string("SELECT DISTINCT ") + (whole ? "ON (ROW(" + join(columns, ", ") + ")::text) " : "") + "* FROM " + from;
}

row_identity identity_of(const work &w) {
    row_identity all{identity_columns(w.source, w.key_column)};
    if (all.columns.empty())
        all = {stored_columns(w.source), true};
    else
        all.operators = equalities(w.source);
    return all;
}

bool hides_rows_from_owner(Oid table) {
    return pg::scalar<bool>("SELECT relrowsecurity AND relforcerowsecurity AND NOT (rolsuper OR rolbypassrls) "
                            "FROM pg_class c JOIN pg_roles r ON r.oid = relowner WHERE c.oid = $1", {table}).value_or(false);
}

namespace {

constexpr int64_t trigger_hold_ms = 15;

void create_triggers(const std::string &source, const work_names &n, const std::string &only_when) {
    pg::query("LOCK TABLE " + source + " IN SHARE ROW EXCLUSIVE MODE");
    // Also for replicated changes, and in sessions with session_replication_role = replica.
    const auto always = [&](const std::string &name) {
        pg::query("ALTER TABLE " + source + " ENABLE ALWAYS TRIGGER " + name);
    };
    pg::query("CREATE TRIGGER " + n.trigger + " AFTER INSERT OR UPDATE" + (only_when.empty() ? " OR DELETE" : "") + " ON " + source +
              " FOR EACH ROW" + (only_when.empty() ? "" : " WHEN (" + only_when + ")") + " EXECUTE FUNCTION " + n.function + "()");
    always(n.trigger);
    if (!only_when.empty())
        return;
    pg::query("CREATE TRIGGER " + n.trigger + "_truncate BEFORE TRUNCATE ON " + source +
              " FOR EACH STATEMENT EXECUTE FUNCTION " + n.function + "()");
    always(n.trigger + "_truncate");
}

} // namespace

void install_capture(const work &w, const std::string &only_when) {
    const work_names n = names_of(w);
    const std::string source = pg::qualified_name(w.source);
    const std::vector<std::string> keys = identity_of(w).columns;
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
    const auto attempt = [&] {
        create_triggers(source, n, only_when);
        tie_to_extension(w.source, n);
    };
    // The only locks that keep writers out, at the very end of the caller's transaction: where one is
    // not to be had at once, writers go on for a while.
    const int64_t deadline = pg::clock().us + int64_t{config.lock_wait_s} * core::us_per_second;
    while (!try_briefly(attempt, trigger_hold_ms)) {
        if (pg::clock().us > deadline)
            pg::raise({.code = ERRCODE_LOCK_NOT_AVAILABLE, .message = "no lock on " + source + " within dbopt.partition_lock_wait",
                       .hint = "Another transaction holds it: see dbopt.blocking."});
        pg::pause(50);
    }
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
    const row_identity identity = identity_of(w);
    // Forced in the meantime, it would keep rows from the copy: nobody forces it while we hold the lock.
    pg::query("LOCK TABLE ONLY " + pg::qualified_name(w.source) + " IN ACCESS SHARE MODE");
    if (hides_rows_from_owner(w.source))
        pg::raise({.code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                   .message = "row-level security of " + pg::qualified_name(w.source) + " is forced: the owner may not see all rows",
                   .hint = "ALTER TABLE " + pg::qualified_name(w.source) + " NO FORCE ROW LEVEL SECURITY, and call again."});
    // A deferred check would run at COMMIT, with other rights than the owner's.
    pg::query("SET CONSTRAINTS ALL IMMEDIATE");
    const std::string columns = join(stored_columns(w.source), ", ");
    const std::string staging = pg::qualified_name(w.staging);
    const int64_t taken = pg::execute(
        "WITH gone AS (DELETE FROM " + n.log + " RETURNING *) INSERT INTO " + n.batch + " " + identity.distinct("gone"));
    if (taken == 0)
        return 0;
    // Both tables have an index over the identity by now; nothing is known of the batch, and guessing
    // its size the planner would read the whole of them.
    constexpr int64_t many = 100000;
    if (taken < many && !identity.whole)
        for (const char *way : {"enable_hashjoin", "enable_mergejoin", "enable_seqscan", "enable_material", "jit"})
            pg::set_local(way, "off");
    else
        pg::query("ANALYZE " + n.batch);
    pg::execute("DELETE FROM " + staging + " t USING " + n.batch + " b WHERE " + identity.same("t", "b"));
    // The batch holds no identity twice, so the join gives each row once.
    pg::execute("INSERT INTO " + staging + " (" + columns + ") OVERRIDING SYSTEM VALUE SELECT " +
                prefixed(stored_columns(w.source), "s.") + " FROM " + n.batch + " b JOIN " + only(w) +
                pg::qualified_name(w.source) + " s ON " + identity.same("s", "b"));
    pg::execute("DELETE FROM " + n.batch);
    w.changes_applied += taken;
    return taken;
}

namespace {
std::vector<Oid> storage_of(Oid table) {
    std::vector<Oid> all;
    for (const pg::row r : pg::query("SELECT relid::oid FROM pg_partition_tree($1::oid::regclass) WHERE isleaf", {table}))
        all.push_back(r.get<Oid>(0));
    return all.empty() ? std::vector<Oid>{table} : all;
}
} // namespace

std::string only(const work &w) { return pg::get_relation(w.source).kind == 'p' ? "" : "ONLY "; }

std::vector<std::string> compare_contents(const work &w) {
    const pg::as_owner owner(pg::owner_of(w.source));
    const row_identity identity = identity_of(w);
    pg::contents_request request{.like = w.source, .left = storage_of(w.source), .right = storage_of(w.staging),
                                 .key_column = w.key_column, .unit = w.set.unit, .edges = {}};
    for (const pg::partitioned_table &table : pg::read_partitions({w.source, w.staging}, {w.set.unit, w.set.unit}))
        for (const pg::partition_entry &e : table.partitions)
            if (e.range.lower != core::minus_infinity)
                request.edges.push_back(e.range.lower);
    std::sort(request.edges.begin(), request.edges.end());
    pg::contents found = pg::read_contents(request);
    // A row whose partition key changed is in the log with both its keys, so both sides leave it out.
    const std::string columns = prefixed(pg::content_columns(w.source), "t."), waiting =
        " t JOIN (" + identity.distinct(names_of(w).log) + ") l ON " + identity.same("l", "t");
    pg::take_out(request, pg::query("SELECT " + columns + " FROM " + only(w) + pg::qualified_name(w.source) + waiting), found.left);
    pg::take_out(request, pg::query("SELECT " + columns + " FROM " + pg::qualified_name(w.staging) + waiting), found.right);
    std::vector<std::string> different;
    for (size_t i = 0; i < found.left.size(); ++i)
        if (found.left[i] != found.right[i])
            different.push_back("range " + std::to_string(i) + ": " + std::to_string(found.left[i].rows) + " rows in the source, " +
                                std::to_string(found.right[i].rows) + " in the copy");
    return different;
}

bool try_briefly(const std::function<void()> &f, int64_t timeout_ms, std::string *why) {
    std::optional<pg::error> failure = pg::subtransaction([&] {
        pg::wait_for_locks(timeout_ms > 0 ? timeout_ms : config.lock_timeout_ms);
        f();
        pg::wait_for_locks(0);
    });
    if (!failure)
        return true;
    if (why != nullptr)
        *why = failure->message();
    if (failure->code() == ERRCODE_LOCK_NOT_AVAILABLE || failure->code() == ERRCODE_T_R_DEADLOCK_DETECTED)
        return false;
    throw std::move(*failure);
}

void within_lock_wait(Oid relation, const std::function<void()> &f) {
    const int64_t deadline = pg::clock().us + int64_t{config.lock_wait_s} * core::us_per_second;
    while (!try_briefly(f)) {
        pg::commit_and_restart();
        if (pg::clock().us > deadline)
            pg::raise({.code = ERRCODE_LOCK_NOT_AVAILABLE,
                       .message = "no lock on " + pg::qualified_name(relation) + " within dbopt.partition_lock_wait",
                       .hint = "Another transaction holds it: see dbopt.blocking. Nothing was changed."});
        pg::pause(200);
    }
    pg::commit_and_restart();
}

} // namespace dbopt::partition
