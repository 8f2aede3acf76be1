// DROP DATABASE, CREATE DATABASE … TEMPLATE, ALTER DATABASE … RENAME and SET TABLESPACE need the
// database empty. A ProcessUtility hook makes our workers leave it (park) for the command, once the
// caller's rights are checked, and lets them come back afterwards.
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

void install_parking(); // from _PG_init, while preloading

} // namespace dbopt::pg
