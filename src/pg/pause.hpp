// Sleeping in a backend: interrupts are served, a dying postmaster ends it.
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

void pause(int64_t milliseconds);

} // namespace dbopt::pg
