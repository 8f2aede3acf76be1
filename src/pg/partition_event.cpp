#include "pg/partition_event.hpp"

extern "C" {
#include "access/table.h"
#include "access/tableam.h"
#include "commands/event_trigger.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
}

namespace dbopt::pg {

static bool attaches(AlterTableStmt *s) {
    for (int i = 0; i < list_length(s->cmds); ++i)
        if (((AlterTableCmd *)list_nth(s->cmds, i))->subtype == AT_AttachPartition)
            return true;
    return false;
}

bool partition_came(FunctionCallInfo info) {
    return call([&] {
        if (!CALLED_AS_EVENT_TRIGGER(info))
            ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                            errmsg("dbopt._matview_partitioned works as an event trigger only")));
        Node *command = reinterpret_cast<EventTriggerData *>(info->context)->parsetree;
        if (IsA(command, CreateStmt))
            return ((CreateStmt *)command)->partbound != nullptr;
        return IsA(command, AlterTableStmt) && attaches((AlterTableStmt *)command);
    });
}

bool is_empty(Oid relation) {
    return call([&] {
        Relation r = table_open(relation, AccessShareLock);
        bool empty = true;
        if (RELKIND_HAS_STORAGE(r->rd_rel->relkind)) {
            // Not the transaction's snapshot: what others have committed since counts.
            Snapshot now = RegisterSnapshot(GetLatestSnapshot());
            TupleTableSlot *slot = table_slot_create(r, nullptr);
            TableScanDesc scan = table_beginscan(r, now, 0, nullptr);
            empty = !table_scan_getnextslot(scan, ForwardScanDirection, slot);
            table_endscan(scan);
            ExecDropSingleTupleTableSlot(slot);
            UnregisterSnapshot(now);
        }
        table_close(r, NoLock);
        return empty;
    });
}

bool held_exclusively(Oid relation) {
    return call([&] {
        Relation r = RelationIdGetRelation(relation);
        if (r == nullptr)
            return false;
        const bool held = CheckRelationLockedByMe(r, AccessExclusiveLock, false);
        RelationClose(r);
        return held;
    });
}

} // namespace dbopt::pg
