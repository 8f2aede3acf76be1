// Plain C style inside the hooks: they run between the server's frames, where an error jumps. Each
// calls the previous hook, always.
#include "pg/statement_hooks.hpp"
#include "pg/compat.hpp"

extern "C" {
#include "access/parallel.h"
#include "executor/instrument.h"
#include "optimizer/planner.h"
#include "parser/parser.h"
#include "portability/instr_time.h"
#include "utils/backend_status.h"
}

namespace dbopt::pg {

namespace {

void (*report_end)(const statement_end &) = nullptr;
const int *capture_setting = nullptr;
const bool *utility_setting = nullptr;

planner_hook_type previous_planner = nullptr;
ExecutorRun_hook_type previous_run = nullptr;
ExecutorFinish_hook_type previous_finish = nullptr;
ExecutorEnd_hook_type previous_end = nullptr;
ProcessUtility_hook_type previous_utility = nullptr;

int level = 0;       // of nested statements
bool client = false; // this process is a client's session
bool decided = false;

// Statements that run now or are open as cursors. A statement runs in several pieces at most as a
// cursor, so a handful is enough; one that finds no room is not reported.
struct running {
    const QueryDesc *query;
    int nesting; // of subtransactions, where it began
    uint64_t ns;
    BufferUsage before;
};
constexpr int most_running = 16;
running open_statements[most_running];
int open_count = 0;

// The last plan made, to be charged to the execution that follows.
int64_t planned_id = 0;
uint64_t planned_ns = 0;

bool is_client() {
    if (!decided) {
        client = MyBackendType == B_BACKEND && !IsParallelWorker();
        decided = true;
    }
    return client;
}

bool wanted() {
    const int setting = *capture_setting;
    return setting == static_cast<int>(capture_level::all) ||
           (setting == static_cast<int>(capture_level::top) && level == 0);
}

uint64_t nanoseconds() {
    instr_time t;
    INSTR_TIME_SET_CURRENT(t);
    return compat::instr_ns(t);
}

running *find(const QueryDesc *query) {
    for (int i = open_count - 1; i >= 0; --i)
        if (open_statements[i].query == query)
            return &open_statements[i];
    return nullptr;
}

void forget(running *r) { *r = open_statements[--open_count]; }

// Portals dropped by an abort never reach ExecutorEnd.
void on_transaction_end(XactEvent event, void *) {
    if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT)
        open_count = 0;
}

// Nor do those of an aborted subtransaction.
void on_subtransaction_end(SubXactEvent event, SubTransactionId, SubTransactionId, void *) {
    const int nesting = GetCurrentTransactionNestLevel();
    if (event == SUBXACT_EVENT_COMMIT_SUB)
        for (int i = 0; i < open_count; ++i)
            open_statements[i].nesting = Min(open_statements[i].nesting, nesting - 1);
    if (event != SUBXACT_EVENT_ABORT_SUB)
        return;
    for (int i = open_count - 1; i >= 0; --i)
        if (open_statements[i].nesting >= nesting)
            forget(&open_statements[i]);
}

void end_of(const QueryDesc *query, const running &r, uint64_t ns, bool failed) {
    statement_end e;
    const PlannedStmt *plan = query->plannedstmt;
    e.query_id = static_cast<int64_t>(plan->queryId);
    e.role = GetUserId();
    e.database = MyDatabaseId;
    e.toplevel = level == 0;
    e.utility = false;
    e.failed = failed;
    e.rows = query->estate != nullptr ? query->estate->es_processed : 0;
    e.run_ns = ns;
    e.plan_ns = 0;
    if (planned_id == e.query_id) {
        e.plan_ns = planned_ns;
        planned_id = 0;
    }
    const BufferUsage &now = pgBufferUsage;
    e.blocks_hit = now.shared_blks_hit - r.before.shared_blks_hit;
    e.blocks_read = now.shared_blks_read - r.before.shared_blks_read;
    e.blocks_written = now.shared_blks_written - r.before.shared_blks_written;
    e.temp_blocks = now.temp_blks_written - r.before.temp_blks_written;
    e.local_transaction = compat::local_transaction_id();
    e.text = query->sourceText;
    e.text_start = plan->stmt_location;
    e.text_length = plan->stmt_len;
    e.parameters = query->params;
    e.backslash_escapes = !standard_conforming_strings;
    report_end(e);
}

PlannedStmt *call_planner(Query *parse, const char *text, int options, ParamListInfo params) {
    return previous_planner != nullptr ? previous_planner(parse, text, options, params)
                                       : standard_planner(parse, text, options, params);
}

PlannedStmt *on_plan(Query *parse, const char *text, int options, ParamListInfo params) {
    const bool measure = parse->queryId != 0 && is_client() && wanted();
    if (!measure)
        return call_planner(parse, text, options, params);
    const uint64_t start = nanoseconds();
    const int64_t id = static_cast<int64_t>(parse->queryId);
    PlannedStmt *volatile plan = nullptr;
    ++level; // what runs while a constant is folded is not the client's statement
    PG_TRY();
    {
        plan = call_planner(parse, text, options, params);
    }
    PG_FINALLY();
    {
        --level;
    }
    PG_END_TRY();
    planned_id = id;
    planned_ns = nanoseconds() - start;
    return plan;
}

void run_below(const executor_run &run) {
    ++level;
    PG_TRY();
    {
        compat::call_run(previous_run, run);
    }
    PG_FINALLY();
    {
        --level;
    }
    PG_END_TRY();
}

void end_failed(const QueryDesc *query, uint64_t start) {
    if (running *r = find(query)) {
        end_of(query, *r, r->ns + nanoseconds() - start, true);
        forget(r);
    }
}

void run_measured(const executor_run &run) {
    running *r = find(run.query);
    if (r == nullptr) {
        if (open_count == most_running) {
            run_below(run);
            return;
        }
        r = &open_statements[open_count++];
        r->query = run.query;
        r->nesting = GetCurrentTransactionNestLevel();
        r->ns = 0;
        r->before = pgBufferUsage;
    }
    const uint64_t start = nanoseconds();
    ++level;
    PG_TRY();
    {
        compat::call_run(previous_run, run);
    }
    PG_CATCH();
    {
        --level;
        end_failed(run.query, start);
        PG_RE_THROW();
    }
    PG_END_TRY();
    --level;
    r = find(run.query); // a COMMIT inside may have cleared the list
    if (r != nullptr)
        r->ns += nanoseconds() - start;
}

void on_run(const executor_run &run) {
    if (*capture_setting == static_cast<int>(capture_level::none))
        compat::call_run(previous_run, run);
    else if (run.query->plannedstmt->queryId != 0 && is_client() && wanted())
        run_measured(run);
    else
        run_below(run);
}

#if PG_VERSION_NUM >= 180000
void on_run_hook(QueryDesc *query, ScanDirection direction, uint64 count) {
    on_run({query, direction, count, false});
}
#else
void on_run_hook(QueryDesc *query, ScanDirection direction, uint64 count, bool once) {
    on_run({query, direction, count, once});
}
#endif

void call_finish(QueryDesc *query) {
    if (previous_finish != nullptr)
        previous_finish(query);
    else
        standard_ExecutorFinish(query);
}

// AFTER triggers and foreign keys are checked here, and may refuse the statement.
void on_finish(QueryDesc *query) {
    if (*capture_setting == static_cast<int>(capture_level::none)) {
        call_finish(query);
        return;
    }
    const bool works = query->operation != CMD_SELECT || query->plannedstmt->hasModifyingCTE;
    const uint64_t start = works && open_count > 0 ? nanoseconds() : 0;
    ++level;
    PG_TRY();
    {
        call_finish(query);
    }
    PG_CATCH();
    {
        --level;
        end_failed(query, start != 0 ? start : nanoseconds());
        PG_RE_THROW();
    }
    PG_END_TRY();
    --level;
    if (start != 0)
        if (running *r = find(query))
            r->ns += nanoseconds() - start;
}

void on_end(QueryDesc *query) {
    if (open_count > 0)
        if (running *r = find(query)) {
            end_of(query, *r, r->ns, false);
            forget(r);
        }
    if (previous_end != nullptr)
        previous_end(query);
    else
        standard_ExecutorEnd(query);
}

void call_utility(const utility_call &u) {
    if (previous_utility != nullptr)
        previous_utility(u.statement, u.text, u.read_only, u.context, u.params, u.environment, u.receiver,
                         u.completion);
    else
        standard_ProcessUtility(u.statement, u.text, u.read_only, u.context, u.params, u.environment,
                                u.receiver, u.completion);
}

void utility_end(const utility_call &u, int64_t id, int start, int length, uint64_t ns, bool failed) {
    statement_end e{};
    e.query_id = id;
    e.role = GetUserId();
    e.database = MyDatabaseId;
    e.toplevel = level == 0;
    e.utility = true;
    e.failed = failed;
    if (!failed && u.completion != nullptr)
        switch (u.completion->commandTag) {
        case CMDTAG_COPY:
        case CMDTAG_FETCH:
        case CMDTAG_SELECT:
        case CMDTAG_REFRESH_MATERIALIZED_VIEW: e.rows = u.completion->nprocessed; break;
        default: break;
        }
    e.run_ns = ns;
    e.local_transaction = compat::local_transaction_id();
    e.text = u.text;
    e.text_start = start;
    e.text_length = length;
    e.backslash_escapes = !standard_conforming_strings;
    report_end(e);
}

// EXECUTE is reported as the statement it executes, so it adds no level and no row of its own.
bool transparent(const Node *statement) {
    return IsA(statement, ExecuteStmt) || IsA(statement, PrepareStmt) ||
           IsA(statement, DeallocateStmt);
}

void on_utility(PlannedStmt *statement, const char *text, bool read_only,
                ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
                DestReceiver *receiver, QueryCompletion *completion) {
    const utility_call u{statement, text,        read_only, context,
                         params,    environment, receiver,  completion};
    if (transparent(statement->utilityStmt)) {
        call_utility(u);
        return;
    }
    // The statement may be freed by the time it returns (a ROLLBACK, for one).
    // pg_stat_statements takes the identifier away from what comes after it in the chain of hooks; that
    // of a client's statement is also where pg_stat_activity shows it.
    const auto id = static_cast<int64_t>(statement->queryId != 0 || level > 0 ? statement->queryId : pgstat_get_my_query_id());
    const int start_at = statement->stmt_location, length = statement->stmt_len;
    const bool measure = id != 0 && *utility_setting && is_client() && wanted();
    const uint64_t start = measure ? nanoseconds() : 0;
    const int mine = level++;
    PG_TRY();
    {
        call_utility(u);
    }
    PG_CATCH();
    {
        level = mine;
        if (measure)
            utility_end(u, id, start_at, length, nanoseconds() - start, true);
        PG_RE_THROW();
    }
    PG_END_TRY();
    level = mine;
    if (measure)
        utility_end(u, id, start_at, length, nanoseconds() - start, false);
}

} // namespace

void install_statement_hooks(void (*on_statement_end)(const statement_end &), const int *setting,
                             const bool *utility) {
    report_end = on_statement_end;
    capture_setting = setting;
    utility_setting = utility;
    EnableQueryId();
    previous_planner = planner_hook;
    planner_hook = on_plan;
    previous_run = ExecutorRun_hook;
    ExecutorRun_hook = on_run_hook;
    previous_finish = ExecutorFinish_hook;
    ExecutorFinish_hook = on_finish;
    previous_end = ExecutorEnd_hook;
    ExecutorEnd_hook = on_end;
    previous_utility = ProcessUtility_hook;
    ProcessUtility_hook = on_utility;
    RegisterXactCallback(on_transaction_end, nullptr);
    RegisterSubXactCallback(on_subtransaction_end, nullptr);
}

bool parameter_text(const ParamExternData &parameter, const char **out) {
    *out = nullptr;
    if (parameter.isnull)
        return true;
    if (!OidIsValid(parameter.ptype) || parameter.ptype >= FirstNormalObjectId)
        return false;
    Oid function;
    bool varlena;
    getTypeOutputInfo(parameter.ptype, &function, &varlena);
    *out = OidOutputFunctionCall(function, parameter.value);
    return true;
}

} // namespace dbopt::pg
