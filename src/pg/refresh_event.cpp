// The event trigger that notices REFRESH MATERIALIZED VIEW by anybody.
#include "pg/refresh_event.hpp"
#include "pg/error.hpp"

extern "C" {
#include "commands/event_trigger.h"
#include "nodes/parsenodes.h"
}

namespace dbopt::pg {

refresh_seen seen_refresh(FunctionCallInfo info) {
    return call([&] {
        if (!CALLED_AS_EVENT_TRIGGER(info))
            ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                            errmsg("dbopt._matview_refreshed works as an event trigger only")));
        auto *data = reinterpret_cast<EventTriggerData *>(info->context);
        if (!IsA(data->parsetree, RefreshMatViewStmt))
            return refresh_seen{InvalidOid, false};
        auto *s = reinterpret_cast<RefreshMatViewStmt *>(data->parsetree);
        return refresh_seen{RangeVarGetRelid(s->relation, NoLock, true), s->concurrent};
    });
}

} // namespace dbopt::pg
