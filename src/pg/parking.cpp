#include "pg/parking.hpp"
#include "pg/compat.hpp"
#include "pg/crew.hpp"

extern "C" {
#include "catalog/pg_tablespace.h"
#include "commands/defrem.h"
#include "commands/tablespace.h"
#include "utils/wait_event.h"
}

namespace dbopt::pg {

namespace {

ProcessUtility_hook_type previous = nullptr;

struct target {
    Oid database = InvalidOid;
    bool drop = false;
};

Oid template_of(const CreatedbStmt *s) {
    const char *name = "template1";
    ListCell *cell;
    foreach (cell, s->options) {
        DefElem *e = lfirst_node(DefElem, cell);
        if (strcmp(e->defname, "template") == 0 && e->arg != nullptr)
            name = defGetString(e);
    }
    return get_database_oid(name, true);
}

bool is_template(Oid database) {
    HeapTuple t = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
    if (!HeapTupleIsValid(t))
        return false;
    const bool result = ((Form_pg_database)GETSTRUCT(t))->datistemplate;
    ReleaseSysCache(t);
    return result;
}

// have_createdb_privilege() is exported only from 15.20 on; a library must load on older minors too.
bool may_create_databases() {
    HeapTuple t = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
    if (!HeapTupleIsValid(t))
        return false;
    const auto *role = (Form_pg_authid)GETSTRUCT(t);
    const bool result = role->rolsuper || role->rolcreatedb;
    ReleaseSysCache(t);
    return result;
}

// The database that the statement needs empty, if the caller has the rights the statement needs.
// A caller without them gets PostgreSQL's own error, and our workers stay undisturbed.
target target_of(Node *statement) {
    target t;
    const Oid user = GetUserId();
    switch (nodeTag(statement)) {
    case T_DropdbStmt:
        t = {get_database_oid(((DropdbStmt *)statement)->dbname, true), true};
        if (OidIsValid(t.database) && !compat::owns_database(t.database, user))
            t.database = InvalidOid;
        break;
    case T_CreatedbStmt:
        t.database = template_of((CreatedbStmt *)statement);
        if (OidIsValid(t.database) &&
            (!may_create_databases() ||
             !(is_template(t.database) || compat::owns_database(t.database, user))))
            t.database = InvalidOid;
        break;
    case T_AlterDatabaseStmt: {
        const AlterDatabaseStmt *s = (AlterDatabaseStmt *)statement;
        const char *tablespace = nullptr;
        ListCell *cell;
        foreach (cell, s->options) {
            DefElem *e = lfirst_node(DefElem, cell);
            if (strcmp(e->defname, "tablespace") == 0)
                tablespace = defGetString(e);
        }
        if (tablespace == nullptr)
            break;
        const Oid space = get_tablespace_oid(tablespace, true);
        t.database = get_database_oid(s->dbname, true);
        if (!OidIsValid(space) || !OidIsValid(t.database) ||
            !compat::owns_database(t.database, user) || !compat::may_create_in_tablespace(space, user))
            t.database = InvalidOid;
        break;
    }
    case T_RenameStmt: {
        const RenameStmt *s = (RenameStmt *)statement;
        if (s->renameType != OBJECT_DATABASE)
            break;
        t.database = get_database_oid(s->subname, true);
        if (OidIsValid(t.database) &&
            (!compat::owns_database(t.database, user) || !may_create_databases()))
            t.database = InvalidOid;
        break;
    }
    default:
        break;
    }
    if (t.database == MyDatabaseId)
        t.database = InvalidOid;
    return t;
}

// Marks the database and counts our processes in it, after asking them to leave: by their latch at
// first, by SIGTERM when they are busy.
int ask_to_leave(const target &t, bool firmly) {
    using namespace crew;
    pid_t leave[most_slots + 2];
    int count = 0, remain = 0;
    LWLockAcquire(lock(), LW_EXCLUSIVE);
    database_entry *e = find(t.database);
    if (e != nullptr) {
        e->parked_by = MyProcPid;
        e->park_jobs = t.drop;
        for (pid_t pid : {e->pid, e->rooms})
            if (pid != 0)
                leave[count++] = pid;
        remain = count;
        for (run_slot &s : shared()->slots) {
            if (s.database != t.database || s.state == slot_state::free)
                continue;
            // A user's running job is only ended by DROP; the others fail as with any session.
            // A reserved worker that has just finished waits for a database worker that has left.
            if (s.pid != 0 && (t.drop || s.state == slot_state::ready || s.state == slot_state::finished)) {
                leave[count++] = s.pid;
                ++remain;
            }
        }
    }
    LWLockRelease(lock());
    for (int i = 0; i < count; ++i) {
        if (firmly)
            signal(leave[i], true);
        else
            wake(leave[i]);
    }
    return remain;
}

void unpark(Oid database) {
    using namespace crew;
    LWLockAcquire(lock(), LW_EXCLUSIVE);
    database_entry *e = find(database);
    if (e != nullptr && e->parked_by == MyProcPid) {
        e->parked_by = 0;
        e->park_jobs = false;
        e->not_before = 0;
        e->failures = 0;
    }
    ++shared()->launcher_news;
    const pid_t launcher = shared()->launcher;
    LWLockRelease(lock());
    wake(launcher);
}

void park(const target &t) {
    // PostgreSQL itself waits up to 5 s for sessions to go; ours need some 10 ms.
    for (int round = 0; round < 200; ++round) {
        if (ask_to_leave(t, round >= 10) == 0)
            return;
        (void)WaitLatch(MyLatch, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10, PG_WAIT_EXTENSION);
        CHECK_FOR_INTERRUPTS();
    }
}

void pass_on(PlannedStmt *pstmt, const char *text, bool read_only_tree, ProcessUtilityContext context,
             ParamListInfo parameters, QueryEnvironment *environment, DestReceiver *receiver,
             QueryCompletion *completion) {
    if (previous != nullptr)
        previous(pstmt, text, read_only_tree, context, parameters, environment, receiver, completion);
    else
        standard_ProcessUtility(pstmt, text, read_only_tree, context, parameters, environment,
                                receiver, completion);
}

// ---- DROP and ALTER EXTENSION: our workers must not hold locks that the command waits for ----

bool parked_here = false;

void at_transaction_end(XactEvent event, void *) {
    if (parked_here &&
        (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)) {
        parked_here = false;
        unpark(MyDatabaseId);
    }
}

bool names_us(List *objects) {
    ListCell *cell;
    foreach (cell, objects)
        if (IsA(lfirst(cell), String) && strcmp(strVal(lfirst(cell)), "dbopt") == 0)
            return true;
    return false;
}

bool changes_extension(Node *statement) {
    if (IsA(statement, AlterExtensionStmt))
        return strcmp(((AlterExtensionStmt *)statement)->extname, "dbopt") == 0;
    if (!IsA(statement, DropStmt))
        return false;
    const DropStmt *s = (DropStmt *)statement;
    return (s->removeType == OBJECT_EXTENSION || s->removeType == OBJECT_SCHEMA) && names_us(s->objects);
}

// Until the end of the transaction, for the command may stand in a transaction block.
void park_here() {
    static bool registered = false;
    if (!registered) {
        RegisterXactCallback(at_transaction_end, nullptr);
        registered = true;
    }
    parked_here = true;
    park({MyDatabaseId, false});
}

bool drops_extension(Node *statement) {
    if (IsA(statement, DropStmt))
        return ((DropStmt *)statement)->removeType == OBJECT_EXTENSION ||
               ((DropStmt *)statement)->removeType == OBJECT_SCHEMA;
    return IsA(statement, DropOwnedStmt);
}

// Everything else goes straight through.
bool concerns_us(Node *statement) {
    switch (nodeTag(statement)) {
    case T_DropdbStmt:
    case T_CreatedbStmt:
    case T_AlterDatabaseStmt:
    case T_DropOwnedStmt:
        return true;
    case T_AlterExtensionStmt:
        return changes_extension(statement);
    case T_RenameStmt:
        return ((RenameStmt *)statement)->renameType == OBJECT_DATABASE;
    case T_DropStmt:
        return drops_extension(statement);
    default:
        return false;
    }
}

void hook(PlannedStmt *pstmt, const char *text, bool read_only_tree, ProcessUtilityContext context,
          ParamListInfo parameters, QueryEnvironment *environment, DestReceiver *receiver,
          QueryCompletion *completion) {
    Node *statement = pstmt->utilityStmt;
    if (crew::shared() == nullptr || !concerns_us(statement)) {
        pass_on(pstmt, text, read_only_tree, context, parameters, environment, receiver, completion);
        return;
    }
    boundary([&] {
        target t;
        const bool empties = context == PROCESS_UTILITY_TOPLEVEL && !IsTransactionBlock() &&
                             IsTransactionState();
        if (empties)
            t = call([&] { return target_of(statement); });
        if (IsTransactionState() && changes_extension(statement) && superuser())
            call([] { park_here(); });
        const bool creates = IsA(statement, CreatedbStmt);
        const bool drops = drops_extension(statement);
        try {
            if (OidIsValid(t.database))
                call([&] { park(t); });
            call([&] {
                pass_on(pstmt, text, read_only_tree, context, parameters, environment, receiver,
                        completion);
            });
        } catch (...) {
            if (OidIsValid(t.database))
                unpark(t.database);
            throw;
        }
        if (OidIsValid(t.database))
            unpark(t.database);
        if (drops)
            crew::announce_at_commit();
        if (creates)
            crew::announce_databases_at_commit();
    });
}

} // namespace

void install_parking() {
    previous = ProcessUtility_hook;
    ProcessUtility_hook = hook;
}

} // namespace dbopt::pg
