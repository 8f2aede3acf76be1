#include "pg/relation_bytes.hpp"
#include "pg/compat.hpp"
#include "pg/entry.hpp"
#include <sys/stat.h>

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/syscache.h"
}

namespace dbopt::pg {

namespace {

struct storage {
    compat::file_location file = {};
    bool found = false, stored = false;
    Oid toast = InvalidOid;
};

storage storage_of(Oid relation) {
    storage s;
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
    if (!HeapTupleIsValid(tuple))
        return s;
    const Form_pg_class c = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
    s.found = true;
    s.toast = c->reltoastrelid;
    s.stored = RELKIND_HAS_STORAGE(c->relkind);
    if (s.stored)
        s.file = compat::location_of(relation, c);
    ReleaseSysCache(tuple);
    return s;
}

int64_t fork_bytes(const storage &s, ForkNumber fork) {
    const char *path = compat::path_of(s.file, fork);
    int64_t bytes = 0;
    struct stat info;
    for (unsigned segment = 0;; ++segment) {
        const char *name = segment == 0 ? path : psprintf("%s.%u", path, segment);
        if (stat(name, &info) != 0)
            return bytes;
        bytes += info.st_size;
    }
}

int64_t all_forks(const storage &s) {
    int64_t bytes = 0;
    for (int f = 0; s.stored && f <= MAX_FORKNUM; ++f)
        bytes += fork_bytes(s, static_cast<ForkNumber>(f));
    return bytes;
}

// From pg_index, not from the relation cache: that one would open the table.
int64_t index_bytes(Oid table) {
    int64_t bytes = 0;
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(table));
    const Relation catalog = table_open(IndexRelationId, AccessShareLock);
    const SysScanDesc scan =
        systable_beginscan(catalog, IndexIndrelidIndexId, true, nullptr, 1, &key);
    for (HeapTuple t; HeapTupleIsValid(t = systable_getnext(scan));)
        bytes += all_forks(storage_of(reinterpret_cast<Form_pg_index>(GETSTRUCT(t))->indexrelid));
    systable_endscan(scan);
    table_close(catalog, AccessShareLock);
    return bytes;
}

} // namespace

std::optional<int64_t> relation_bytes(Oid relation, extent what) {
    int64_t bytes = -1;
    call([&] {
        const storage s = storage_of(relation);
        if (!s.found)
            return;
        if (what == extent::main) {
            bytes = s.stored ? fork_bytes(s, MAIN_FORKNUM) : 0;
            return;
        }
        bytes = all_forks(s) + index_bytes(relation);
        if (OidIsValid(s.toast))
            bytes += all_forks(storage_of(s.toast)) + index_bytes(s.toast);
    });
    return bytes < 0 ? std::nullopt : std::optional<int64_t>(bytes);
}

} // namespace dbopt::pg

DBOPT_FUNCTION(dbopt_bytes) {
    using namespace dbopt;
    const std::optional<int64_t> bytes =
        pg::relation_bytes(args.get<Oid>(0), args.get<bool>(1) ? pg::extent::whole : pg::extent::main);
    return args.result(bytes ? pg::value(*bytes) : pg::value(std::nullopt));
}
