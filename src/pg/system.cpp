#include "pg/system.hpp"
#include <csignal>
#include <unistd.h>

namespace dbopt::pg {

int64_t system_identifier() { return static_cast<int64_t>(GetSystemIdentifier()); }

bool role_exists(Oid role) {
    return call([&] { return SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(role)); });
}

bool role_can_connect(Oid role) {
#ifdef BGWORKER_BYPASS_ROLELOGINCHECK
    return role_exists(role);
#else
    return call([&] {
        HeapTuple t = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
        if (!HeapTupleIsValid(t))
            return false;
        const bool login = ((Form_pg_authid)GETSTRUCT(t))->rolcanlogin;
        ReleaseSysCache(t);
        return login;
    });
#endif
}

bool is_member(Oid member, Oid role) {
    return call([&] { return has_privs_of_role(member, role); });
}

void die_at_once() { (void)kill(getpid(), SIGKILL); }

} // namespace dbopt::pg
