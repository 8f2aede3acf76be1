#include "pg/connection_limit.hpp"
#include "pg/security.hpp"

namespace dbopt::pg {

namespace {

// -1: none. Also of an object that was dropped meanwhile: what follows says so better.
int limit_of_role(Oid role) {
    return call([&] {
        HeapTuple t = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
        if (!HeapTupleIsValid(t))
            return -1;
        const int limit = reinterpret_cast<Form_pg_authid>(GETSTRUCT(t))->rolconnlimit;
        ReleaseSysCache(t);
        return limit;
    });
}

int limit_of_database() {
    return call([&] {
        HeapTuple t = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
        if (!HeapTupleIsValid(t))
            return -1;
        const int limit = reinterpret_cast<Form_pg_database>(GETSTRUCT(t))->datconnlimit;
        ReleaseSysCache(t);
        return limit;
    });
}

std::string database_name() {
    const char *name = call([&] { return get_database_name(MyDatabaseId); });
    return name != nullptr ? name : "";
}

void require(const std::string &whose, int limit, int sessions, int workers) {
    if (limit < 0 || sessions + workers < limit)
        return;
    raise({.code = ERRCODE_TOO_MANY_CONNECTIONS,
           .message = "too many connections for " + whose,
           .detail = "CONNECTION LIMIT is " + std::to_string(limit) + "; there are " + std::to_string(sessions) +
                     " sessions and " + std::to_string(workers) + " other job workers.",
           .hint = "Raise the limit, or let jobs run when there are fewer sessions."});
}

} // namespace

void require_connection_left(Oid role, const workers_beside &beside) {
    if (is_superuser(role))
        return;
    if (const int limit = limit_of_role(role); limit >= 0)
        require("role \"" + role_name(role) + "\"", limit, call([&] { return CountUserBackends(role); }),
                beside.of_role);
    if (const int limit = limit_of_database(); limit >= 0)
        require("database \"" + database_name() + "\"", limit,
                call([&] { return CountDBConnections(MyDatabaseId); }), beside.of_database);
}

} // namespace dbopt::pg
