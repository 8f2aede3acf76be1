#include "partition/sets.hpp"
#include "pg/query.hpp"
#include "pg/settings.hpp"
#include "pg/system.hpp"
#include <cstdio>

namespace dbopt::partition {

settings config;

void define_settings() {
    pg::define_int({.name = "dbopt.partition_lock_timeout",
                    .description = "How long one attempt at partition DDL waits for a lock; others "
                                   "wait behind it no longer than this.",
                    .variable = &config.lock_timeout_ms, .value = 50, .low = 1, .high = 10000,
                    .when = pg::change::user, .in = pg::unit::ms});
    pg::define_int({.name = "dbopt.partition_lock_wait",
                    .description = "How long a call keeps trying for its locks before it reports "
                                   "skipped; 0 tries once.",
                    .variable = &config.lock_wait_s, .value = 30, .low = 0, .high = 3600,
                    .when = pg::change::user, .in = pg::unit::s});
    pg::define_int({.name = "dbopt.partition_copy_helpers",
                    .description = "How many workers help a session to copy and index a large table that is "
                                   "converted, drained or split; never more than the machine has other processors.",
                    .variable = &config.copy_helpers, .value = 2, .low = 0, .high = 15,
                    .when = pg::change::user, .in = pg::unit::none});
    pg::define_string("dbopt.debug_crash_point", "For tests of crash recovery: the process kills itself where this step of a conversion, drain or "
                      "retirement is about to be committed, for example convert:copy.", &config.crash_point, "", pg::change::superuser);
}

void crash_point(const std::string &place) {
    if (config.crash_point != nullptr && place == config.crash_point)
        pg::die_at_once();
}

Oid extension_owner() {
    const Oid table = pg::call([] {
        return get_relname_relid("partition_config", get_namespace_oid("dbopt", false));
    });
    return pg::owner_of(table);
}

namespace {
struct named_unit {
    core::key_unit unit;
    const char *name;
};
constexpr named_unit units[] = {
    {core::key_unit::id, "id"},           {core::key_unit::timestamp, "timestamp"},
    {core::key_unit::timestamptz, "timestamptz"}, {core::key_unit::date, "date"},
    {core::key_unit::epoch_s, "s"},       {core::key_unit::epoch_ms, "ms"},
    {core::key_unit::epoch_us, "us"},     {core::key_unit::epoch_ns, "ns"},
    {core::key_unit::uuid7, "uuid7"}};
} // namespace

const char *unit_name(core::key_unit u) {
    for (const named_unit &n : units)
        if (n.unit == u)
            return n.name;
    return "";
}
core::key_unit unit_of(std::string_view name) {
    for (const named_unit &n : units)
        if (name == n.name)
            return n.unit;
    return core::key_unit::id;
}
const char *mode_name(retirement m) {
    return m == retirement::drop ? "drop" : m == retirement::archive ? "archive" : "detach";
}

std::string join(const std::vector<std::string> &parts, const char *between) {
    std::string all;
    for (const std::string &p : parts)
        all += (all.empty() ? "" : between) + p;
    return all;
}

std::vector<set_config> load_sets(Oid parent) {
    const pg::as_owner reader(extension_owner());
    std::vector<set_config> sets;
    const std::string filter = parent != InvalidOid ? " WHERE parent = $1" : "";
    std::vector<pg::value> parameters;
    if (parent != InvalidOid)
        parameters.emplace_back(parent);
    for (const pg::row r : pg::query(
             "SELECT parent::oid, step, step_months, step_days, step_us, step_ids, premake, "
             "retention, keep_months, keep_days, keep_us, keep_ids, retention_mode, "
             "archive_schema::text, archive_tablespace::text, start_at, start_position, anchor, "
             "key_unit, timezone, default_partition, template::oid, on_reference, last_success, "
             "last_now FROM dbopt.partition_config" + filter + " ORDER BY parent::oid", parameters)) {
        set_config s;
        s.parent = r.get<Oid>(0);
        s.step = r.get<std::string>(1);
        s.size = {r.get<int64_t>(2), r.get<int64_t>(3), r.get<int64_t>(4), r.get<int64_t>(5)};
        s.premake = r.get<int32_t>(6);
        s.retention = r.optional<std::string>(7);
        s.keep = {r.get<int64_t>(8), r.get<int64_t>(9), r.get<int64_t>(10), r.get<int64_t>(11)};
        const std::string mode = r.get<std::string>(12);
        s.mode = mode == "drop" ? retirement::drop
                 : mode == "archive" ? retirement::archive : retirement::detach;
        s.archive_schema = r.optional<std::string>(13);
        s.archive_tablespace = r.optional<std::string>(14);
        s.start_at = r.optional<std::string>(15);
        s.start = r.optional<int64_t>(16);
        s.anchor = r.optional<int64_t>(17);
        s.unit = unit_of(r.get<std::string>(18));
        s.time_zone = r.get<std::string>(19);
        s.default_partition = r.get<bool>(20);
        s.template_table = r.get_or<Oid>(21, InvalidOid);
        s.cascade = r.get<std::string>(22) == "cascade";
        s.last_success = r.optional<pg::timestamptz>(23);
        s.last_now = r.optional<int64_t>(24);
        sets.push_back(std::move(s));
    }
    return sets;
}

void store_set(const set_config &s) {
    const pg::as_owner writer(extension_owner());
    const pg::value none(nullptr);
    pg::execute(
        "INSERT INTO dbopt.partition_config (parent, step, step_months, step_days, step_us, "
        "step_ids, premake, retention, keep_months, keep_days, keep_us, keep_ids, retention_mode, "
        "archive_schema, archive_tablespace, start_at, start_position, anchor, key_unit, timezone, "
        "default_partition, template, on_reference) VALUES ($1::oid::regclass, $2, $3, $4, $5, $6, $7, "
        "$8, $9, $10, $11, $12, $13, $14::name, $15::name, $16, $17::bigint, $18::bigint, $19, $20, $21, "
        "$22::oid::regclass, $23) "
        "ON CONFLICT (parent) DO UPDATE SET (step, step_months, step_days, step_us, step_ids, "
        "premake, retention, keep_months, keep_days, keep_us, keep_ids, retention_mode, "
        "archive_schema, archive_tablespace, start_at, start_position, anchor, key_unit, timezone, "
        "default_partition, template, on_reference) = (EXCLUDED.step, EXCLUDED.step_months, "
        "EXCLUDED.step_days, EXCLUDED.step_us, EXCLUDED.step_ids, EXCLUDED.premake, "
        "EXCLUDED.retention, EXCLUDED.keep_months, EXCLUDED.keep_days, EXCLUDED.keep_us, "
        "EXCLUDED.keep_ids, EXCLUDED.retention_mode, EXCLUDED.archive_schema, "
        "EXCLUDED.archive_tablespace, EXCLUDED.start_at, EXCLUDED.start_position, EXCLUDED.anchor, "
        "EXCLUDED.key_unit, EXCLUDED.timezone, EXCLUDED.default_partition, EXCLUDED.template, "
        "EXCLUDED.on_reference)",
        {s.parent, s.step, s.size.months, s.size.days, s.size.us, s.size.ids, s.premake, s.retention,
         s.keep.months, s.keep.days, s.keep.us, s.keep.ids, mode_name(s.mode), s.archive_schema,
         s.archive_tablespace, s.start_at, s.start, s.anchor, unit_name(s.unit), s.time_zone,
         s.default_partition,
         s.template_table != InvalidOid ? pg::value(s.template_table) : none,
         s.cascade ? "cascade" : "refuse"});
}

void note_round(const set_config &s, bool success, const std::string &problem,
                std::optional<int64_t> now) {
    const pg::as_owner writer(extension_owner());
    pg::execute("UPDATE dbopt.partition_config SET last_round = clock_timestamp(), last_success = "
                "CASE WHEN $2 THEN clock_timestamp() ELSE last_success END, last_problem = $3, "
                "last_now = coalesce($4::bigint, last_now) WHERE parent = $1",
                {s.parent, success,
                 problem.empty() ? pg::value(nullptr) : pg::value(problem), now});
}

open_set::open_set(const set_config &s, pg::partitioned_table &t)
    : config(s), table(t), zone(s.time_zone), calendar(s.unit, s.size, zone, s.anchor) {}

std::string open_set::text(core::position p) const {
    // An upper bound excludes itself, so the highest value of the type needs MAXVALUE.
    if ((table.key_type == INT2OID && p >= INT16_MAX) || (table.key_type == INT4OID && p >= INT32_MAX))
        p = core::infinity;
    if (p == core::minus_infinity)
        return "MINVALUE";
    if (p == core::infinity)
        return "MAXVALUE";
    switch (config.unit) {
    case core::key_unit::timestamptz: return core::instant_text(p, zone);
    case core::key_unit::timestamp: return core::local_text(p);
    case core::key_unit::date: {
        std::string day = core::local_text(core::to_us(config.unit, p));
        day.erase(day.find(' '), 9); // the time of day; a BC suffix stays
        return day;
    }
    case core::key_unit::uuid7: {
        char uuid[40];
        snprintf(uuid, sizeof uuid, "%08llx-%04llx-0000-0000-000000000000",
                      static_cast<unsigned long long>(p) >> 16,
                      static_cast<unsigned long long>(p) & 0xFFFF);
        return uuid;
    }
    default: return std::to_string(p);
    }
}

std::string open_set::literal(core::position p) const {
    const std::string plain = text(p);
    const bool bare = plain == "MINVALUE" || plain == "MAXVALUE";
    const bool number = config.unit != core::key_unit::timestamptz &&
                        config.unit != core::key_unit::timestamp &&
                        config.unit != core::key_unit::date && config.unit != core::key_unit::uuid7;
    return bare || (number && p >= 0) ? plain : "'" + plain + "'";
}

namespace {

// The values of a bound as the server writes them: what follows FROM, or TO, between the parentheses.
std::string exact_bound(Oid partition, bool upper) {
    const std::string text = pg::scalar<std::string>("SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = $1", {partition}).value_or("");
    std::vector<std::string> groups;
    size_t begin = 0;
    int depth = 0;
    for (size_t i = 0, quoted = 0; i < text.size(); ++i) {
        if (text[i] == '\'')
            quoted = !quoted;
        else if (!quoted && text[i] == '(' && depth++ == 0)
            begin = i + 1;
        else if (!quoted && text[i] == ')' && --depth == 0)
            groups.push_back(text.substr(begin, i - begin));
    }
    return groups.size() == 2 ? groups[upper] : "";
}

} // namespace

// Where a neighbour's bound lies between two positions, this one begins or ends exactly there.
std::string open_set::neighbours_bound(core::position p, bool lower) const {
    for (const pg::partition_entry &e : table.partitions)
        if (lower ? e.fine_upper && e.range.upper == p : e.fine_lower && e.range.lower == p)
            return exact_bound(e.relation, lower);
    return "";
}

std::string open_set::bound_clause(const core::bounds &b) const {
    std::string rest;
    for (int i = 1; i < table.key_columns; ++i)
        rest += ", MINVALUE";
    const auto side = [&](core::position p) {
        std::string all = literal(p);
        for (int i = 1; i < table.key_columns; ++i)
            all += p == core::infinity ? ", MAXVALUE" : ", MINVALUE";
        return all;
    };
    const std::string from = neighbours_bound(b.lower, true), to = neighbours_bound(b.upper, false);
    return "FOR VALUES FROM (" + (from.empty() ? side(b.lower) : from) + ") TO (" + (to.empty() ? side(b.upper) : to) + ")";
}

std::string extreme_key(const std::string &table, const std::string &column, bool greatest, const std::string &where) {
    return "(SELECT " + column + " FROM ONLY " + table + " WHERE " + column + " IS NOT NULL AND " + where + " ORDER BY " + column +
           (greatest ? " DESC" : "") + " LIMIT 1)";
}

std::string finite_only(const std::string &column, Oid type) {
    return type == TIMESTAMPTZOID || type == TIMESTAMPOID || type == DATEOID ? "isfinite(" + column + ")" : "true";
}

core::position current_position(const open_set &s) {
    if (core::keeps_time(s.config.unit)) {
        const int64_t now = pg::now().us;
        return core::from_us(s.config.unit, core::is_instant(s.config.unit) ? now
                                                                            : s.zone.to_local(now));
    }
    if (s.table.key_text.empty())
        return s.calendar.floor(s.config.start.value_or(0));
    // Ids: the newest partition that has a row. Rows in the default partition do not count: one
    // stray id there must not create a million partitions.
    std::vector<const pg::partition_entry *> newest;
    for (const pg::partition_entry &e : s.table.partitions)
        if (e.readable && !e.pending)
            newest.push_back(&e);
    std::sort(newest.begin(), newest.end(),
              [](const auto *a, const auto *b) { return a->range.lower > b->range.lower; });
    const pg::as_owner owner(s.table.owner);
    for (const pg::partition_entry *e : newest) {
        if (e->kind == 'f')
            continue;
        const auto highest = pg::scalar<int64_t>(
            "SELECT CASE WHEN top IS NOT NULL THEN least(top::numeric, 9223372036854775807)::bigint END "
            "FROM (SELECT max(" + s.table.key_text + ") AS top FROM " +
            pg::qualified_name(e->relation) + ") q");
        if (highest)
            return *highest;
    }
    core::position lowest = s.config.start.value_or(0);
    for (const pg::partition_entry *e : newest)
        if (e->range.lower != core::minus_infinity)
            lowest = e->range.lower;
    return lowest;
}

core::partition_rules rules_of(const open_set &s) {
    core::partition_rules rules;
    rules.premake = s.config.premake;
    rules.start = s.config.start;
    if (s.config.retention)
        rules.cutoff = core::keeps_time(s.config.unit)
                           ? s.calendar.back(s.now, s.config.keep.months, s.config.keep.days,
                                             s.config.keep.us)
                           : s.now - s.config.keep.ids;
    switch (s.table.key_type) {
    case INT2OID: rules.lowest = INT16_MIN, rules.highest = INT16_MAX; break;
    case INT4OID: rules.lowest = INT32_MIN, rules.highest = INT32_MAX; break;
    default: break;
    }
    return rules;
}

} // namespace dbopt::partition
