// Small facts about this server and session.
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

int64_t system_identifier(); // of the cluster, as pg_control_system() shows it

bool role_exists(Oid role);
// A worker can connect as this role: on 15 it needs LOGIN.
bool role_can_connect(Oid role);
bool is_member(Oid member, Oid role); // with the role's privileges, superusers included


// As kill -9 from outside: for tests of what a crash leaves behind.
void die_at_once();

} // namespace dbopt::pg
