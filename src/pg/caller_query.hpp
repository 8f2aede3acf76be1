// A statement that the caller wrote, with the names that his search_path shows. Everything else goes
// through query.hpp, whose texts see nothing but pg_catalog.
#pragma once
#include "pg/query.hpp"

namespace dbopt::pg {

result query_of_caller(std::string_view sql);

} // namespace dbopt::pg
