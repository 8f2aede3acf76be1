// The report: what is wrong first, then advice, trends, and lists. No script; all text is escaped.
#include "monitor/report.hpp"
#include "core/html.hpp"
#include "monitor/report_objects.hpp"
#include "pg/inventory.hpp"
#include "pg/transaction.hpp"
#include <cmath>
#include <map>

namespace dbopt::monitor {

namespace {

using core::escape_html;

constexpr const char *style = R"(<style>
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--soft:#57606a;--line:#d0d7de;--card:#f6f8fa;--accent:#0a58ca;
--bad:#b3261e;--warn:#8a5a00;--good:#1a7f37}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--soft:#9da7b3;--line:#30363d;--card:#161b22;
--accent:#79b8ff;--bad:#ff8a80;--warn:#f0b72f;--good:#56d364}}
*{box-sizing:border-box}body{margin:0 auto;max-width:72rem;padding:1rem;background:var(--bg);color:var(--fg);
font:15px/1.5 system-ui,sans-serif}h1{font-size:1.5rem;margin:.2em 0}h2{font-size:1.15rem;margin:2em 0 .5em;
border-bottom:1px solid var(--line)}p{margin:.3em 0}.soft{color:var(--soft)}
.tiles{display:flex;flex-wrap:wrap;gap:.6rem;margin:1rem 0}.tile{flex:1 1 7rem;background:var(--card);border:1px solid var(--line);
border-radius:8px;padding:.5rem .8rem}.tile b{display:block;font-size:1.4rem}
.critical{color:var(--bad)}.warning{color:var(--warn)}.ok{color:var(--good)}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:8px}table{border-collapse:collapse;width:100%;font-size:.87rem}
caption{text-align:left;padding:.4rem .6rem;color:var(--soft)}th,td{padding:.3rem .6rem;text-align:left;vertical-align:top;
border-top:1px solid var(--line)}th{background:var(--card);white-space:nowrap}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;
white-space:nowrap}code,td.c{font-family:ui-monospace,monospace;font-size:.82rem;white-space:pre-wrap;overflow-wrap:anywhere}
td.c{min-width:14rem}.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr));gap:.8rem}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.5rem}figcaption{font-size:.85rem;color:var(--soft)}
figcaption b{color:var(--fg)}svg{width:100%;height:auto;display:block}.line{fill:none;stroke:var(--accent);stroke-width:1.5}
.axis{stroke:var(--line)}svg text{font-size:9px;fill:var(--soft)}
@media(max-width:44rem){.stack thead{display:none}.stack tr{display:block;border-top:1px solid var(--line);padding:.4rem 0}
.stack td{display:block;border:0;padding:.1rem .6rem}.stack td.n{text-align:left}}
@media print{body{max-width:none;font-size:11px}.scroll{overflow:visible}h2{break-after:avoid}figure,tr{break-inside:avoid}}
</style>
)";

// How a column is shown.
enum class show : uint8_t { text, code, number, bytes, ms, pct, status };
struct column {
    const char *title;
    show as;
};

std::string cell(const pg::row &r, int i, show as) {
    if (r.null(i))
        return "<td class=\"n\">&ndash;</td>";
    if (as == show::text)
        return "<td>" + escape_html(r.get<std::string>(i)) + "</td>";
    if (as == show::code) {
        std::string text = r.get<std::string>(i);
        if (text.size() > 600) {
            text.resize(600);
            while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xC0) == 0x80)
                text.pop_back(); // not in the middle of a character
            if (!text.empty() && (static_cast<unsigned char>(text.back()) & 0x80) != 0)
                text.pop_back();
            text += " ...";
        }
        return "<td class=\"c\">" + escape_html(text) + "</td>";
    }
    if (as == show::status) {
        const std::string s = escape_html(r.get<std::string>(i));
        return "<td class=\"" + s + "\"><b>" + s + "</b></td>";
    }
    const char *unit = as == show::bytes ? "bytes" : as == show::ms ? "ms" : as == show::pct ? "%" : "";
    return "<td class=\"n\">" + escape_html(core::short_number(r.get<double>(i), unit)) + "</td>";
}

// A section with one table; nothing at all when the query has no rows, and a line of text when it
// fails (a room that is missing, a lock that was not free in time).
void table(std::string &out, const char *id, const char *title, const char *caption, const char *sql,
           const std::vector<column> &columns, const std::vector<pg::value> &parameters = {}) {
    std::string body;
    const auto failure = pg::subtransaction([&] {
        const pg::result rows = pg::query(sql, parameters);
        for (const pg::row &r : rows) {
            body += "<tr>";
            for (size_t i = 0; i < columns.size(); ++i)
                body += cell(r, static_cast<int>(i), columns[i].as) + "\n";
            body += "</tr>\n";
        }
    });
    const std::string head = std::string("<section aria-labelledby=\"") + id + "\"><h2 id=\"" + id + "\">" + title + "</h2>\n";
    if (failure && failure->code() != ERRCODE_UNDEFINED_TABLE && failure->code() != ERRCODE_UNDEFINED_FUNCTION)
        out += head + "<p class=\"soft\">Not available: " + escape_html(failure->message()) + "</p></section>\n";
    if (failure || body.empty())
        return;
    out += head + "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-labelledby=\"" + id + "\">\n<table><caption>" +
           caption + "</caption>\n<thead><tr>";
    for (const column &c : columns)
        out += std::string(c.as >= show::number && c.as != show::status ? "<th scope=\"col\" class=\"n\">" : "<th scope=\"col\">") +
               c.title + "</th>\n";
    out += "</tr></thead>\n<tbody>\n" + body + "</tbody></table></div></section>\n";
}

void tile(std::string &out, const char *name, const std::string &value, const char *css = "") {
    out += std::string("<div class=\"tile\"><b class=\"") + css + "\">" + escape_html(value) + "</b>" + name + "</div>\n";
}

void head(std::string &out, const std::vector<finding> &findings, int64_t database_bytes) {
    const pg::result r = pg::query(
        "SELECT pg_catalog.current_database()::pg_catalog.text, pg_catalog.current_setting('server_version'), "
        "pg_catalog.to_char(pg_catalog.now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC', "
        "pg_catalog.date_trunc('second', pg_catalog.now() - pg_catalog.pg_postmaster_start_time())::pg_catalog.text, "
        "CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'standby' ELSE 'primary' END");
    const auto text = [&](int i) { return r[0].get<std::string>(i); };
    int64_t critical = 0, warning = 0, ok = 0;
    for (const finding &f : findings) {
        critical += f.status == "critical";
        warning += f.status == "warning";
        ok += f.status == "ok";
    }
    out += "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" "
           "content=\"width=device-width,initial-scale=1\">\n<title>Database report: " + escape_html(text(0)) + "</title>\n" + style +
           "</head><body>\n<header><h1>Database " + escape_html(text(0)) + "</h1>\n<p class=\"soft\">PostgreSQL " +
           escape_html(text(1)) + ", " + text(4) + ", up " + escape_html(text(3)) + ". Written " + text(2) + ".</p></header>\n<main>\n<div class=\"tiles\">\n";
    tile(out, "critical", std::to_string(critical), critical > 0 ? "critical" : "ok");
    tile(out, "warnings", std::to_string(warning), warning > 0 ? "warning" : "ok");
    tile(out, "checks in order", std::to_string(ok));
    tile(out, "size", core::short_number(static_cast<double>(database_bytes), "bytes"));
    out += "</div>\n";
}

// The check's name says what is counted: "1 tables" would say it twice, and wrongly.
std::string_view shown_unit(std::string_view unit) {
    for (const std::string_view u : {"%", "s", "ms", "h", "min", "days", "bytes", "per hour"})
        if (u == unit)
            return u;
    return "";
}

void problems(std::string &out, const std::vector<finding> &findings) {
    out += "<section aria-labelledby=\"wrong\"><h2 id=\"wrong\">What is wrong</h2>\n";
    std::string body;
    for (const char *status : {"critical", "warning", "error"})
        for (const finding &f : findings)
            if (f.status == status)
                body += "<tr><td class=\"" + f.status + "\"><b>" + f.status + "</b></td>\n<td>" + f.what->name + "</td>\n<td class=\"n\">" +
                        (f.value ? escape_html(core::short_number(*f.value, shown_unit(f.what->unit))) : "&ndash;") + "</td>\n<td>" +
                        escape_html(f.detail) + "</td>\n<td>" + escape_html(f.what->advice) + "</td></tr>\n";
    if (body.empty())
        out += "<p class=\"ok\">Nothing: all checks that apply are in order.</p></section>\n";
    else
        out += "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-labelledby=\"wrong\">\n<table class=\"stack\"><caption>Health checks that are not in order, worst first</caption>\n"
               "<thead><tr><th scope=\"col\">Status</th><th scope=\"col\">Check</th><th scope=\"col\" class=\"n\">Value</th><th scope=\"col\">Detail</th>"
               "<th scope=\"col\">What to do</th></tr></thead>\n<tbody>\n" + body + "</tbody></table></div></section>\n";
}

// Points of the history by name; counters as rates, with a gap where somebody reset them.
struct trends {
    std::vector<double> times;
    std::vector<std::vector<double>> values; // [point][row]
    std::string from, to;
};

trends read_trends(const pg::interval &span) {
    trends t;
    t.values.resize(points().size());
    const pg::result rows = pg::query(
        "SELECT extract(epoch FROM taken_at)::pg_catalog.float8, pg_catalog.array_replace(values, NULL, 'NaN'), "
        "pg_catalog.to_char(taken_at AT TIME ZONE 'UTC', 'MM-DD HH24:MI') FROM dbopt.history "
        "WHERE taken_at >= pg_catalog.now() - $1 ORDER BY taken_at", {span});
    for (const pg::row &r : rows) {
        const auto v = r.get<std::vector<double>>(1);
        t.times.push_back(r.get<double>(0));
        for (size_t i = 0; i < t.values.size(); ++i)
            t.values[i].push_back(i < v.size() ? v[i] : std::nan(""));
        (t.from.empty() ? t.from : t.to) = r.get<std::string>(2);
    }
    return t;
}

size_t point_named(std::string_view name) {
    for (size_t i = 0; i < points().size(); ++i)
        if (points()[i].name == name)
            return i;
    return 0;
}

std::vector<std::pair<double, double>> rate(const trends &t, const char *name) {
    std::vector<std::pair<double, double>> out;
    const auto &v = t.values[point_named(name)];
    for (size_t i = 1; i < v.size(); ++i)
        out.emplace_back(t.times[i], v[i] >= v[i - 1] ? (v[i] - v[i - 1]) / (t.times[i] - t.times[i - 1]) : std::nan(""));
    return out;
}

std::vector<std::pair<double, double>> level(const trends &t, const char *name) {
    std::vector<std::pair<double, double>> out;
    const auto &v = t.values[point_named(name)];
    for (size_t i = 0; i < v.size(); ++i)
        out.emplace_back(t.times[i], v[i]);
    return out;
}

void charts(std::string &out, const pg::interval &span) {
    const trends t = read_trends(span);
    if (t.times.size() < 3)
        return;
    auto hit = rate(t, "blks_hit");
    const auto read = rate(t, "blks_read");
    for (size_t i = 0; i < hit.size(); ++i)
        hit[i].second = 100 * hit[i].second / (hit[i].second + read[i].second);
    out += "<section aria-labelledby=\"trends\"><h2 id=\"trends\">Trends</h2>\n<div class=\"grid\">\n";
    const auto draw = [&](const char *title, const char *unit, std::vector<std::pair<double, double>> points_) {
        out += core::line_chart({title, unit, t.from, t.to, std::move(points_)});
    };
    draw("Transactions per second", "", rate(t, "xact_commit"));
    draw("Buffer hits", "%", std::move(hit));
    draw("Sessions", "", level(t, "connections"));
    draw("Active sessions", "", level(t, "connections_active"));
    draw("Database size", "bytes", level(t, "database_bytes"));
    draw("Free disk", "bytes", level(t, "disk_free_bytes"));
    draw("WAL", "bytes/s", rate(t, "wal_bytes"));
    draw("Temporary files", "bytes/s", rate(t, "temp_bytes"));
    draw("Waiting for locks", "", level(t, "locks_waiting"));
    draw("Longest wait for a lock", "s", level(t, "longest_lock_wait_seconds"));
    draw("Waiting for the disk", "", level(t, "waits_io"));
    draw("Waiting inside the server", "", level(t, "waits_lwlock"));
    out += "</div></section>\n";
}

void advice(std::string &out) {
    table(out, "advice", "Advice", "What to do, by expected gain; <code>SELECT * FROM dbopt.optimize();</code> also asks for indexes and takes longer",
          "SELECT area, object, action, reason, expected_gain, pg_catalog.rtrim(command, ';') || ';' FROM dbopt._advice(true) "
          "WHERE command IS NOT NULL ORDER BY score DESC, area, object, action LIMIT 30",
          {{"Room", show::text}, {"Object", show::text}, {"Action", show::text}, {"Why", show::text}, {"Gain", show::text}, {"Command", show::code}});
    table(out, "alerts", "Alerts", "Changes of alert levels, latest first",
          "SELECT pg_catalog.to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), rule, from_level, to_level, value, detail "
          "FROM dbopt.alert_event ORDER BY at DESC LIMIT 20",
          {{"When (UTC)", show::text}, {"Rule", show::text}, {"From", show::status}, {"To", show::status}, {"Value", show::number}, {"Detail", show::text}});
    table(out, "blocking", "Blocking now", "Who waits for whom",
          "SELECT root_pid::pg_catalog.text, depth, blocked_pid::pg_catalog.text, waits_on, waited_ms, blocked_query, end_command FROM dbopt.blocking LIMIT 20",
          {{"Root", show::text}, {"Depth", show::number}, {"Waiter", show::text}, {"Waits on", show::text}, {"Waited", show::ms}, {"Statement", show::code}, {"To end it", show::code}});
    table(out, "settings", "Settings", "Settings worth changing on this machine",
          "SELECT setting, current_value, suggested_value, reason, command FROM dbopt.settings_advice",
          {{"Setting", show::text}, {"Now", show::text}, {"Better", show::text}, {"Why", show::text}, {"Command", show::code}});
    table(out, "forecast", "Forecast", "When something runs out, with a 95 % interval",
          "SELECT subject, current_value, limit_value, per_day, days_left, days_left_low, days_left_high FROM dbopt.growth_forecast",
          {{"Subject", show::text}, {"Now", show::number}, {"Limit", show::number}, {"Per day", show::number}, {"Days left", show::number}, {"At least", show::number}, {"At most", show::number}});
}

void lists(std::string &out, const pg::interval &span, const object_lists &objects) {
    table(out, "statements", "Statements", "By total time since the start of the period",
          "SELECT query, calls, total_ms, mean_ms, p95_ms, p99_ms, mean_ms_before, of_all_pct FROM dbopt.slow_queries_since($1) LIMIT 20",
          {{"Statement", show::code}, {"Calls", show::number}, {"Total", show::ms}, {"Mean", show::ms}, {"p95", show::ms}, {"p99", show::ms}, {"Mean before", show::ms}, {"Share", show::pct}}, {span});
    const std::string sizes_of = objects.as_of ? "; sizes of " + pg::to_text(*objects.as_of) : "";
    table(out, "tables", "Tables", ("Largest, with indexes and toast" + escape_html(sizes_of)).c_str(),
          "SELECT relation::pg_catalog.oid::pg_catalog.regclass::pg_catalog.text, total, indexes, live, dead, 100.0 * total / nullif(of_all, 0) "
          "FROM unnest($1::pg_catalog.int8[], $2::pg_catalog.int8[], $3::pg_catalog.int8[], $4::pg_catalog.int8[], $5::pg_catalog.int8[], "
          "$6::pg_catalog.int8[]) v(relation, total, indexes, live, dead, of_all)",
          {{"Table", show::text}, {"Size", show::bytes}, {"Indexes", show::bytes}, {"Live rows", show::number}, {"Dead rows", show::number}, {"Share", show::pct}}, objects.largest);
    table(out, "growth", "Growth", "Tables and indexes that grew most in the period",
          "SELECT relation::pg_catalog.oid::pg_catalog.regclass::pg_catalog.text, bytes, grown, inserted, updated, deleted "
          "FROM unnest($1::pg_catalog.int8[], $2::pg_catalog.int8[], $3::pg_catalog.int8[], $4::pg_catalog.int8[], $5::pg_catalog.int8[], "
          "$6::pg_catalog.int8[]) v(relation, bytes, grown, inserted, updated, deleted)",
          {{"Relation", show::text}, {"Size", show::bytes}, {"Grown", show::bytes}, {"Inserted", show::number}, {"Updated", show::number}, {"Deleted", show::number}}, objects.grown);
    table(out, "indexes", "Indexes not used", "Never scanned since statistics began; look at replicas, too",
          "SELECT i::pg_catalog.oid::pg_catalog.regclass::pg_catalog.text, t::pg_catalog.oid::pg_catalog.regclass::pg_catalog.text, pages * 8192.0, 'DROP INDEX CONCURRENTLY ' || i::pg_catalog.oid::pg_catalog.regclass::pg_catalog.text "
          "FROM unnest($1::pg_catalog.int8[], $2::pg_catalog.int8[], $3::pg_catalog.int8[]) v(i, t, pages)",
          {{"Index", show::text}, {"Table", show::text}, {"Size", show::bytes}, {"Command", show::code}}, objects.unused);
    table(out, "jobs", "Jobs", "Scheduled work",
          "SELECT name, schedule, breaker, consecutive_failures, pg_catalog.to_char(next_run AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') FROM dbopt.jobs LIMIT 30",
          {{"Job", show::text}, {"Schedule", show::text}, {"Breaker", show::text}, {"Failures in a row", show::number}, {"Next run (UTC)", show::text}});
    table(out, "partitions", "Partition sets", "Managed partitioned tables",
          "SELECT parent::pg_catalog.text, step::pg_catalog.text, retention::pg_catalog.text FROM dbopt.partition_sets LIMIT 30",
          {{"Table", show::text}, {"Step", show::text}, {"Retention", show::text}});
    table(out, "matviews", "Materialized views", "Materialized views, and how old their data are",
          "SELECT matview::pg_catalog.text, coalesce(mode, 'not managed'), pg_catalog.date_trunc('second', staleness)::pg_catalog.text FROM dbopt._matview_ages() LIMIT 30",
          {{"View", show::text}, {"Mode", show::text}, {"Staleness", show::text}});
    table(out, "pools", "Pools", "Connection pools now",
          "SELECT name, kind, used, free, waiting, max_size, utilization_pct, health, detail FROM dbopt.pools",
          {{"Pool", show::text}, {"Kind", show::text}, {"Used", show::number}, {"Free", show::number}, {"Waiting", show::number}, {"Size", show::number}, {"Used", show::pct}, {"Health", show::text}, {"Detail", show::text}});
    table(out, "replication", "Replication", "Replicas, slots and receivers",
          "SELECT kind, name, state, lag_bytes, lag_ms, retained_bytes FROM dbopt.replication",
          {{"Kind", show::text}, {"Name", show::text}, {"State", show::text}, {"Lag", show::bytes}, {"Lag", show::ms}, {"WAL kept", show::bytes}});
}

} // namespace

std::string make_report(const pg::interval &span) {
    const pg::inventory_scope shared;
    const std::vector<finding> findings = examine(tier::deep);
    const object_lists objects = list_objects(span);
    std::string out;
    head(out, findings, objects.database_bytes);
    problems(out, findings);
    advice(out);
    charts(out, span);
    lists(out, span, objects);
    out += "</main>\n<footer><p class=\"soft\">Made by dbopt " DBOPT_VERSION " inside the server; the period is the last " +
           escape_html(pg::to_text(span)) + ".</p></footer></body></html>\n";
    return out;
}

} // namespace dbopt::monitor
