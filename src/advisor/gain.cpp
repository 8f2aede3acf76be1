#include "advisor/gain.hpp"
#include "advisor/advisor.hpp"
#include "advisor/role_scope.hpp"
#include "pg/query.hpp"

namespace dbopt::advisor {

workload_gain gain_of_index(Oid index) {
    workload_gain out;
    const Oid table = pg::scalar<Oid>("SELECT coalesce((SELECT p.indrelid FROM pg_catalog.pg_inherits AS h"
                                      " JOIN pg_catalog.pg_index AS p ON p.indexrelid = h.inhparent"
                                      " WHERE h.inhrelid = i.indexrelid), i.indrelid)"
                                      " FROM pg_catalog.pg_index AS i WHERE i.indexrelid = $1",
                                      {index})
                          .value_or(InvalidOid);
    pg::whatif::engine engine;
    for (const weighted_query &q : observed_workload()) {
        double with = 0, without = 0;
        bool concerned = false;
        const auto failed = pg::subtransaction([&] {
            const role_scope as(q.role, q.path);
            const int n = engine.add_query(q.text, q.parameters);
            refuse_temporary(engine, n);
            const auto [cost, uses] = engine.inspect(n);
            for (const pg::whatif::relation_use &u : uses)
                concerned = concerned || u.relation == table;
            with = cost;
            if (!concerned)
                return;
            engine.hide(index);
            without = engine.plan(n, {}).cost;
            engine.hide(InvalidOid);
        });
        if (failed || !concerned) {
            engine.hide(InvalidOid);
            continue;
        }
        ++out.statements;
        if (with < without * 0.999)
            out.gaining.push_back(q.query_id);
        out.cost_with += q.weight * with;
        out.cost_without += q.weight * without;
    }
    return out;
}

} // namespace dbopt::advisor
