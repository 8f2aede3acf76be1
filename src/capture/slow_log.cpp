#include "capture/slow_log.hpp"
#include "capture/capture.hpp"
#include "core/json.hpp"
#include "pg/catalog_text.hpp"
#include "pg/security.hpp"
#include "pg/settings.hpp"
#include <cstring>

namespace dbopt::capture {

namespace {

int threshold_ms = 1000;
bool enabled = false;

std::string number(double v) {
    char out[32];
    snprintf(out, sizeof out, "%.3f", v);
    return out;
}

// Literals are left out of the text: a log is read by more people than a table.
std::string line_of(const pg::statement_end &e) {
    std::string text;
    if (e.text != nullptr) {
        const char *start = e.text + std::max(e.text_start, 0);
        const size_t length = e.text_length > 0 ? static_cast<size_t>(e.text_length) : strlen(start);
        // Whole characters only: half a one would make the log's JSON invalid.
        text = pg::clip_identifier(redacted(pg::clip_identifier(std::string(start, std::min<size_t>(length, 16388)), 16384), 2004), 2000);
    }
    return "dbopt slow query {\"query_id\": " + std::to_string(e.query_id) +
           ", \"duration_ms\": " + number(static_cast<double>(e.run_ns) / 1e6) +
           ", \"plan_ms\": " + number(static_cast<double>(e.plan_ns) / 1e6) + ", \"rows\": " + std::to_string(e.rows) +
           ", \"blocks_hit\": " + std::to_string(e.blocks_hit) + ", \"blocks_read\": " + std::to_string(e.blocks_read) +
           ", \"temp_blocks\": " + std::to_string(e.temp_blocks) + ", \"role\": " + core::json_string(pg::role_name(e.role)) +
           ", \"query\": " + core::json_string(text) + "}";
}

} // namespace

void define_slow_log_settings() {
    pg::define_int({.name = "dbopt.slow_query_threshold",
                    .description = "Statements that take longer are slow: dbopt.slow_queries lists them, "
                                   "dbopt.log_slow_queries logs them.",
                    .variable = &threshold_ms, .value = 1000, .low = 0, .high = 86400000,
                    .when = pg::change::superuser, .in = pg::unit::ms});
    pg::define_bool("dbopt.log_slow_queries",
                    "Log statements slower than dbopt.slow_query_threshold as one line of JSON each.", &enabled,
                    false, pg::change::superuser);
}

void log_if_slow(const pg::statement_end &e) {
    if (!enabled || e.failed || e.run_ns < static_cast<uint64_t>(threshold_ms) * 1'000'000)
        return;
    try {
        pg::log(line_of(e));
    } catch (const std::bad_alloc &) { // a log line less
    }
}

} // namespace dbopt::capture
