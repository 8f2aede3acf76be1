// What an event trigger for REFRESH MATERIALIZED VIEW was told.
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

struct refresh_seen {
    Oid matview;
    bool concurrent;
};
refresh_seen seen_refresh(FunctionCallInfo info);

} // namespace dbopt::pg
