// Which partitions a query reads, and when the others were left out.
#include "partition/partition.hpp"
#include "pg/pruning.hpp"
#include "pg/caller_query.hpp"
#include <algorithm>

namespace dbopt::partition {

std::vector<pruned> pruning(const std::string &query) {
    const pg::planned_relations plan = pg::plan_relations(query);
    std::vector<int64_t> relations(plan.relations.begin(), plan.relations.end());
    // EXPLAIN starts the executor without running it: what now() and other stable values exclude is
    // gone from its output.
    const std::string explained = pg::query_of_caller("EXPLAIN (VERBOSE, FORMAT JSON) " + query)[0].get<std::string>(0);
    std::vector<pruned> found;
    const pg::result rows = pg::query(
        "WITH planned AS (SELECT DISTINCT r.oid, pg_catalog.pg_partition_root(r.oid::oid::regclass) AS root FROM unnest($1::int8[]) r(oid)), "
        "shown AS (SELECT DISTINCT format('%I.%I', n ->> 'Schema', n ->> 'Relation Name')::regclass AS rel "
        "FROM jsonb_path_query($2::jsonb, 'strict $.**') n WHERE jsonb_typeof(n) = 'object' AND n ? 'Relation Name' AND n ? 'Schema') "
        "SELECT root::oid, (SELECT count(*) FROM pg_partition_tree(root) WHERE isleaf), "
        "count(*) FILTER (WHERE c.relkind <> 'p'), count(*) FILTER (WHERE c.relkind <> 'p' AND p.oid::oid IN (SELECT rel::oid FROM shown)) "
        "FROM planned p JOIN pg_class c ON c.oid = p.oid::oid WHERE root IS NOT NULL GROUP BY root ORDER BY root::oid::regclass::text",
        {relations, explained});
    for (const pg::row r : rows) {
        const int64_t all = r.get<int64_t>(1), planned = r.get<int64_t>(2), left = r.get<int64_t>(3);
        std::string at = planned < all ? "plan" : "never";
        if (left < planned || (plan.prunes_later && rows.size() == 1 && planned == left && left > 1))
            at = "execution";
        found.push_back({r.get<Oid>(0), all, std::min(left, planned), at});
    }
    return found;
}

} // namespace dbopt::partition
