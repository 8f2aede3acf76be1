// A table access method that is not heap: a copy of the heap's under another name. What reads pages must
// leave its tables alone, for nobody knows what lies on them.
#include "pg/server.hpp"

extern "C" {
#include "access/heapam.h"
#include "access/tableam.h"
#include "catalog/pg_am.h"
PG_FUNCTION_INFO_V1(dbopt_pgtest_access_method);
PGDLLEXPORT Datum dbopt_pgtest_access_method(PG_FUNCTION_ARGS);
}

// Its TOAST tables are heaps: the server builds an index only over its own.
static Oid toast_method(Relation) { return HEAP_TABLE_AM_OID; }

Datum dbopt_pgtest_access_method(PG_FUNCTION_ARGS) {
    (void)fcinfo;
    static TableAmRoutine routine;
    routine = *GetHeapamTableAmRoutine();
    routine.relation_toast_am = toast_method;
    PG_RETURN_POINTER(&routine);
}
