// Small facts about this server and session.
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

int64_t system_identifier(); // of the cluster, as pg_control_system() shows it

} // namespace dbopt::pg
