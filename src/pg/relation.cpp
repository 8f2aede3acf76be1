#include "pg/relation.hpp"

namespace dbopt::pg {

std::string relation_info::qualified() const {
    return quote_identifier(schema) + "." + quote_identifier(name);
}

std::optional<relation_info> find_relation(Oid relation) {
    HeapTuple t = call([&] { return SearchSysCache1(RELOID, ObjectIdGetDatum(relation)); });
    if (!HeapTupleIsValid(t))
        return std::nullopt;
    const auto *c = reinterpret_cast<Form_pg_class>(GETSTRUCT(t));
    relation_info r;
    r.oid = relation;
    r.name = NameStr(c->relname);
    r.kind = c->relkind;
    r.persistence = c->relpersistence;
    r.is_partition = c->relispartition;
    r.populated = c->relispopulated;
    r.owner = c->relowner;
    r.schema_oid = c->relnamespace;
    r.access_method = c->relam;
    r.tablespace = c->reltablespace;
    r.toast = c->reltoastrelid;
    r.pages = c->relpages;
    r.tuples = c->reltuples;
    r.row_security = c->relrowsecurity;
    ReleaseSysCache(t);
    const char *schema = call([&] { return get_namespace_name(r.schema_oid); });
    r.schema = schema != nullptr ? schema : "";
    return r;
}

relation_info get_relation(Oid relation) {
    auto r = find_relation(relation);
    if (!r)
        raise({.code = ERRCODE_UNDEFINED_TABLE,
               .message = "relation with OID " + std::to_string(relation) + " does not exist",
               .hint = "It may have been dropped meanwhile."});
    return std::move(*r);
}

std::string kind_name(char kind) {
    switch (kind) {
    case RELKIND_RELATION: return "table";
    case RELKIND_INDEX: return "index";
    case RELKIND_SEQUENCE: return "sequence";
    case RELKIND_TOASTVALUE: return "TOAST table";
    case RELKIND_VIEW: return "view";
    case RELKIND_MATVIEW: return "materialized view";
    case RELKIND_COMPOSITE_TYPE: return "composite type";
    case RELKIND_FOREIGN_TABLE: return "foreign table";
    case RELKIND_PARTITIONED_TABLE: return "partitioned table";
    case RELKIND_PARTITIONED_INDEX: return "partitioned index";
    default: return "relation";
    }
}

bool is_catalog(const relation_info &r) {
    return r.schema == "pg_catalog" || r.schema == "information_schema" || r.schema == "pg_toast";
}

bool is_other_temp(const relation_info &r) {
    return r.persistence == RELPERSISTENCE_TEMP && isOtherTempNamespace(r.schema_oid);
}

bool try_lock(Oid relation, LOCKMODE mode, int64_t milliseconds) {
    const TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds);
    for (;;) {
        if (call([&] { return ConditionalLockRelationOid(relation, mode); }))
            return true;
        if (GetCurrentTimestamp() >= end)
            return false;
        call([] {
            CHECK_FOR_INTERRUPTS();
            pg_usleep(5000);
        });
    }
}

void unlock(Oid relation, LOCKMODE mode) {
    call([&] { UnlockRelationOid(relation, mode); });
}

} // namespace dbopt::pg
