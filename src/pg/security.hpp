// Least power: acting as a relation's owner, and checks of the caller's rights.
//
// Table owners may be hostile: their triggers, defaults, index and partition-key expressions run
// when dbopt touches their tables. SET ROLE does not contain them; a restricted security context
// does (core does the same in REFRESH, ANALYZE and CREATE INDEX: src/backend/commands/matview.c).
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

// Until the end of the scope: user = owner, SECURITY_RESTRICTED_OPERATION, search_path =
// pg_catalog, pg_temp; settings changed inside are undone. Commands that need top level or
// temporary tables (REFRESH CONCURRENTLY, VACUUM) do not work in it; run those through toplevel.hpp.
class as_owner {
  public:
    explicit as_owner(Oid owner);
    ~as_owner();
    as_owner(const as_owner &) = delete;
    as_owner &operator=(const as_owner &) = delete;

  private:
    Oid user_;
    int context_;
    int nest_level_;
    int exceptions_;
};

Oid owner_of(Oid relation);
std::string role_name(Oid role);
// The role whose rights count: the one that called the outermost function, or the session's.
Oid caller();
bool is_superuser(Oid role);
Oid this_database();
// Whether `role` has the privileges of another role, given by OID or (a predefined one) by name.
bool has_privileges_of(Oid role, Oid other);
bool has_privileges_of(Oid role, const char *other);
bool may_maintain(Oid relation, Oid role = caller());
bool owns(Oid relation, Oid role = caller());
// Raise 42501 with the relation's name and a hint.
void require_owner(Oid relation);
void require_maintain(Oid relation);
bool is_standby();
// Raises 25006 on a standby or in a read-only transaction.
void require_writable(const char *message);

} // namespace dbopt::pg
