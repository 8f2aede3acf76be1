// Snapshots: the points as an array, tables, indexes and statements as a compact byte string
// (core/history_code). Every 48th snapshot is a key frame, so that reading one back stays cheap.
#include "monitor/history.hpp"
#include "monitor/history_partitions.hpp"
#include "capture/capture.hpp"
#include "pg/inventory.hpp"
#include "pg/security.hpp"
#include "pg/transaction.hpp"
#include <cmath>

namespace dbopt::monitor {

namespace {

constexpr int64_t key_frame_every = 48;

pg::raw to_bytea(const std::string &bytes) {
    return pg::raw{pg::call([&] {
                       auto *b = static_cast<bytea *>(palloc(VARHDRSZ + bytes.size()));
                       SET_VARSIZE(b, VARHDRSZ + bytes.size());
                       memcpy(VARDATA(b), bytes.data(), bytes.size());
                       return PointerGetDatum(b);
                   }),
                   BYTEAOID};
}

std::string from_bytea(const pg::row &r, int column) {
    if (r.null(column))
        return {};
    const Datum d = r.datum(column);
    bytea *b = pg::call([&] { return DatumGetByteaPP(d); });
    return {VARDATA_ANY(b), VARSIZE_ANY_EXHDR(b)};
}

core::history_objects read_objects() {
    core::history_objects out;
    const auto all = pg::current_inventory(); // held: the loop keeps no temporary alive
    for (const pg::stored_relation &r : all->sizes()) {
        if (!r.of_users() || (r.kind != 'r' && r.kind != 'm' && r.kind != 'i'))
            continue;
        const pg::relation_counters &c = r.counters;
        out[r.oid] = {r.bytes(), c.live, c.dead, c.scans, c.rows_read, c.inserted,
                      c.updated, c.deleted, c.blocks_fetched, c.blocks_hit};
    }
    return out;
}

void read_statements(frame &into) {
    const bool known = pg::scalar<bool>("SELECT pg_catalog.to_regclass('dbopt.workload') IS NOT NULL").value_or(false);
    if (!known || current_settings().history_objects == 0)
        return;
    const pg::result rows = pg::query(
        "SELECT query_id, pg_catalog.sum(calls)::pg_catalog.int8, (1000 * pg_catalog.sum(total_ms))::pg_catalog.int8, "
        "pg_catalog.sum(rows)::pg_catalog.int8, (1000 * pg_catalog.max(p95_ms))::pg_catalog.int8, "
        "(1000 * pg_catalog.max(p99_ms))::pg_catalog.int8, "
        "(1000000 * extract(epoch FROM pg_catalog.min(first_seen) - '2000-01-01 00:00:00+00'::pg_catalog.timestamptz))::pg_catalog.int8 "
        "FROM dbopt._workload() WHERE query_id IS NOT NULL GROUP BY 1 ORDER BY 3 DESC NULLS LAST LIMIT $1",
        {int64_t{current_settings().history_objects}});
    core::latency_map latencies = capture::latencies(pg::this_database());
    core::latency_map kept;
    for (const pg::row &r : rows) {
        const auto id = static_cast<uint64_t>(r.get<int64_t>(0));
        for (int i = 1; i <= statement_width; ++i)
            into.statements[id][static_cast<size_t>(i - 1)] = r.get_or<int64_t>(i, 0);
        kept[id] = latencies[id];
    }
    into.latencies = core::pack_latencies(kept);
}

std::string as_array(const std::vector<std::optional<double>> &values) {
    // Sent as text: an array with NULLs has no C++ type in pg::value.
    std::string text = "{";
    for (const auto &v : values) {
        if (text.size() > 1)
            text += ',';
        text += v && std::isfinite(*v) ? std::to_string(*v) : "NULL";
    }
    return text + "}";
}

} // namespace

frame read_statements_now() {
    frame f;
    read_statements(f);
    return f;
}

frame read_objects_now() { return {.objects = read_objects()}; }

frame read_now() {
    frame f{.objects = read_objects()};
    read_statements(f);
    return f;
}

std::optional<frame> frame_at(std::optional<pg::timestamptz> until) {
    const pg::result rows = pg::query(
        "SELECT taken_at, objects, statements, latencies FROM dbopt.history WHERE taken_at >= (SELECT "
        "pg_catalog.max(taken_at) FROM dbopt.history WHERE key_frame AND taken_at <= $1) "
        "AND taken_at <= $1 ORDER BY taken_at",
        {until.value_or(pg::timestamptz{DT_NOEND})});
    if (rows.empty())
        return std::nullopt;
    frame f;
    for (const pg::row &r : rows) {
        f.taken_at = r.get<pg::timestamptz>(0);
        core::apply_history(from_bytea(r, 1), f.objects);
        core::apply_history(from_bytea(r, 2), f.statements);
        core::apply_history(from_bytea(r, 3), f.latencies);
    }
    return f;
}

std::optional<frame> frame_before(double seconds) {
    if (auto f = frame_at(pg::timestamptz{pg::clock().us - static_cast<int64_t>(seconds * 1e6)}))
        return f;
    const auto oldest = pg::scalar<pg::timestamptz>("SELECT pg_catalog.min(taken_at) FROM dbopt.history");
    return oldest ? frame_at(oldest) : std::nullopt;
}

double seconds_since(const std::optional<frame> &f) {
    return f ? static_cast<double>(pg::clock().us - f->taken_at.us) / 1e6 : 0;
}

core::history_values growth(const core::history_values &now, const core::history_values *then) {
    core::history_values d = now;
    if (then != nullptr)
        for (size_t i = 0; i < d.size(); ++i)
            d[i] = now[i] >= (*then)[i] ? now[i] - (*then)[i] : now[i];
    return d;
}

std::optional<statement_window> window_of(uint64_t statement, const frame &now, const std::optional<frame> &then) {
    const core::history_values &v = now.statements.at(statement);
    const core::history_values *old = nullptr;
    if (then)
        if (const auto at = then->statements.find(statement); at != then->statements.end())
            old = &at->second;
    if (then && old == nullptr && v[statement_first_seen] < then->taken_at.us)
        return std::nullopt;
    const core::history_values d = growth(v, old);
    const core::latency_counts before = old != nullptr ? core::unpack_latencies(then->latencies, statement) : core::latency_counts{};
    const core::latency_counts lately = core::latencies_since(core::unpack_latencies(now.latencies, statement), before);
    const auto ms = [](const core::latency_counts &c, double f) { return core::latency_percentile(c, f) / 1e6; };
    statement_window w{.calls = d[statement_calls], .total_ms = static_cast<double>(d[statement_time]) / 1000,
                       .rows = d[statement_rows], .p50_ms = ms(lately, 0.5), .p95_ms = ms(lately, 0.95),
                       .p99_ms = ms(lately, 0.99)};
    if (old != nullptr && (*old)[statement_calls] > 0) {
        w.calls_before = (*old)[statement_calls];
        w.mean_ms_before = static_cast<double>((*old)[statement_time]) / 1000 / static_cast<double>(w.calls_before);
        w.p95_ms_before = ms(before, 0.95);
    }
    return w;
}

namespace {

// Where the next snapshot stands. A clock that went back a little must not put a delta before its key
// frame. Snapshots from further in the future were taken by a wrong clock: they are of no use.
pg::timestamptz next_time() {
    pg::execute("DELETE FROM dbopt.history WHERE taken_at > pg_catalog.clock_timestamp() + interval '5 minutes'");
    return pg::scalar<pg::timestamptz>("SELECT greatest(pg_catalog.clock_timestamp(), "
                                       "(SELECT pg_catalog.max(taken_at) FROM dbopt.history) + interval '1 microsecond')")
        .value_or(pg::clock());
}

bool key_frame_due() {
    const auto since_key = pg::scalar<int64_t>(
        "SELECT count(*) FROM dbopt.history WHERE taken_at > (SELECT pg_catalog.max(taken_at) "
        "FROM dbopt.history WHERE key_frame)");
    return since_key.value_or(0) + 1 >= key_frame_every;
}

} // namespace

std::optional<pg::timestamptz> take_snapshot() {
    const pg::inventory_scope shared;
    if (pg::scalar<bool>("SELECT pg_catalog.pg_is_in_recovery()").value_or(true) ||
        !pg::scalar<bool>("SELECT pg_catalog.pg_try_advisory_xact_lock(1684434804, 2)").value_or(false))
        return std::nullopt;
    const pg::timestamptz at = next_time();
    std::optional<frame> before;
    if (!ensure_history_partition(at) && !key_frame_due())
        before = frame_at(std::nullopt);
    const bool key = !before;
    if (!before)
        before.emplace();
    const frame now = read_now();
    const std::string figures = as_array(read_points(true));
    pg::execute("INSERT INTO dbopt.history (taken_at, values, objects, statements, latencies, key_frame) VALUES "
                "($1, $2::pg_catalog.float8[], $3, $4, $5, $6)",
                {at, figures, to_bytea(core::encode_history(now.objects, before->objects)),
                 to_bytea(core::encode_history(now.statements, before->statements)),
                 to_bytea(core::encode_history(now.latencies, before->latencies)), key});
    forget();
    return at;
}

// Nothing is forgotten while the clock may have jumped ahead: there must be snapshots of the last two
// days beside this one. (A snapshot that is taken seldom counts more.)
void forget() {
    const pg::interval keep{.days = current_settings().history_retention_days};
    const int64_t wanted = std::clamp<int64_t>(2 * 86400 / std::max(current_settings().snapshot_interval, 1), 1, 12);
    if (pg::scalar<int64_t>("SELECT count(*) FROM dbopt.history WHERE taken_at > pg_catalog.now() - interval '2 days'").value_or(0) < wanted)
        return;
    drop_history_partitions(keep);
    pg::execute("DELETE FROM dbopt.alert_event WHERE at < pg_catalog.now() - $1", {keep});
    pg::execute("DELETE FROM dbopt.alert_outbox WHERE at < pg_catalog.now() - $1", {keep});
}

void save_baseline(const std::string &name) {
    const pg::inventory_scope shared;
    const frame now = read_now();
    const std::string figures = as_array(read_points(true));
    pg::execute("INSERT INTO dbopt.baseline (name, values, objects, statements, latencies) VALUES "
                "($1, $2::pg_catalog.float8[], $3, $4, $5) ON CONFLICT (name) DO UPDATE SET saved_at = pg_catalog.now(), "
                "values = excluded.values, objects = excluded.objects, statements = excluded.statements, latencies = excluded.latencies",
                {name, figures, to_bytea(core::encode_history(now.objects, {})),
                 to_bytea(core::encode_history(now.statements, {})), to_bytea(core::encode_history(now.latencies, {}))});
}

std::optional<frame> load_baseline(const std::string &name) {
    const pg::result r = pg::query("SELECT saved_at, objects, statements, latencies FROM dbopt.baseline WHERE name = $1", {name});
    if (r.empty())
        return std::nullopt;
    frame f{.taken_at = r[0].get<pg::timestamptz>(0)};
    core::apply_history(from_bytea(r[0], 1), f.objects);
    core::apply_history(from_bytea(r[0], 2), f.statements);
    core::apply_history(from_bytea(r[0], 3), f.latencies);
    return f;
}

} // namespace dbopt::monitor
