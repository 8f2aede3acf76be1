#include "pg/under_way.hpp"

extern "C" {
#include "access/xact.h"
#include "commands/trigger.h"
#include "storage/lmgr.h"
#include "utils/rel.h"
#include "utils/relcache.h"
}

namespace dbopt::pg {

bool being_written(Oid relation) {
    return call([&] {
        if (!TransactionIdIsValid(GetTopTransactionIdIfAny()))
            return false;
        // Also what a foreign key's action wrote: its triggers fire with those of the statement around it.
        if (AfterTriggerPendingOnRel(relation))
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
