// One SQL statement at top level in a background worker: VACUUM, CREATE INDEX CONCURRENTLY, DETACH
// CONCURRENTLY and CALL with COMMIT work here, without a loopback connection.
// Source of the idea: exec_simple_query (src/backend/tcop/postgres.c) and pg_cron's worker mode.
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

struct toplevel_outcome {
    std::string tag; // command tag with its count, e.g. "DELETE 3"
    uint64_t rows = 0;
};

// Runs exactly one statement in its own transaction(s), as the connected user. No transaction may
// be open. max_runtime_ms 0: no limit. On error everything is rolled back as far as PostgreSQL can,
// and pg::error is thrown with no transaction open.
toplevel_outcome run_toplevel(const std::string &sql, int64_t max_runtime_ms = 0);

// "name=value" each, as SET does outside of a transaction, with the rights of any user. They hold
// until RESET ALL; the clean-up of a failed run sees them, too.
void set_for_session(const std::vector<std::string> &settings);

// Raises what is wrong with a text that should be one statement, possible in a worker: the parser's error,
// none or several statements, transaction control, COPY from or to a client.
void require_job_command(const std::string &sql);

// statement_timeout as the connected role has it, 0: none. run_toplevel does not look at it by itself: a
// server-wide one is no reason to give up a build that dbopt decided on.
int64_t statement_timeout_ms();

} // namespace dbopt::pg
