#include "pg/search_path.hpp"
#include "pg/query.hpp"

extern "C" {
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"
}

namespace dbopt::pg {

namespace {

constexpr const char *usual_path = "\"$user\", public";

bool temporary_function(Oid function, void *) { return isAnyTempNamespace(get_func_namespace(function)); }

// The walkers' callback type differs between versions.
using visitor = bool (*)(Node *, void *);
#if PG_VERSION_NUM >= 160000
visitor walker_of(visitor f) { return f; }
#else
bool (*walker_of(visitor f))() { return reinterpret_cast<bool (*)()>(reinterpret_cast<void *>(f)); }
#endif

bool temporary_walker(Node *node, void *context) {
    if (node == nullptr)
        return false;
    if (IsA(node, RangeTblEntry)) {
        const Oid relation = reinterpret_cast<RangeTblEntry *>(node)->relid;
        return OidIsValid(relation) && get_rel_persistence(relation) == RELPERSISTENCE_TEMP;
    }
    if (IsA(node, Query))
        return query_tree_walker(reinterpret_cast<Query *>(node), walker_of(temporary_walker), context, QTW_EXAMINE_RTES_BEFORE);
    return check_functions_in_node(node, temporary_function, context) ||
           expression_tree_walker(node, walker_of(temporary_walker), context);
}

} // namespace

const char *search_path_now() { return namespace_search_path; }

static std::optional<std::string> configured_path(Oid role) {
    return scalar<std::string>(
        "SELECT pg_catalog.substr(c, 13) FROM pg_catalog.pg_db_role_setting AS s, pg_catalog.unnest(s.setconfig) AS c"
        " WHERE s.setrole OPERATOR(pg_catalog.=) ANY (ARRAY[$1::pg_catalog.oid, 0::pg_catalog.oid])"
        " AND s.setdatabase OPERATOR(pg_catalog.=) ANY (ARRAY[$2::pg_catalog.oid, 0::pg_catalog.oid])"
        " AND pg_catalog.starts_with(c, 'search_path=')"
        " ORDER BY s.setrole OPERATOR(pg_catalog.=) 0::pg_catalog.oid,"
        " s.setdatabase OPERATOR(pg_catalog.=) 0::pg_catalog.oid LIMIT 1",
        {role, MyDatabaseId});
}

std::string search_path_of(Oid role) {
    if (auto own = configured_path(role))
        return std::move(*own);
    // What this session falls back to is the server's value, unless a nearer one hides that.
    if (configured_path(GetSessionUserId()))
        return usual_path;
    const char *server = call([] { return GetConfigOptionResetString("search_path"); });
    return server != nullptr ? server : usual_path;
}

std::string temporary_last(const std::string &path) {
    const char *text = path.c_str();
    return call([&]() -> const char * {
        List *names = NIL;
        if (!SplitIdentifierString(pstrdup(text), ',', &names))
            return "\"$user\", public, pg_temp";
        StringInfoData out;
        initStringInfo(&out);
        ListCell *cell;
        foreach (cell, names) {
            const char *name = static_cast<const char *>(lfirst(cell));
            if (strcmp(name, "pg_temp") != 0)
                appendStringInfo(&out, "%s, ", ::quote_identifier(name));
        }
        appendStringInfoString(&out, "pg_temp");
        return out.data;
    });
}

bool uses_temporary(const Query *query) {
    return call([&] { return temporary_walker(const_cast<Node *>(reinterpret_cast<const Node *>(query)), nullptr); });
}

} // namespace dbopt::pg
