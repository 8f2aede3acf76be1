#include "pg/machine.hpp"
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <sched.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace dbopt::pg {

namespace {

// Finds "Key:   123 kB" in /proc/meminfo.
std::optional<int64_t> meminfo(const char *key) {
    FILE *f = fopen("/proc/meminfo", "r");
    if (f == nullptr)
        return std::nullopt;
    std::optional<int64_t> found;
    char line[128];
    while (!found && fgets(line, sizeof line, f) != nullptr) {
        long long kb;
        if (strncmp(line, key, strlen(key)) == 0 && sscanf(line + strlen(key), " %lld", &kb) == 1)
            found = int64_t{kb} * 1024;
    }
    fclose(f);
    return found;
}

// cgroup 2: a number, or "max" when there is no limit.
std::optional<int64_t> container_limit() {
    FILE *f = fopen("/sys/fs/cgroup/memory.max", "r");
    if (f == nullptr)
        return std::nullopt;
    long long bytes;
    const bool number = fscanf(f, "%lld", &bytes) == 1;
    fclose(f);
    return number ? std::optional<int64_t>(bytes) : std::nullopt;
}

} // namespace

machine read_machine() {
    machine m;
    cpu_set_t set; // honours taskset and container cpusets, which sysconf does not
    m.cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                        : static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
    m.cpus = std::max(1, m.cpus);
    m.memory_bytes = meminfo("MemTotal:");
    if (const auto limit = container_limit(); limit && m.memory_bytes)
        m.memory_bytes = std::min(*m.memory_bytes, *limit);
    m.available_bytes = meminfo("MemAvailable:");
    double load[1];
    if (getloadavg(load, 1) == 1)
        m.load1 = load[0];
    return m;
}

std::optional<filesystem> read_filesystem(const std::string &path) {
    struct statvfs v;
    struct stat s;
    if (statvfs(path.c_str(), &v) != 0 || stat(path.c_str(), &s) != 0)
        return std::nullopt;
    const auto block = static_cast<int64_t>(v.f_frsize);
    return filesystem{.total = block * static_cast<int64_t>(v.f_blocks),
                      .free = block * static_cast<int64_t>(v.f_bavail),
                      .id = static_cast<uint64_t>(s.st_dev)};
}

} // namespace dbopt::pg
