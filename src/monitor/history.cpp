// Snapshots: the points as an array, tables, indexes and statements as a compact byte string
// (core/history_code). Every 48th snapshot is a key frame, so that reading one back stays cheap.
#include "monitor/history.hpp"
#include "monitor/history_partitions.hpp"
#include "monitor/stored_bytes.hpp"
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
        before = frame_at(std::nullopt, part::all);
    if (before && !before->whole)
        before.reset(); // nothing can be told as a difference to what cannot be read
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
    core::apply_history(stored_bytes(r[0], 1), f.objects);
    core::apply_history(stored_bytes(r[0], 2), f.statements);
    core::apply_history(stored_bytes(r[0], 3), f.latencies);
    return f;
}

} // namespace dbopt::monitor
