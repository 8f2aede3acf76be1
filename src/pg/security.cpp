#include "pg/security.hpp"
#include "pg/compat.hpp"
#include "pg/value.hpp"

namespace dbopt::pg {

as_owner::as_owner(Oid owner) : exceptions_(std::uncaught_exceptions()) {
    GetUserIdAndSecContext(&user_, &context_);
    call([&] {
        nest_level_ = NewGUCNestLevel();
        SetUserIdAndSecContext(owner, context_ | SECURITY_RESTRICTED_OPERATION);
        (void)set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
                                GUC_ACTION_SAVE, true, 0, false);
    });
}

as_owner::~as_owner() {
    // While an error travels, the (sub)transaction's abort pops the settings; the user is put back
    // here in any case, so that nothing in between runs with a wrong one.
    if (std::uncaught_exceptions() == exceptions_)
        quietly([&] { AtEOXact_GUC(false, nest_level_); });
    SetUserIdAndSecContext(user_, context_);
}

Oid caller() { return GetUserId(); }

bool is_superuser(Oid role) {
    return call([&] { return superuser_arg(role); });
}

std::string role_name(Oid role) {
    const char *name = call([&] { return GetUserNameFromId(role, true); });
    return name != nullptr ? name : std::to_string(role);
}

Oid owner_of(Oid relation) {
    return call([&] {
        HeapTuple t = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
        if (!HeapTupleIsValid(t))
            ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                            errmsg("relation with OID %u does not exist", relation)));
        const Oid owner = ((Form_pg_class)GETSTRUCT(t))->relowner;
        ReleaseSysCache(t);
        return owner;
    });
}

bool owns(Oid relation, Oid role) {
    return call([&] { return compat::owns_relation(relation, role); });
}
bool may_maintain(Oid relation, Oid role) {
    return call([&] { return compat::may_maintain(relation, role); });
}

static void refuse(Oid relation, const char *need) {
    const std::string name = qualified_name(relation);
    raise({.code = ERRCODE_INSUFFICIENT_PRIVILEGE,
           .message = "permission denied for relation " + name,
           .detail = "Role \"" + role_name(caller()) + "\" is not " + need + ".",
           .hint = "Call as role \"" + role_name(owner_of(relation)) + "\" or a member of it."});
}

void require_owner(Oid relation) {
    if (!owns(relation))
        refuse(relation, "its owner");
}
void require_maintain(Oid relation) {
    if (!may_maintain(relation))
        refuse(relation, "its owner and has no MAINTAIN right");
}

Oid this_database() { return MyDatabaseId; }

bool has_privileges_of(Oid role, Oid other) {
    return call([&] { return has_privs_of_role(role, other); });
}

bool has_privileges_of(Oid role, const char *other) {
    return call([&] {
        const Oid named = get_role_oid(other, true);
        return OidIsValid(named) && has_privs_of_role(role, named);
    });
}

bool is_standby() { return RecoveryInProgress(); }

void require_writable(const char *message) {
    if (RecoveryInProgress() || XactReadOnly)
        raise({.code = ERRCODE_READ_ONLY_SQL_TRANSACTION,
               .message = message,
               .detail = RecoveryInProgress() ? "This server is a standby." : "The transaction is read-only.",
               .hint = RecoveryInProgress() ? "Call it on the primary; the result is replicated." : ""});
}

} // namespace dbopt::pg
