// partition_convert: the steps of conversion.hpp, one transaction after the other.
#include "partition/safety.hpp"
#include "partition/recipe_sql.hpp"
#include "pg/bulk_copy.hpp"
#include "pg/pause.hpp"
#include "pg/query.hpp"
#include "pg/relation.hpp"
#include "pg/transaction.hpp"
#include <algorithm>

namespace dbopt::partition {

namespace {

constexpr int64_t batch_blocks = 4096;  // 32 MB a transaction
constexpr int most_partitions = 2000;

} // namespace

// How the new table is cut: from the oldest row to three steps after now (or the highest id).
set_config cutting(const convert_options &o, const pg::relation_info &info) {
    pg::partitioned_table plain;
    plain.relation = o.source;
    plain.owner = info.owner;
    plain.key_column = o.key_column;
    const int16_t attribute = pg::call([&] { return get_attnum(o.source, o.key_column.c_str()); });
    plain.key_type = pg::call([&] { return getBaseType(get_atttype(o.source, attribute)); });
    set_config s;
    s.step = o.step;
    s.size = parse_step(o.step, "step", true);
    s.unit = key_unit_of(plain, s.size, "auto", o.step);
    const bool local = s.unit == core::key_unit::timestamptz || s.unit == core::key_unit::timestamp || s.unit == core::key_unit::date;
    s.time_zone = local ? pg::session_time_zone() : "UTC";
    s.default_partition = true; // a plain table takes any key; so must its successor
    return s;
}

namespace {

// Keys that fit into a range: the others go into the default partition.
std::string ordinary(const std::string &column, Oid type) {
    return type != NUMERICOID ? finite_only(column, type) : column + " > -9223372036854775807 AND " + column + " < 9223372036854775806";
}

// The highest id, but for a few strays that lie further off than all partitions reach: those are left
// to the default partition, as times in the far future are.
core::position without_strays(const open_set &s, const std::string &table, const std::string &column, const std::string &finite,
                              core::position low, core::position high) {
    constexpr int few = 1000;
    core::position edge = s.calendar.floor(low);
    for (int i = 0; i < most_partitions - 10 && edge <= high; ++i)
        edge = s.calendar.next(edge);
    if (edge > high)
        return high;
    const std::string beyond = column + " >= " + s.literal(edge);
    const int64_t strays = pg::scalar<int64_t>("SELECT count(*) FROM (SELECT FROM ONLY " + table + " WHERE " + beyond + " LIMIT " + std::to_string(few + 1) + ") x").value_or(0);
    if (strays > few)
        return high;
    const pg::result last = pg::query("SELECT " + extreme_key(table, column, true, finite + " AND " + column + " < " + s.literal(edge)));
    pg::notice(std::to_string(strays) + " rows lie beyond " + s.text(edge) + " and go into the default partition");
    return last[0].null(0) ? low : pg::key_position(last[0].datum(0), s.table.key_type, s.config.unit);
}

std::vector<core::bounds> ranges(const open_set &s, Oid source, const std::string &key_column) {
    const std::string column = pg::quote_identifier(key_column);
    const std::string name = pg::qualified_name(source), finite = ordinary(column, s.table.key_type);
    const pg::result found = pg::query("SELECT " + extreme_key(name, column, false, finite) + ", " + extreme_key(name, column, true, finite));
    core::position now = s.now, low = s.now;
    if (!found[0].null(0)) {
        low = pg::key_position(found[0].datum(0), s.table.key_type, s.config.unit);
        const core::position high = std::min(pg::key_position(found[0].datum(1), s.table.key_type, s.config.unit), core::infinity - 1);
        now = s.config.unit == core::key_unit::id ? high : now;
    } else if (s.config.unit == core::key_unit::id) {
        now = low = 0;
    }
    std::vector<core::partition_state> none;
    core::partition_rules rules = rules_of(s); // what the type can hold
    if (s.config.unit == core::key_unit::id)
        now = without_strays(s, name, column, finite, low, now);
    rules.start = s.calendar.floor(std::min(low, now));
    rules.max_gap = most_partitions;
    const core::partition_plan plan = core::plan_partitions(s.calendar, rules, none, now);
    const std::vector<core::bounds> &made = plan.create;
    if (made.empty() || !plan.unfilled.empty())
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
                   .message = "step \"" + s.config.step + "\" would make more than " + std::to_string(most_partitions) + " partitions",
                   .detail = "The rows reach from " + s.text(low) + " to " + s.text(now) + ".", .hint = "Choose a longer step."});
    return made;
}

} // namespace

// The new table under its passing name, with all that is not index, trigger, key or policy.
Oid make_staging(const std::string &staging, const pg::relation_info &info, const convert_options &o) {
    const std::string source = info.qualified();
    const pg::result found = pg::query(recipe_sql, {info.oid, pg::value(Oid{0})});
    pg::query("CREATE TABLE " + staging + " (LIKE " + source + " INCLUDING ALL EXCLUDING INDEXES) PARTITION BY RANGE (" +
              pg::quote_identifier(o.key_column) + ")");
    if (!found[0].null(5)) {
        std::vector<std::string> parts;
        for (const std::string &part : found[0].get<std::vector<std::string>>(5))
            parts.push_back(part);
        pg::query("ALTER TABLE " + staging + " " + join(parts, ", "));
    }
    if (!found[0].null(6))
        for (std::string command : found[0].get<std::vector<std::string>>(6)) {
            for (size_t at; (at = command.find('\1')) != std::string::npos;)
                command.replace(at, 1, staging);
            pg::query(command);
        }
    const Oid made = *pg::scalar<Oid>("SELECT $1::regclass::oid", {staging});
    statistics_targets(info.oid, made);
    return made;
}

// One partition of the new table, with the storage options of the source.
void make_partition(const open_set &s, Oid source, const core::bounds *range) {
    const std::string options = pg::scalar<std::string>(
            "SELECT string_agg(regexp_replace(o, '=(.*)$', '=''\\1'''), ', ') FROM (SELECT unnest(reloptions) AS o FROM pg_class WHERE oid = $1 UNION ALL "
            "SELECT 'toast.' || unnest(t.reloptions) FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.oid = $1) x", {source}).value_or("");
    const recipe r = make_recipe(s, range);
    for (const std::string &command : r.before_attach)
        pg::query(command);
    if (!options.empty())
        pg::query("ALTER TABLE " + r.name + " SET (" + options + ")");
    statistics_targets(source, *pg::scalar<Oid>("SELECT $1::regclass::oid", {r.name}));
    for (const std::string &command : r.after_attach)
        pg::query(command);
}

// Notes the work and makes its staging table, as the owner; `fill` makes partitions and the trigger.
void begin_work(const convert_options &o, const char *kind, const char *phase, const char *note,
                const std::function<void(work &, const open_set &)> &fill) {
    const pg::relation_info info = pg::get_relation(o.source);
    work w;
    w.source = o.source;
    w.kind = kind;
    w.phase = phase;
    w.key_column = o.key_column;
    w.step = o.step;
    w.accept_lost = o.accept_lost;
    w.set = cutting(o, info);
    {
        const pg::as_owner owner(info.owner);
        w.staging = make_staging(work_names(o.source, info.schema_oid).staging, info, o);
        pg::partitioned_table table = pg::describe_partitioned(w.staging);
        table.name = info.name; // partitions get their final names at once
        open_set s(w.set, table);
        s.now = core::keeps_time(w.set.unit) ? current_position(s) : 0;
        fill(w, s);
    }
    store_work(w, note);
}

namespace {

void prepare(const convert_options &o) {
    begin_work(o, "convert", "copy", "copying", [&](work &w, const open_set &s) {
        for (const core::bounds &b : ranges(s, o.source, o.key_column))
            make_partition(s, o.source, &b);
        make_partition(s, o.source, nullptr);
        // Last, because it keeps writers out until this transaction ends.
        install_capture(w);
    });
}

} // namespace

// Until few changes wait: a round takes what came in during the one before.
void catch_up(work &w) {
    constexpr int most_rounds = 20;
    for (int round = 1; round <= most_rounds; ++round) {
        int64_t applied = 0;
        std::optional<pg::error> failure = pg::subtransaction([&] { applied = apply_changes(w); });
        // A unique value that moved between two rows: the other half arrives with the next round.
        if (failure && (failure->code() != ERRCODE_UNIQUE_VIOLATION || round == most_rounds))
            throw std::move(*failure);
        store_work(w, "catching up");
        pg::commit_and_restart();
        if (!failure && applied < 4)
            return;
    }
}

namespace {

constexpr int64_t hold_ms = 15;

void swap(work &w, int64_t max_lock_ms) {
    int too_long = 0;
    swap_at_a_calm_moment(w, hold_ms, [&] {
        pg::query("LOCK TABLE ONLY " + pg::qualified_name(w.source) + " IN ACCESS EXCLUSIVE MODE");
        const int64_t began = pg::clock().us;
        // What was granted or revoked meanwhile: the copy gets it, and the next try swaps.
        if (waiting_changes(w) > 0 || align_rights(w))
            return false;
        refuse_if_altered(w);
        work swapped = w; // a failed try leaves w as it was
        swap_converted(swapped);
        const int64_t took = (pg::clock().us - began) / 1000;
        if (took > max_lock_ms)
            missed(too_long, took, max_lock_ms);
        return true;
    });
}

} // namespace

void refuse_if_busy(const pg::work_lock &lock, Oid table) {
    if (!lock.held())
        pg::raise({.code = ERRCODE_OBJECT_IN_USE, .message = "another session is converting or draining " + pg::qualified_name(table),
                   .hint = "dbopt.partition_conversions shows how far it is."});
}

void convert(const convert_options &o) {
    const pg::work_lock lock(work_kind, o.source);
    refuse_if_busy(lock, o.source);
    forget_dropped();
    std::optional<work> w = load_work(o.source);
    if (w && undone_by_hand(*w)) {
        pg::require_owner(o.source);
        forget_work(o.source);
        w.reset();
    }
    if (w && w->kind == "revert") {
        pg::require_owner(o.source);
        give_up_revert(*w);
        pg::notice(pg::qualified_name(o.source) + " stays partitioned: its way back is given up");
        return;
    }
    if (w && w->phase != "done" && w->kind != (o.adopt ? "adopt" : "convert"))
        pg::raise({.code = ERRCODE_OBJECT_IN_USE, .message = pg::qualified_name(o.source) + " is being converted by the other method",
                   .hint = "Call with the method it was begun with, or CALL dbopt.partition_convert_abort first."});
    if (!w) {
        std::string losses;
        for (const plan_row &row : convert_plan(o)) {
            if (row.kind == "obstacle" || (row.kind == "loss" && !o.accept_lost))
                losses += (losses.empty() ? "" : "\n") + row.item + ": " + row.detail;
        }
        if (!losses.empty())
            pg::raise({.code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                       .message = pg::qualified_name(o.source) + " cannot be converted as it is", .detail = losses,
                       .hint = "partition_convert_plan() lists obstacles and losses one by one; losses are accepted with accept_lost_constraints => true."});
        if (remove_leftovers(o.source))
            pg::notice("an earlier conversion of " + pg::qualified_name(o.source) + " was cut off by DROP EXTENSION: what it left is removed");
        pg::set_local("synchronous_commit", "off"); // nobody waits for the disk behind our lock
        within_lock_wait(o.source, [&] { o.adopt ? prepare_adoption(o) : prepare(o); });
        w = load_work(o.source);
    } else {
        pg::require_owner(o.source);
        w->accept_lost = w->accept_lost || o.accept_lost;
    }
    if (o.adopt) {
        adopt(*w, o);
        return;
    }
    copy_and_prove(*w, batch_blocks);
    if (w->phase == "swap")
        swap(*w, o.max_lock_ms);
}

namespace {

void abort_before_swap(const work &w) {
    {
        const pg::as_owner owner(pg::owner_of(w.source));
        for (const std::string &index : own_indexes(w.source))
            pg::query("DROP INDEX IF EXISTS " + index);
    }
    undo_preparation(w);
}

// The conversion that the caller means by either of its tables.
work named_conversion(Oid table) {
    std::optional<work> w = load_work(table);
    if (!w || w->kind == "revert")
        w = load_conversion_to(table);
    if (!w)
        pg::raise({.code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                   .message = "no conversion of " + pg::qualified_name(table) + " is under way",
                   .hint = "dbopt.partition_conversions lists them."});
    return *w;
}

} // namespace

void convert_abort(Oid table, const std::function<void()> &require_toplevel) {
    const pg::work_lock lock(work_kind, table);
    refuse_if_busy(lock, table);
    if (pg::owns(table) && remove_leftovers(table))
        return;
    const work w = named_conversion(table);
    const auto finished = [&](const std::string &why, const char *hint) {
        pg::raise({.code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, .message = "the conversion is finished" + why, .hint = hint});
    };
    if (w.phase == "drop")
        finished("", "Call it again to have the old partition removed.");
    if (w.phase != "done") {
        pg::require_owner(table);
        abort_before_swap(w);
        return;
    }
    if (w.kind == "adopt")
        finished(", and the table was adopted: its rows are in the partitions", "Detach the partitions, or copy the rows into a new table.");
    if (!pg::find_relation(w.source) || !pg::find_relation(w.staging))
        finished(", and its old table is gone", "Only while the old table is kept there is a way back.");
    require_toplevel();
    revert(w);
}

// The source is as before, but for indexes that were made on it.
void undo_preparation(const work &w) {
    {
        const pg::as_owner owner(pg::owner_of(w.source));
        remove_capture(w.source);
        if (w.staging != InvalidOid && pg::find_relation(w.staging))
            pg::query("DROP TABLE " + pg::qualified_name(w.staging));
    }
    forget_work(w.source);
}

} // namespace dbopt::partition
