// The executor's hooks, reduced to one event: a statement has ended.
//
// Only statements of client sessions are reported (not those of background workers, parallel workers
// or WAL senders), with the server's own query identifier, once each: a prepared statement or cursor
// at its end, an EXECUTE as the statement it executes, EXPLAIN and other utility statements as
// themselves. A statement that ends in an error is reported too.
#pragma once
#include "pg/value.hpp"

extern "C" {
#include "nodes/params.h"
}

namespace dbopt::pg {

struct statement_end {
    int64_t query_id;
    Oid role, database;
    bool toplevel, utility, failed;
    uint64_t rows;
    uint64_t run_ns, plan_ns; // plan_ns: 0 when a stored plan was used
    uint64_t blocks_hit, blocks_read, blocks_written, temp_blocks;
    uint32_t local_transaction; // changes with each transaction of the backend
    const char *text;           // of the whole message; nullptr when unknown
    int text_start, text_length; // of this statement in it; length 0: to the end
    ParamListInfo parameters;
    bool backslash_escapes; // in plain string literals (standard_conforming_strings = off)
};

enum class capture_level { none, top, all };

// From _PG_init while preloading; asks the server for query identifiers. `on_end` must not throw,
// raise or allocate on its usual path; `level` and `utility` are read at each statement.
void install_statement_hooks(void (*on_end)(const statement_end &), const int *level,
                             const bool *utility);

// A parameter as text, for built-in types only; false when it cannot be had safely.
bool parameter_text(const ParamExternData &parameter, const char **out);

} // namespace dbopt::pg
