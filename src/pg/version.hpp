// The server that this module was compiled for.
#pragma once
#include "pg/server.hpp"

namespace dbopt::pg {
inline constexpr int server_version = PG_VERSION_NUM; // 150020, 180004 …
} // namespace dbopt::pg
