// A captured query is planned as the role that ran it, with that role's own view of the schemas and
// nothing of the caller's, so that nobody's functions run as somebody else.
#pragma once
#include "pg/security.hpp"
#include "pg/transaction.hpp"

namespace dbopt::advisor {

struct role_scope {
    explicit role_scope(Oid role) {
        if (!OidIsValid(role))
            return;
        scope.emplace(role);
        pg::set_local("search_path", "\"$user\", public, pg_temp");
    }
    std::optional<pg::as_owner> scope;
};

} // namespace dbopt::advisor
