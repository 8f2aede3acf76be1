// Putting a table under management: every argument is checked before anything is stored.
#include "partition/manage.hpp"
#include "pg/query.hpp"
#include "pg/relation.hpp"
#include "pg/transaction.hpp"
#include <algorithm>

namespace dbopt::partition {

namespace {

bool whole_number(const std::string &s) {
    return !s.empty() && s.size() < 19 &&
           s.find_first_not_of("0123456789", s[0] == '-' ? 1 : 0) == std::string::npos && s != "-";
}

} // namespace

core::step_size parse_step(const std::string &given, const char *what, bool one_part) {
    if (whole_number(given)) {
        const int64_t ids = std::stoll(given);
        if (ids <= 0)
            refuse(ERRCODE_INVALID_PARAMETER_VALUE, std::string(what) + " must be positive, not " + given,
                   "", "Give a number of ids such as '100000', or an interval such as '1 month'.");
        return {.ids = ids};
    }
    const std::string text = given == "quarter" ? "3 months" : given;
    std::optional<pg::interval> parsed;
    const std::optional<pg::error> failure = pg::subtransaction([&] {
        parsed = pg::scalar<pg::interval>("SELECT $1::interval", {text});
    });
    if (failure || !parsed)
        refuse(ERRCODE_INVALID_PARAMETER_VALUE,
               std::string(what) + " \"" + given + "\" is neither an interval nor a whole number", "",
               "Examples: '1 month', '1 week', '15 minutes', '100000'.");
    const core::step_size s{.months = parsed->months, .days = parsed->days, .us = parsed->us};
    const int parts = (s.months != 0) + (s.days != 0) + (s.us != 0);
    if (parts == 0 || s.months < 0 || s.days < 0 || s.us < 0)
        refuse(ERRCODE_INVALID_PARAMETER_VALUE,
               std::string(what) + " must be longer than zero, not \"" + given + "\"", "",
               "Examples: '1 month', '1 week', '15 minutes'.");
    if (one_part && parts > 1)
        refuse(ERRCODE_INVALID_PARAMETER_VALUE,
               std::string(what) + " \"" + given + "\" mixes months, days and hours",
               "Such a lattice has no calendar: its bounds would drift through the months.",
               "Use whole months, whole days, or hours and minutes.");
    return s;
}

namespace {

// How long a step is at least, in µs; for comparing with resolutions and retentions.
double rough_us(const core::step_size &s) {
    return s.ids != 0 ? static_cast<double>(s.ids)
                      : s.months * 28.0 * core::us_per_day + s.days * double(core::us_per_day) + s.us;
}

core::key_unit encoding_by_size(double magnitude) {
    return magnitude > 1e17 ? core::key_unit::epoch_ns
           : magnitude > 1e14 ? core::key_unit::epoch_us
           : magnitude > 1e11 ? core::key_unit::epoch_ms : core::key_unit::epoch_s;
}

core::key_unit integer_unit(const pg::partitioned_table &t, const std::string &encoding) {
    if (t.key_type == INT4OID && encoding != "auto" && encoding != "s")
        refuse(ERRCODE_INVALID_PARAMETER_VALUE, "time_encoding \"" + encoding + "\" does not fit " + pg::qualified_name(t.relation) + "." + t.key_column,
               "An integer of four bytes holds 24 days of milliseconds.", "Use 's', or a bigint column.");
    if (encoding == "uuid7" || encoding == "id")
        refuse(ERRCODE_INVALID_PARAMETER_VALUE, "time_encoding \"" + encoding + "\" does not fit " + pg::qualified_name(t.relation) + "." + t.key_column,
               "It is an integer, and the step is a length of time.", "Use 's', 'ms', 'us' or 'ns'.");
    if (encoding != "auto")
        return unit_of(encoding);
    if (t.key_type == INT4OID)
        return core::key_unit::epoch_s;
    for (const pg::partition_entry &e : t.partitions)
        for (const core::position p : {e.range.lower, e.range.upper})
            if (p != core::minus_infinity && p != core::infinity && p > 100'000'000)
                return encoding_by_size(static_cast<double>(p));
    if (!t.key_column.empty()) {
        const pg::as_owner owner(t.owner);
        const auto sample = pg::scalar<double>("SELECT max(" + pg::quote_identifier(t.key_column) +
                                               ")::float8 FROM " + pg::qualified_name(t.relation));
        if (sample && *sample > 100'000'000)
            return encoding_by_size(*sample);
    }
    refuse(ERRCODE_INVALID_PARAMETER_VALUE,
           "cannot tell whether " + pg::qualified_name(t.relation) + "." + t.key_column +
               " counts seconds, ms, us or ns since 1970",
           "It is an integer and there is no row or bound to judge by.",
           "Name it: time_encoding => 's', 'ms', 'us' or 'ns'.");
}

} // namespace

core::key_unit key_unit_of(const pg::partitioned_table &t, const core::step_size &step,
                           const std::string &encoding, const std::string &step_text) {
    const std::string key = pg::qualified_name(t.relation) + "." +
                            (t.key_column.empty() ? std::string("(expression)") : t.key_column);
    if (encoding != "auto" && encoding != "s" && encoding != "ms" && encoding != "us" &&
        encoding != "ns" && encoding != "uuid7" && encoding != "id")
        refuse(ERRCODE_INVALID_PARAMETER_VALUE, "unknown time_encoding \"" + encoding + "\"", "",
               "Use 'auto', or for integers 's', 'ms', 'us' or 'ns'.");
    const auto time_only = [&](core::key_unit u) {
        if (encoding != "auto" && encoding != unit_name(u))
            refuse(ERRCODE_INVALID_PARAMETER_VALUE, "time_encoding \"" + encoding + "\" does not fit " + key, "The type says how it counts.",
                   "Leave time_encoding out: it is for integers.");
        if (step.ids != 0)
            refuse(ERRCODE_INVALID_PARAMETER_VALUE,
                   "step " + step_text + " is a number, but " + key + " is a time", "",
                   "Give an interval such as '1 day' or '1 month'.");
        return u;
    };
    switch (t.key_type) {
    case TIMESTAMPTZOID: return time_only(core::key_unit::timestamptz);
    case TIMESTAMPOID: return time_only(core::key_unit::timestamp);
    case UUIDOID: return time_only(core::key_unit::uuid7);
    case DATEOID:
        if (step.us != 0 && step.us % core::us_per_day != 0)
            refuse(ERRCODE_INVALID_PARAMETER_VALUE,
                   "step \"" + step_text + "\" is finer than " + key + ", which is a date", "",
                   "Use whole days, for example '1 day' or '1 month'.");
        return time_only(core::key_unit::date);
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case NUMERICOID:
        if (step.ids != 0 && (encoding == "auto" || encoding == "id"))
            return core::key_unit::id;
        if (t.key_type == INT2OID || t.key_type == NUMERICOID)
            refuse(ERRCODE_INVALID_PARAMETER_VALUE,
                   "step \"" + step_text + "\" is a length of time, but " + key + " holds numbers", "",
                   "Give a whole number of ids, such as '100000'.");
        return time_only(integer_unit(t, encoding));
    default: break;
    }
    const std::string type = pg::call([&] { return format_type_be(t.key_type); });
    refuse(ERRCODE_FEATURE_NOT_SUPPORTED, key + " has type " + type,
           "Bounds of this type do not follow time or ids.",
           "Keys can be timestamptz, timestamp, date, smallint, integer, bigint, numeric or uuid (version 7).");
}

namespace {

// A moment or id as a position of the key.
core::position parse_position(const open_set &s, const std::string &given, const char *what) {
    if (!core::keeps_time(s.config.unit)) {
        if (!whole_number(given))
            refuse(ERRCODE_INVALID_PARAMETER_VALUE,
                   std::string(what) + " \"" + given + "\" is not a whole number", "", "The key holds ids.");
        return std::stoll(given);
    }
    std::optional<pg::timestamptz> at;
    const std::string sql = core::is_instant(s.config.unit)
                                ? "SELECT $1::timestamptz"
                                : "SELECT $1::timestamp AT TIME ZONE 'UTC'";
    const std::optional<pg::error> failure = pg::subtransaction([&] {
        if (core::is_instant(s.config.unit))
            pg::set_local("timezone", s.config.time_zone.c_str());
        at = pg::scalar<pg::timestamptz>(sql, {given});
        if (core::is_instant(s.config.unit))
            pg::set_local("timezone", pg::session_time_zone().c_str());
    });
    if (failure || !at || at->us == core::infinity || at->us == core::minus_infinity)
        refuse(ERRCODE_INVALID_PARAMETER_VALUE,
               std::string(what) + " \"" + given + "\" is not a moment in time", "",
               "For example '2024-01-01'.");
    return core::from_us(s.config.unit, at->us);
}

// Partitions that exist already may lie off the default lattice: go on from the newest of them.
std::optional<int64_t> adopted_anchor(const open_set &s) {
    const pg::partition_entry *newest = nullptr;
    for (const pg::partition_entry &e : s.table.partitions)
        if (e.readable && e.range.upper != core::infinity &&
            (newest == nullptr || e.range.upper > newest->range.upper))
            newest = &e;
    if (newest == nullptr || s.calendar.floor(newest->range.upper) == newest->range.upper)
        return std::nullopt;
    return s.config.unit == core::key_unit::id ? newest->range.upper
                                               : s.calendar.position_to_local(newest->range.upper);
}

void set_retention(set_config &s, const manage_options &o) {
    if (o.retention)
        s.retention = *o.retention;
    if (!s.retention)
        return;
    s.keep = parse_step(*s.retention, "retention", false);
    if ((s.keep.ids != 0) != (s.unit == core::key_unit::id))
        refuse(ERRCODE_INVALID_PARAMETER_VALUE,
               "retention \"" + *s.retention + "\" does not fit the key",
               "", s.unit == core::key_unit::id ? "Give a number of ids." : "Give an interval such as '24 months'.");
    if (rough_us(s.keep) < rough_us(s.size))
        refuse(ERRCODE_INVALID_PARAMETER_VALUE,
               "retention \"" + *s.retention + "\" is shorter than one step (" + s.step + ")",
               "The partition in use would be due at once.", "Keep at least one step.");
}

void set_mode(set_config &s, const manage_options &o) {
    if (o.retention_mode) {
        const std::string &m = *o.retention_mode;
        if (m != "detach" && m != "drop" && m != "archive")
            refuse(ERRCODE_INVALID_PARAMETER_VALUE, "unknown retention_mode \"" + m + "\"", "",
                   "Use 'detach', 'drop' or 'archive'.");
        s.mode = m == "drop" ? retirement::drop : m == "archive" ? retirement::archive : retirement::detach;
    }
    if (o.on_reference) {
        if (*o.on_reference != "refuse" && *o.on_reference != "cascade")
            refuse(ERRCODE_INVALID_PARAMETER_VALUE, "unknown on_reference \"" + *o.on_reference + "\"", "",
                   "Use 'refuse', or 'cascade' to delete the rows of other tables that refer to a "
                   "partition when it is retired.");
        s.cascade = *o.on_reference == "cascade";
    }
    if (o.archive_schema)
        s.archive_schema = *o.archive_schema;
    if (o.archive_tablespace)
        s.archive_tablespace = *o.archive_tablespace;
}

// What is different, in words: "premake 3 -> 6".
std::string differences(const set_config &a, const set_config &b) {
    std::vector<std::string> d;
    const auto note = [&](const char *what, const std::string &from, const std::string &to) {
        if (from != to)
            d.push_back(std::string(what) + " " + from + " -> " + to);
    };
    note("step", a.step, b.step);
    note("premake", std::to_string(a.premake), std::to_string(b.premake));
    note("retention", a.retention.value_or("for ever"), b.retention.value_or("for ever"));
    note("retention_mode", mode_name(a.mode), mode_name(b.mode));
    note("archive_schema", a.archive_schema.value_or("none"), b.archive_schema.value_or("none"));
    note("archive_tablespace", a.archive_tablespace.value_or("none"), b.archive_tablespace.value_or("none"));
    note("start_at", a.start_at.value_or("none"), b.start_at.value_or("none"));
    note("time_encoding", unit_name(a.unit), unit_name(b.unit));
    note("timezone", a.time_zone, b.time_zone);
    note("default_partition", a.default_partition ? "true" : "false", b.default_partition ? "true" : "false");
    const auto table_name = [](Oid t) { return t != InvalidOid ? pg::qualified_name(t) : std::string("none"); };
    note("template", table_name(a.template_table), table_name(b.template_table));
    note("on_reference", a.cascade ? "cascade" : "refuse", b.cascade ? "cascade" : "refuse");
    return join(d, ", ");
}

set_config changed(const set_config *before, const manage_options &o, pg::partitioned_table &t) {
    set_config s = before != nullptr ? *before : set_config{};
    s.parent = o.parent;
    if (o.step)
        s.step = *o.step;
    s.size = parse_step(s.step, "step", true);
    if (s.size.ids == 0 && s.size.us != 0 && s.size.us < 60 * core::us_per_second)
        refuse(ERRCODE_INVALID_PARAMETER_VALUE, "step \"" + s.step + "\" is shorter than a minute", "",
               "Steps reach from '1 minute' to '100 years'.");
    if (s.size.months > 1200 || s.size.days > 36600)
        refuse(ERRCODE_INVALID_PARAMETER_VALUE, "step \"" + s.step + "\" is longer than 100 years", "",
               "Steps reach from '1 minute' to '100 years'.");
    if (o.premake)
        s.premake = *o.premake;
    if (s.premake < 0 || s.premake > 10000)
        refuse(ERRCODE_INVALID_PARAMETER_VALUE,
               "premake must lie between 0 and 10000, not " + std::to_string(s.premake), "",
               "3 keeps three steps ahead of now.");
    const bool keep_unit = before != nullptr && !o.time_encoding && !o.step;
    if (!keep_unit)
        s.unit = key_unit_of(t, s.size, o.time_encoding.value_or(
            before != nullptr && before->unit != core::key_unit::id && core::keeps_time(before->unit) &&
                (t.key_type == INT4OID || t.key_type == INT8OID) ? unit_name(before->unit) : "auto"), s.step);
    if (o.time_zone && *o.time_zone)
        s.time_zone = **o.time_zone;
    else if (before == nullptr)
        s.time_zone = s.unit == core::key_unit::timestamptz || s.unit == core::key_unit::timestamp ||
                              s.unit == core::key_unit::date ? pg::session_time_zone() : "UTC";
    set_mode(s, o);
    set_retention(s, o);
    if (o.default_partition)
        s.default_partition = *o.default_partition;
    if (o.template_table)
        s.template_table = *o.template_table;
    if (o.start_at)
        s.start_at = *o.start_at;
    return s;
}

} // namespace

std::vector<outcome> manage(const manage_options &o) {
    const pg::relation_info info = pg::get_relation(o.parent);
    pg::partitioned_table described = pg::describe_partitioned(o.parent);
    pg::require_owner(o.parent);
    check_table(described, info);
    check_template(o, described);
    const std::vector<set_config> stored = load_sets(o.parent);
    const set_config *before = stored.empty() ? nullptr : &stored[0];
    if (before == nullptr && !o.step)
        refuse(ERRCODE_NULL_VALUE_NOT_ALLOWED, "step must not be NULL", "", "For example '1 month'.");
    // How bounds are read depends on the type only, so the existing ones can be read first.
    pg::partitioned_table table = pg::read_partitions({o.parent}, {core::key_unit::id})[0];
    set_config next = changed(before, o, table);
    check_schema(table, next);
    check_bounds(table);
    if (next.unit == core::key_unit::id && table.key_text.empty())
        refuse(ERRCODE_FEATURE_NOT_SUPPORTED, info.qualified() + " has several expressions in its partition key",
               "How far the ids have come cannot be read from it.", "Partition by a column, or by one expression.");
    {
        open_set plain(next, table);
        if (next.start_at) {
            next.start = parse_position(plain, *next.start_at, "start_at");
            next.anchor = next.unit == core::key_unit::id
                              ? *next.start : plain.calendar.position_to_local(*next.start);
            check_start(open_set(next, table));
        } else if (before == nullptr || o.step || o.start_at) {
            next.start.reset();
            next.anchor.reset();
            const set_config bare = next;
            next.anchor = adopted_anchor(open_set(bare, table));
        }
    }
    const std::string difference = before != nullptr ? differences(*before, next) : "";
    store_set(next);
    std::vector<outcome> rows;
    rows.push_back({.parent = o.parent, .action = "manage", .partition = {}, .lower = {}, .upper = {},
                    .command = {}, .status = before != nullptr && difference.empty() ? "skipped" : "done",
                    .detail = before == nullptr ? "managed from now on: " +
                                  std::to_string(table.partitions.size()) + " partitions adopted"
                              : difference.empty() ? "nothing is different" : "changed " + difference});
    for (outcome &row : maintain({.parent = o.parent, .actions = {}, .retire = false}))
        rows.push_back(std::move(row));
    return rows;
}

void unmanage(Oid parent) {
    if (load_sets(parent).empty())
        refuse(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, pg::qualified_name(parent) + " is not managed",
               "", "SELECT parent FROM dbopt.partition_sets lists what is.");
    if (pg::find_relation(parent))
        pg::require_owner(parent);
    const pg::as_owner writer(extension_owner());
    pg::execute("DELETE FROM dbopt.partition_config WHERE parent = $1", {parent});
}

} // namespace dbopt::partition
