// A bytea column as bytes. Internal to the room.
#pragma once
#include "pg/query.hpp"

namespace dbopt::monitor {

std::string stored_bytes(const pg::row &r, int column); // NULL: none

} // namespace dbopt::monitor
