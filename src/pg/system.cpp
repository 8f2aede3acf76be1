#include "pg/system.hpp"

namespace dbopt::pg {

int64_t system_identifier() { return static_cast<int64_t>(GetSystemIdentifier()); }

} // namespace dbopt::pg
