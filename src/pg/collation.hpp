// What collations mean for indexes.
#pragma once
#include "pg/server.hpp"

namespace dbopt::pg {

// True if text in this collation sorts by its bytes, so that a plain b-tree serves LIKE 'abc%'.
// May raise: call it under a guard.
bool sorts_as_c(Oid collation);

} // namespace dbopt::pg
