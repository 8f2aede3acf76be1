// Plain files below the data directory for what shared memory is too small for. Errors are reported
// by return value only: losing a text must never hurt a statement.
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

bool write_at(const char *path, uint64_t offset, const void *data, size_t bytes);
// Returns how many bytes were read; 0 when there is no such file.
size_t read_at(const char *path, uint64_t offset, void *data, size_t bytes);
void remove_file(const char *path);
// Writes to path.tmp, syncs, renames.
bool replace_file(const char *path, std::string_view content);
std::string whole_file(const char *path, size_t limit);
// Calls f(code) when the postmaster leaves shared memory for good (0: a clean shutdown).
void at_shared_memory_exit(void (*f)(int code));
bool in_postmaster();

} // namespace dbopt::pg
