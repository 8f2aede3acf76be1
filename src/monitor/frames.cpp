// Reading snapshots: the state of this moment, one of the past, and what came between.
#include "monitor/history.hpp"
#include "capture/capture.hpp"
#include "monitor/stored_bytes.hpp"
#include "pg/inventory.hpp"
#include "pg/security.hpp"
#include <algorithm>
#include <stdexcept>

namespace dbopt::monitor {

std::string stored_bytes(const pg::row &r, int column) {
    if (r.null(column))
        return {};
    const Datum d = r.datum(column);
    bytea *b = pg::call([&] { return DatumGetByteaPP(d); });
    return {VARDATA_ANY(b), VARSIZE_ANY_EXHDR(b)};
}

namespace {

core::history_objects read_objects() {
    core::history_objects out;
    const auto all = pg::current_inventory(); // held: the loop keeps no temporary alive
    for (const pg::stored_relation &r : all->sizes()) {
        if (!r.of_users() || r.schema == PG_TOAST_NAMESPACE || (r.kind != 'r' && r.kind != 'm' && r.kind != 'i'))
            continue;
        const pg::relation_counters &c = r.counters;
        out[r.oid] = {r.bytes(), c.live, c.dead, c.scans, c.rows_read, c.inserted,
                      c.updated, c.deleted, c.blocks_fetched, c.blocks_hit};
    }
    for (const pg::stored_relation &r : all->relations())
        if (r.schema == PG_TOAST_NAMESPACE && r.bytes() > 0)
            if (const auto table = out.find(r.owner_table); table != out.end())
                table->second[object_toast] += r.bytes();
    return out;
}

// One entry a query and role; statements at top level and inside functions are added up.
void add_statement(frame &into, const capture::statement &s) {
    const uint64_t key = capture::statement_key(s.query_id, s.role);
    const auto us = [](double ms) { return static_cast<int64_t>(1000 * ms); };
    const auto [at, fresh] = into.names.try_emplace(key, statement_name{s.query_id, s.role});
    if (s.toplevel && s.transactions > 0)
        at->second.per_transaction = std::max(at->second.per_transaction,
                                              static_cast<double>(s.calls) / static_cast<double>(s.transactions));
    core::history_values &v = into.statements[key];
    v[statement_calls] += s.calls;
    v[statement_time] += us(s.total_ms);
    v[statement_rows] += s.rows;
    v[statement_p95] = std::max(v[statement_p95], us(s.p95_ms));
    v[statement_p99] = std::max(v[statement_p99], us(s.p99_ms));
    v[statement_first_seen] = fresh ? s.first_seen.us : std::min(v[statement_first_seen], s.first_seen.us);
}

// Those that cost most stay.
void keep_costliest(frame &f, size_t most) {
    if (f.statements.size() <= most)
        return;
    std::vector<std::pair<int64_t, uint64_t>> by_time;
    for (const auto &[key, v] : f.statements)
        by_time.emplace_back(v[statement_time], key);
    std::nth_element(by_time.begin(), by_time.begin() + static_cast<std::ptrdiff_t>(most), by_time.end(), std::greater<>());
    for (size_t i = most; i < by_time.size(); ++i) {
        f.statements.erase(by_time[i].second);
        f.names.erase(by_time[i].second);
    }
}

void read_statements(frame &into, size_t most) {
    if (most == 0)
        return;
    for (const capture::statement &s : capture::statements(pg::this_database(), false))
        if (s.query_id != 0)
            add_statement(into, s);
    keep_costliest(into, most);
    core::latency_map latencies = capture::latencies(pg::this_database());
    std::erase_if(latencies, [&](const auto &l) { return !into.statements.contains(l.first); });
    into.latencies = core::pack_latencies(latencies);
}

} // namespace

frame read_statements_now() {
    frame f;
    read_statements(f, SIZE_MAX);
    return f;
}

frame read_objects_now() { return {.objects = read_objects()}; }

frame read_now() {
    frame f{.objects = read_objects()};
    read_statements(f, static_cast<size_t>(current_settings().history_objects));
    return f;
}

namespace {

// The first `n` rows on top of each other. Damaged bytes end it before their row: what follows builds
// on them.
frame decode(const pg::result &rows, size_t n) {
    frame f{.whole = n == rows.size()};
    for (size_t i = 0; i < n; ++i) {
        try {
            core::apply_history(stored_bytes(rows[i], 1), f.objects);
            core::apply_history(stored_bytes(rows[i], 2), f.statements);
            core::apply_history(stored_bytes(rows[i], 3), f.latencies);
        } catch (const std::invalid_argument &) {
            return decode(rows, i);
        }
        f.taken_at = rows[i].get<pg::timestamptz>(0);
    }
    return f;
}

} // namespace

std::optional<frame> frame_at(std::optional<pg::timestamptz> until, part wanted) {
    const pg::result rows = pg::query(
        "SELECT taken_at, CASE WHEN $2 THEN objects END, CASE WHEN $3 THEN statements END, CASE WHEN $3 THEN latencies END "
        "FROM dbopt.history WHERE taken_at >= (SELECT "
        "pg_catalog.max(taken_at) FROM dbopt.history WHERE key_frame AND taken_at <= $1) "
        "AND taken_at <= $1 ORDER BY taken_at",
        {until.value_or(pg::timestamptz{DT_NOEND}), wanted != part::statements, wanted != part::objects});
    frame f = decode(rows, rows.size());
    return f.taken_at.us != 0 ? std::optional(std::move(f)) : std::nullopt;
}

std::optional<frame> frame_as_old_as(double seconds, part wanted) {
    return frame_at(pg::timestamptz{pg::clock().us - static_cast<int64_t>(seconds * 1e6)}, wanted);
}

std::optional<frame> frame_before(double seconds, part wanted) {
    if (auto f = frame_as_old_as(seconds, wanted))
        return f;
    const auto oldest = pg::scalar<pg::timestamptz>("SELECT pg_catalog.min(taken_at) FROM dbopt.history");
    return oldest ? frame_at(oldest, wanted) : std::nullopt;
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

std::vector<named_window> statement_windows(const std::optional<frame> &then, bool or_life) {
    const frame now = read_statements_now();
    std::vector<named_window> out;
    for (const auto &[key, name] : now.names) {
        auto did = window_of(key, now, then);
        const bool unknown = !did && or_life;
        if (unknown)
            did = window_of(key, now, std::nullopt);
        if (did && did->calls > 0)
            out.push_back({name, *did, unknown});
    }
    return out;
}

} // namespace dbopt::monitor
