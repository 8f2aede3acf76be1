// Reading the catalog about one relation (syscache, no lock), and locks that do not wait for long.
#pragma once
#include "pg/value.hpp"

namespace dbopt::pg {

struct relation_info {
    Oid oid = InvalidOid;
    std::string name;   // unquoted
    std::string schema; // unquoted
    char kind = 0;      // RELKIND_…
    char persistence = 0;
    bool is_partition = false;
    bool populated = false;
    Oid owner = InvalidOid;
    Oid schema_oid = InvalidOid;
    Oid access_method = InvalidOid;
    Oid tablespace = InvalidOid;
    Oid toast = InvalidOid;
    int32_t pages = 0;      // relpages
    float tuples = -1;      // reltuples, -1 = never analysed
    bool row_security = false;
    std::string qualified() const; // quoted, schema-qualified
};

// Nothing when the relation is gone.
std::optional<relation_info> find_relation(Oid relation);
// Raises 42P01 when the relation is gone.
relation_info get_relation(Oid relation);
std::string kind_name(char kind); // "table", "index", "materialized view" …
bool is_catalog(const relation_info &r);      // pg_catalog, information_schema, pg_toast
bool is_other_temp(const relation_info &r);   // a temporary relation of another session

// Tries to lock for at most `milliseconds` (0: no waiting at all). False when it did not get it: the
// transaction is unharmed.
bool try_lock(Oid relation, LOCKMODE mode, int64_t milliseconds = 0);
void unlock(Oid relation, LOCKMODE mode);

} // namespace dbopt::pg
