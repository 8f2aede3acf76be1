#include "pg/collation.hpp"

extern "C" {
#include "catalog/pg_collation.h"
}

namespace dbopt::pg {

// pg_locale.h would need ICU's headers from 17 on, and 18 has no lc_collate_is_c any more; the catalogs
// say the same on every version.
bool sorts_as_c(Oid collation) {
    if (!OidIsValid(collation) || collation == C_COLLATION_OID)
        return true;
    const bool database = collation == DEFAULT_COLLATION_OID;
    HeapTuple t = database ? SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId))
                           : SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
    if (!HeapTupleIsValid(t))
        return false;
    const char provider = database ? reinterpret_cast<Form_pg_database>(GETSTRUCT(t))->datlocprovider
                                   : reinterpret_cast<Form_pg_collation>(GETSTRUCT(t))->collprovider;
    bool null = true;
    const Datum name = database ? SysCacheGetAttr(DATABASEOID, t, Anum_pg_database_datcollate, &null)
                                : SysCacheGetAttr(COLLOID, t, Anum_pg_collation_collcollate, &null);
    const std::string_view locale = null ? "" : TextDatumGetCString(name);
    // 'b': the builtin provider, whose locales all compare code points.
    const bool c = provider == 'b' || (provider == 'c' && (locale == "C" || locale == "POSIX"));
    ReleaseSysCache(t);
    return c;
}

} // namespace dbopt::pg
