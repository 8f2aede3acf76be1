#include "pg/filesize.hpp"
#include "pg/query.hpp"
#include <cstdlib>
#include <dirent.h>
#include <sys/stat.h>

extern "C" {
#include "catalog/pg_tablespace.h"
#include "common/relpath.h"
}

namespace dbopt::pg {

namespace {

struct closer {
    void operator()(DIR *d) const { closedir(d); }
};
using folder = std::unique_ptr<DIR, closer>;

// The relation's file that a name like 16384, 16384.1, 16384_fsm or 16384_vm.2 belongs to; nullptr
// for anything else (t3_16384, PG_VERSION), which is no relation of ours.
file_sizes *counter_of(const char *name, sizes_by_file &files, bool *main) {
    if (name[0] < '0' || name[0] > '9')
        return nullptr;
    char *end = nullptr;
    const unsigned long number = strtoul(name, &end, 10);
    if (*end != '\0' && *end != '.' && *end != '_')
        return nullptr;
    *main = *end != '_';
    return &files[static_cast<uint32_t>(number)];
}

} // namespace

int64_t read_database_folder(Oid tablespace, sizes_by_file &into) {
    const char *path = call([&] {
        return GetDatabasePath(tablespace == GLOBALTABLESPACE_OID ? InvalidOid : MyDatabaseId, tablespace);
    });
    const folder dir(opendir(path));
    if (!dir)
        return 0;
    int64_t bytes = 0;
    const int fd = dirfd(dir.get());
    while (const dirent *entry = readdir(dir.get())) {
        struct stat info;
        if (entry->d_type == DT_DIR || fstatat(fd, entry->d_name, &info, 0) != 0 || !S_ISREG(info.st_mode))
            continue;
        bytes += info.st_size;
        bool main = false;
        if (file_sizes *s = counter_of(entry->d_name, into, &main))
            (main ? s->main : s->other) += info.st_size;
    }
    return bytes;
}

int64_t folder_bytes(const char *path) {
    const folder dir(opendir(path));
    if (!dir)
        return -1;
    int64_t bytes = 0;
    struct stat info;
    while (const dirent *entry = readdir(dir.get()))
        if (fstatat(dirfd(dir.get()), entry->d_name, &info, 0) == 0 && S_ISREG(info.st_mode))
            bytes += info.st_size;
    return bytes;
}

} // namespace dbopt::pg
