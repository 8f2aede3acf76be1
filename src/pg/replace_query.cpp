#include "pg/replace_query.hpp"
#include "pg/compat.hpp"

extern "C" {
#include "access/xact.h"
#include "commands/view.h"
#include "parser/parser.h"
#include "tcop/tcopprot.h"
#include "utils/lsyscache.h"
}

namespace dbopt::pg {

void replace_query(Oid materialized_view, const std::string &select) {
    const char *text = select.c_str();
    call([&] {
        if (get_rel_relkind(materialized_view) != RELKIND_MATVIEW)
            ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("relation %u is not a materialized view", materialized_view)));
        List *statements = raw_parser(text, RAW_PARSE_DEFAULT);
        if (list_length(statements) != 1)
            ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("the query of a materialized view is one statement")));
        PushActiveSnapshot(GetTransactionSnapshot());
        Query *query = parse_analyze_fixedparams(linitial_node(RawStmt, statements), text, nullptr, 0, nullptr);
        PopActiveSnapshot();
        if (query->commandType != CMD_SELECT || query->utilityStmt != nullptr)
            ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("the query of a materialized view is a SELECT")));
        StoreViewQuery(materialized_view, query, true);
        CommandCounterIncrement();
    });
}

} // namespace dbopt::pg
