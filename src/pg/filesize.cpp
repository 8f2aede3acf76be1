#include "pg/filesize.hpp"
#include "pg/query.hpp"
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <sys/stat.h>
#include <unordered_map>

extern "C" {
#include "catalog/pg_tablespace.h"
#include "common/relpath.h"
}

namespace dbopt::pg {

namespace {

struct sizes {
    int64_t main = 0;
    int64_t other = 0;
};
using by_file = std::unordered_map<uint32_t, sizes>;

// Reads names like 16384, 16384.1, 16384_fsm, 16384_vm.2; anything else (t3_16384, PG_VERSION) is
// not a relation of ours.
void read_folder(const char *path, by_file &files) {
    struct closer {
        void operator()(DIR *d) const { closedir(d); }
    };
    const std::unique_ptr<DIR, closer> dir(opendir(path));
    if (!dir)
        return;
    const int fd = dirfd(dir.get());
    while (const dirent *entry = readdir(dir.get())) {
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
            continue;
        char *end = nullptr;
        const unsigned long number = strtoul(entry->d_name, &end, 10);
        if (*end != '\0' && *end != '.' && *end != '_')
            continue;
        struct stat info;
        if (fstatat(fd, entry->d_name, &info, 0) != 0 || !S_ISREG(info.st_mode))
            continue;
        sizes &s = files[static_cast<uint32_t>(number)];
        (*end == '_' ? s.other : s.main) += info.st_size;
    }
}

std::string folder_of(Oid tablespace) {
    char *path = call([&] {
        return GetDatabasePath(tablespace == GLOBALTABLESPACE_OID ? InvalidOid : MyDatabaseId, tablespace);
    });
    return path;
}

} // namespace

std::vector<relation_size> relation_sizes() {
    const result relations = query(
        "SELECT c.oid, c.relkind, c.reltablespace, CASE WHEN c.relfilenode = 0 "
        "THEN pg_catalog.pg_relation_filenode(c.oid) ELSE c.relfilenode END, "
        "coalesce(i.indrelid, c.oid), c.reltoastrelid FROM pg_catalog.pg_class c "
        "LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid AND c.relkind = 'i' "
        "WHERE c.relkind IN ('r', 'i', 'S', 't', 'm') AND c.relpersistence <> 't'");
    std::unordered_map<Oid, by_file> folders;
    std::unordered_map<Oid, Oid> toast_of; // toast table → its table
    std::vector<relation_size> out;
    out.reserve(relations.size());
    for (const row &r : relations) {
        if (const Oid toast = r.get<Oid>(5); OidIsValid(toast))
            toast_of.emplace(toast, r.get<Oid>(0));
        if (r.null(3))
            continue; // gone meanwhile
        Oid space = r.get<Oid>(2);
        if (!OidIsValid(space))
            space = MyDatabaseTableSpace;
        auto folder = folders.find(space);
        if (folder == folders.end()) {
            check_interrupts();
            folder = folders.emplace(space, by_file{}).first;
            read_folder(folder_of(space).c_str(), folder->second);
        }
        relation_size s{.relation = r.get<Oid>(0), .kind = DatumGetChar(r.datum(1)),
                        .owner_table = r.get<Oid>(4)};
        if (const auto f = folder->second.find(r.get<Oid>(3)); f != folder->second.end()) {
            s.main = f->second.main;
            s.other = f->second.other;
        }
        out.push_back(s);
    }
    for (relation_size &s : out)
        if (const auto t = toast_of.find(s.owner_table); t != toast_of.end())
            s.owner_table = t->second;
    return out;
}

int64_t database_bytes() {
    int64_t bytes = 0;
    for (const row &r : query("SELECT oid FROM pg_catalog.pg_tablespace WHERE spcname <> 'pg_global'"))
        bytes += std::max<int64_t>(0, folder_bytes(folder_of(r.get<Oid>(0)).c_str()));
    return bytes;
}

int64_t folder_bytes(const char *path) {
    DIR *dir = opendir(path);
    if (dir == nullptr)
        return -1;
    int64_t bytes = 0;
    struct stat info;
    while (const dirent *entry = readdir(dir))
        if (fstatat(dirfd(dir), entry->d_name, &info, 0) == 0 && S_ISREG(info.st_mode))
            bytes += info.st_size;
    closedir(dir);
    return bytes;
}

} // namespace dbopt::pg
