// A captured query is planned as the role that ran it, under the schemas that it was run under and
// nothing of the caller's, so that nobody's functions run as somebody else.
#pragma once
#include "pg/search_path.hpp"
#include "pg/security.hpp"
#include "pg/transaction.hpp"
#include "pg/whatif.hpp"

namespace dbopt::advisor {

struct role_scope {
    // path: with the temporary schemas last, see pg::temporary_last.
    role_scope(Oid role, const std::string &path) {
        if (!OidIsValid(role))
            return;
        scope.emplace(role);
        pg::set_local("search_path", path.c_str());
    }
    std::optional<pg::as_owner> scope;
};

// To be called after a captured query was read and before it is planned.
inline void refuse_temporary(const pg::whatif::engine &engine, int query) {
    if (pg::uses_temporary(engine.tree(query)))
        pg::raise({.code = ERRCODE_FEATURE_NOT_SUPPORTED,
                   .message = "the statement is about temporary relations or functions of its session"});
}

} // namespace dbopt::advisor
