// dbopt.log_slow_queries: one line of JSON in the server's log per slow statement. Internal.
#pragma once
#include "pg/statement_hooks.hpp"

namespace dbopt::capture {

void define_slow_log_settings();
void log_if_slow(const pg::statement_end &e);

} // namespace dbopt::capture
