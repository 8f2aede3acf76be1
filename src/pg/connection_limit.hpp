// CONNECTION LIMIT of a role and of a database. The server counts and limits ordinary sessions only; a job
// is work of its role like that of a session, so the job workers are counted here.
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

struct workers_beside {
    int of_role = 0; // in the whole cluster, this one not counted
    int of_database = 0;
};

// Raises 53300, as a new session would get it, when one more of `role` in this database is too many.
// Superusers are exempt. Needs a transaction.
void require_connection_left(Oid role, const workers_beside &beside);

} // namespace dbopt::pg
