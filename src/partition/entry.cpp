// SQL entry points of the partition room.
#include "partition/conversion.hpp"
#include "pg/transaction.hpp"

using namespace dbopt;
namespace room = dbopt::partition;

namespace {

template <class T> std::optional<T> named(const pg::arguments &args, int n) {
    return pg::given(args.info(), n) ? args.optional<T>(n) : std::nullopt;
}
// For arguments in which NULL means something.
template <class T> std::optional<std::optional<T>> named_or_null(const pg::arguments &args, int n) {
    if (!pg::given(args.info(), n))
        return std::nullopt;
    return std::optional<std::optional<T>>(args.optional<T>(n));
}

Datum give(const pg::arguments &args, const std::vector<room::outcome> &outcomes) {
    pg::rows out(args);
    for (const room::outcome &o : outcomes)
        out.add(o.parent, o.action, o.partition, o.lower, o.upper, o.command, o.status, o.detail);
    return out.done();
}

} // namespace

DBOPT_FUNCTION(dbopt_partition_manage) {
    room::manage_options o;
    o.parent = args.get<Oid>(0);
    o.step = named<std::string>(args, 1);
    o.premake = named<int32_t>(args, 2);
    o.retention = named_or_null<std::string>(args, 3);
    o.retention_mode = named<std::string>(args, 4);
    o.archive_schema = named_or_null<std::string>(args, 5);
    o.start_at = named_or_null<std::string>(args, 6);
    o.time_encoding = named<std::string>(args, 7);
    o.time_zone = named_or_null<std::string>(args, 8);
    o.default_partition = named<bool>(args, 9);
    if (pg::given(args.info(), 10))
        o.template_table = args.get_or<Oid>(10, InvalidOid);
    o.on_reference = named<std::string>(args, 11);
    o.archive_tablespace = named_or_null<std::string>(args, 12);
    return give(args, room::manage(o));
}

DBOPT_FUNCTION(dbopt_partition_unmanage) {
    room::unmanage(args.get<Oid>(0));
    return args.nothing();
}

DBOPT_FUNCTION(dbopt_partition_maintain) {
    room::maintain_options o;
    o.parent = args.get_or<Oid>(0, InvalidOid);
    if (!args.null(1))
        o.actions = args.get<std::vector<std::string>>(1);
    o.dry_run = args.get_or<bool>(2, false);
    return give(args, OidIsValid(o.parent) || o.dry_run ? room::maintain(o) : room::maintain_all(o));
}

DBOPT_FUNCTION(dbopt_partition_serve) {
    const std::vector<Oid> parents = args.get<std::vector<Oid>>(0);
    const std::vector<std::string> actions =
        args.null(1) ? std::vector<std::string>() : args.get<std::vector<std::string>>(1);
    const int64_t lock_wait_ms = args.get<int64_t>(2);
    pg::require_toplevel_call(args, "_partition_serve");
    room::serve_sets(parents, actions, lock_wait_ms);
    return args.nothing();
}

DBOPT_FUNCTION(dbopt_partition_check) {
    const std::vector<room::finding> found = room::check(args.get_or<Oid>(0, InvalidOid));
    pg::rows out(args);
    for (const room::finding &f : found)
        out.add(f.parent, f.severity, f.problem, f.detail, f.fix);
    return out.done();
}

DBOPT_FUNCTION(dbopt_partition_list) {
    const std::vector<room::listed> found = room::list(args.get_or<Oid>(0, InvalidOid));
    pg::rows out(args);
    for (const room::listed &l : found)
        out.add(l.parent, l.partition, l.is_default, l.pending, l.lower, l.upper, l.lower_time,
                l.upper_time, l.lower_id, l.upper_id);
    return out.done();
}

namespace {
room::convert_options convert_arguments(const pg::arguments &args) {
    room::convert_options o;
    o.source = args.get<Oid>(0);
    o.key_column = args.get<std::string>(1);
    o.step = args.get<std::string>(2);
    o.max_lock_ms = static_cast<int64_t>(args.get<pg::interval>(3).seconds() * 1000);
    if (o.max_lock_ms <= 0)
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE, .message = "max_lock must be at least a millisecond, not " + std::to_string(o.max_lock_ms) + " ms",
                   .hint = "It is how long the swap may keep others waiting, for example '200 ms'."});
    o.accept_lost = args.get_or<bool>(4, false);
    const std::string method = args.get_or<std::string>(5, "split");
    if (method != "split" && method != "adopt")
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE, .message = "unknown method \"" + method + "\"",
                   .hint = "Use 'split' (rows are copied into partitions, then swapped) or 'adopt' (the table becomes one partition at once and is split afterwards)."});
    o.adopt = method == "adopt";
    return o;
}
} // namespace

DBOPT_FUNCTION(dbopt_partition_convert_plan) {
    const std::vector<room::plan_row> plan = room::convert_plan(convert_arguments(args));
    pg::rows out(args);
    for (const room::plan_row &r : plan)
        out.add(r.step, r.kind, r.item, r.detail, r.command.empty() ? pg::value(nullptr) : pg::value(r.command));
    return out.done();
}

DBOPT_FUNCTION(dbopt_partition_convert) {
    const room::convert_options o = convert_arguments(args);
    pg::require_toplevel_call(args, "partition_convert");
    room::convert(o);
    return args.nothing();
}

DBOPT_FUNCTION(dbopt_partition_convert_abort) {
    room::convert_abort(args.get<Oid>(0), [&] { pg::require_toplevel_call(args, "converting back"); });
    return args.nothing();
}

DBOPT_FUNCTION(dbopt_partition_drain_default) {
    const Oid parent = args.get<Oid>(0);
    const int32_t batch = args.get_or<int32_t>(1, 10000);
    pg::require_toplevel_call(args, "partition_drain_default");
    if (batch <= 0)
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE, .message = "batch must be positive, not " + std::to_string(batch),
                   .hint = "It is the number of rows copied in one transaction."});
    room::drain_default(parent, batch);
    return args.nothing();
}

DBOPT_FUNCTION(dbopt_partition_split) {
    const Oid partition = args.get<Oid>(0);
    const int32_t batch = args.get_or<int32_t>(1, 100000);
    pg::require_toplevel_call(args, "partition_split");
    if (batch <= 0)
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE, .message = "batch must be positive, not " + std::to_string(batch),
                   .hint = "It is the number of rows copied in one transaction."});
    room::split_partition(partition, batch);
    return args.nothing();
}

DBOPT_FUNCTION(dbopt_partition_assist) {
    const Oid source = args.get<Oid>(0);
    pg::require_toplevel_call(args, "_partition_assist");
    room::assist(source);
    return args.nothing();
}

DBOPT_FUNCTION(dbopt_partition_lattice) {
    const std::string step = args.get<std::string>(0);
    const pg::server_zone zone(args.get<std::string>(1));
    const core::step_size size = room::parse_step(step, "step", true);
    const core::position at = args.get<pg::timestamptz>(2).us;
    if (size.ids != 0 || at == core::infinity || at == core::minus_infinity)
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE, .message = "a step of time and a finite moment are needed"});
    const core::calendar calendar(core::key_unit::timestamptz, size, zone);
    pg::rows out(args);
    out.add(pg::timestamptz{calendar.floor(at)}, pg::timestamptz{calendar.next(at)});
    return out.done();
}

DBOPT_FUNCTION(dbopt_partition_pruning) {
    const std::vector<room::pruned> found = room::pruning(args.get<std::string>(0));
    pg::rows out(args);
    for (const room::pruned &p : found)
        out.add(p.parent, p.partitions, p.scanned, p.at);
    return out.done();
}
