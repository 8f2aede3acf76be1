// Whether a statement of this session is in the middle of writing a relation.
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

// Rows of it may be there whose AFTER triggers have not fired: the call came from a trigger, or from a query
// with INSERT, UPDATE or DELETE in its WITH.
bool being_written(Oid relation);

} // namespace dbopt::pg
