#include "pg/under_way.hpp"

extern "C" {
#include "access/xact.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/relcache.h"
}

namespace dbopt::pg {

bool being_written(Oid relation) {
    return call([&] {
        if (!TransactionIdIsValid(GetTopTransactionIdIfAny()))
            return false;
        // Also what a foreign key's action wrote: its triggers fire with those of the statement around it.
        // Outside of triggers only deferred ones wait: of statements that have ended, whose capture has fired.
        if (AfterTriggerPendingOnRel(relation) && DatumGetInt32(OidFunctionCall0(F_PG_TRIGGER_DEPTH)) > 0)
            return true;
        Relation r = RelationIdGetRelation(relation);
        if (r == nullptr)
            return false;
        // Open by an executor, for writing; one reference is ours.
        const bool written = r->rd_refcnt > 1 && CheckRelationLockedByMe(r, RowExclusiveLock, false);
        RelationClose(r);
        return written;
    });
}

} // namespace dbopt::pg
