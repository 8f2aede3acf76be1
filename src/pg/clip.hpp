// Texts of the server in fields of fixed size.
#pragma once
#include <cstddef>

namespace dbopt::pg {

// Copies what fits and ends it in "..." if that is not all: whole characters of the database's encoding, and the
// terminating zero. `size` > 4; text may be nullptr. Raises nothing.
void copy_clipped(char *to, std::size_t size, const char *text) noexcept;

} // namespace dbopt::pg
