#include "pg/toplevel.hpp"
#include "pg/compat.hpp"
#include "pg/memory.hpp"

namespace dbopt::pg {

// What no job can do, whoever it belongs to.
static void refuse_kind(Node *statement) {
    if (IsA(statement, TransactionStmt))
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("transaction control is not possible as a command of its own"),
                        errhint("Use CALL of a procedure that commits.")));
    const CopyStmt *copy = IsA(statement, CopyStmt) ? (CopyStmt *)statement : nullptr;
    if (copy != nullptr && copy->filename == nullptr)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("COPY %s is not possible in a job: it has no client",
                               copy->is_from ? "FROM STDIN" : "TO STDOUT"),
                        errhint("Copy to or from a file or a program of the server.")));
}

static void require_one(List *statements) {
    if (list_length(statements) != 1)
        ereport(ERROR,
                (errcode(ERRCODE_SYNTAX_ERROR),
                 errmsg("a job's command is exactly one SQL statement, this text has %d",
                        list_length(statements)),
                 errhint("Put several statements into a procedure or a DO block, or add several jobs.")));
}

void require_job_command(const std::string &sql) {
    call([&] {
        List *statements = raw_parser(sql.c_str(), RAW_PARSE_DEFAULT);
        require_one(statements);
        refuse_kind(linitial_node(RawStmt, statements)->stmt);
    });
}

void set_for_session(const std::vector<std::string> &settings) {
    for (const std::string &s : settings) {
        const size_t at = s.find('=');
        const std::string name = s.substr(0, at), value = s.substr(at + 1);
        call([&] { SetConfigOption(name.c_str(), value.c_str(), PGC_USERSET, PGC_S_SESSION); });
    }
}

int64_t statement_timeout_ms() { return StatementTimeout; }

namespace {

// Everything between StartTransactionCommand and CommitTransactionCommand, under one guard.
void execute(const char *sql, MemoryContext space, QueryCompletion *completion) {
    StartTransactionCommand();
    MemoryContextSwitchTo(space);
    List *statements = pg_parse_query(sql);
    require_one(statements);
    RawStmt *raw = linitial_node(RawStmt, statements);
    const CommandTag tag = CreateCommandTag(raw->stmt);
    refuse_kind(raw->stmt);
    const bool needs_snapshot = analyze_requires_snapshot(raw);
    if (needs_snapshot)
        PushActiveSnapshot(GetTransactionSnapshot());
    List *queries = pg_analyze_and_rewrite_fixedparams(raw, sql, nullptr, 0, nullptr);
    List *plans = pg_plan_queries(queries, sql, CURSOR_OPT_PARALLEL_OK, nullptr);
    if (needs_snapshot)
        PopActiveSnapshot();
    CHECK_FOR_INTERRUPTS();

    Portal portal = CreatePortal("", true, true);
    portal->visible = false;
    PortalDefineQuery(portal, nullptr, sql, tag, plans, nullptr);
    PortalStart(portal, nullptr, 0, InvalidSnapshot);
    int16 format = 0;
    PortalSetResultFormat(portal, 1, &format);
    (void)compat::portal_run_to_end(portal, None_Receiver, completion);
    PortalDrop(portal, false);
    CommitTransactionCommand();
}

void recover() {
    quietly([] {
        disable_all_timeouts(false);
        QueryCancelPending = false;
        PortalErrorCleanup();
        AbortOutOfAnyTransaction();
    });
}

} // namespace

toplevel_outcome run_toplevel(const std::string &sql, int64_t max_runtime_ms) {
    // VACUUM and its kind commit inside: the plan must live longer than their transactions.
    MemoryContext before = CurrentMemoryContext;
    context_resource space("dbopt statement", TopMemoryContext);
    QueryCompletion completion;
    InitializeQueryCompletion(&completion);
    std::optional<error> failure;
    try {
        call([&] {
            SetCurrentStatementStartTimestamp();
            pgstat_report_activity(STATE_RUNNING, sql.c_str());
            if (max_runtime_ms > 0)
                enable_timeout_after(STATEMENT_TIMEOUT, static_cast<int>(std::min<int64_t>(
                                                            max_runtime_ms, INT_MAX)));
            execute(sql.c_str(), space.context(), &completion);
            if (max_runtime_ms > 0)
                disable_timeout(STATEMENT_TIMEOUT, false);
        });
    } catch (error &e) {
        failure.emplace(std::move(e));
    }
    if (failure)
        recover();
    MemoryContextSwitchTo(before);
    quietly([] {
        pgstat_report_stat(true);
        pgstat_report_activity(STATE_IDLE, nullptr);
    });
    if (failure)
        throw std::move(*failure);
    toplevel_outcome out;
    out.rows = completion.nprocessed;
    out.tag = GetCommandTagName(completion.commandTag);
    return out;
}

} // namespace dbopt::pg
