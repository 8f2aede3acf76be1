// What the operating system says about the machine the server runs on. POSIX and /proc only; a
// figure that cannot be read is nothing, never zero.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace dbopt::pg {

struct machine {
    int cpus = 1;
    std::optional<int64_t> memory_bytes;    // the container's limit where that is smaller
    std::optional<int64_t> available_bytes; // MemAvailable
    std::optional<double> load1;            // load average of the last minute
};
machine read_machine();

struct filesystem {
    int64_t total = 0; // bytes
    int64_t free = 0;  // bytes that the server's user may still use
    uint64_t id = 0;   // equal for two paths on one file system
};
// `path` relative to the data directory.
std::optional<filesystem> read_filesystem(const std::string &path);

} // namespace dbopt::pg
