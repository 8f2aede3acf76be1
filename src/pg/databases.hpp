// The cluster's databases, read by a process that is connected to none (the launcher).
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

struct database_info {
    Oid oid;
    std::string name;
    bool is_template;
};
// Those that accept connections. In a transaction of its own.
std::vector<database_info> connectable_databases();
std::string database_name(Oid database); // empty when it is gone

} // namespace dbopt::pg
