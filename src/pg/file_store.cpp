#include "pg/file_store.hpp"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace dbopt::pg {

namespace {
struct descriptor {
    explicit descriptor(int n) : fd(n) {}
    ~descriptor() {
        if (fd >= 0)
            ::close(fd);
    }
    descriptor(const descriptor &) = delete;
    descriptor &operator=(const descriptor &) = delete;
    int fd;
};
void (*exit_callback)(int) = nullptr;
} // namespace

bool write_at(const char *path, uint64_t offset, const void *data, size_t bytes) {
    const descriptor d(::open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    return d.fd >= 0 && ::pwrite(d.fd, data, bytes, static_cast<off_t>(offset)) ==
                            static_cast<ssize_t>(bytes);
}

size_t read_at(const char *path, uint64_t offset, void *data, size_t bytes) {
    const descriptor d(::open(path, O_RDONLY | O_CLOEXEC));
    if (d.fd < 0)
        return 0;
    const ssize_t n = ::pread(d.fd, data, bytes, static_cast<off_t>(offset));
    return n > 0 ? static_cast<size_t>(n) : 0;
}

void remove_file(const char *path) { ::unlink(path); }

bool replace_file(const char *path, std::string_view content) {
    const std::string temporary = std::string(path) + ".tmp";
    {
        const descriptor d(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
        if (d.fd < 0)
            return false;
        size_t done = 0;
        while (done < content.size()) {
            const ssize_t n = ::write(d.fd, content.data() + done, content.size() - done);
            if (n <= 0)
                return false;
            done += static_cast<size_t>(n);
        }
        if (::fsync(d.fd) != 0)
            return false;
    }
    return ::rename(temporary.c_str(), path) == 0;
}

std::string whole_file(const char *path, size_t limit) {
    const descriptor d(::open(path, O_RDONLY | O_CLOEXEC));
    struct stat info;
    if (d.fd < 0 || ::fstat(d.fd, &info) != 0 || static_cast<size_t>(info.st_size) > limit)
        return {};
    std::string out(static_cast<size_t>(info.st_size), '\0');
    const ssize_t n = ::pread(d.fd, out.data(), out.size(), 0);
    out.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return out;
}

void at_shared_memory_exit(void (*f)(int)) {
    exit_callback = f;
    on_shmem_exit([](int code, Datum) { exit_callback(code); }, 0);
}

bool in_postmaster() { return !IsUnderPostmaster; }

} // namespace dbopt::pg
