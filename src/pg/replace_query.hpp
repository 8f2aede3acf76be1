// The query of a materialized view exchanged in place: rows, indexes, grants and comments stay.
// PostgreSQL has no command for it; CREATE MATERIALIZED VIEW itself stores its query in this way.
// Source: ExecCreateTableAs and StoreViewQuery (src/backend/commands/createas.c, view.c).
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

// ACCESS EXCLUSIVE on the view. The columns must be the same; raises otherwise.
void replace_query(Oid materialized_view, const std::string &select);

} // namespace dbopt::pg
