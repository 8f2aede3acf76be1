// Tasks that a caller asks for by name. What cannot be done to a relation is a task, too: it is skipped, with the reason.
#include "maintenance/measured.hpp"
#include "pg/relation.hpp"
#include <set>

namespace dbopt::maintenance {

namespace {

// Why an action is not for this kind of relation; empty when it is.
std::string unfit(const pg::relation_info &r, const std::string &action) {
    const bool table = r.kind == RELKIND_RELATION || r.kind == RELKIND_MATVIEW || r.kind == RELKIND_PARTITIONED_TABLE;
    const bool index = r.kind == RELKIND_INDEX || r.kind == RELKIND_PARTITIONED_INDEX;
    if (r.persistence == RELPERSISTENCE_TEMP)
        return "is temporary: the workers of maintenance_run cannot reach it; do it by hand";
    if (action == "reindex" ? table || index || r.kind == RELKIND_TOASTVALUE
                            : table || (action == "vacuum" && r.kind == RELKIND_TOASTVALUE) ||
                                  (action == "analyze" && r.kind == RELKIND_FOREIGN_TABLE))
        return "";
    const std::string kind = pg::kind_name(r.kind);
    const bool vowel = std::string("aeiou").find(kind[0]) != std::string::npos;
    return std::string("is ") + (vowel ? "an " : "a ") + kind + ", which " + action + " is not for" +
           (index ? ": name its table" : "");
}

std::string command_for(const pg::relation_info &r, const std::string &action) {
    if (action == "reindex")
        return "REINDEX " + std::string(r.kind == RELKIND_INDEX ? "INDEX" : "TABLE") + " CONCURRENTLY " + r.qualified();
    return (action == "vacuum" ? "VACUUM (SKIP_LOCKED) " : "ANALYZE (SKIP_LOCKED) ") + r.qualified();
}

void add_rebuilds(const pg::relation_info &r, task t, std::vector<task> &tasks) {
    const size_t before = tasks.size();
    add_reindexes(tasks, {r.oid}, false, INT_MAX);
    if (tasks.size() > before)
        return;
    t.blocker = "has no index that could be rebuilt (invalid ones are dropped and created again)";
    tasks.push_back(std::move(t));
}

} // namespace

std::vector<task> chosen(const std::vector<std::string> &actions, const std::vector<Oid> &relations) {
    std::vector<task> tasks, rebuilds;
    std::set<Oid> seen;
    for (const Oid relation : relations) {
        if (!seen.insert(relation).second)
            continue;
        const pg::relation_info info = pg::get_relation(relation);
        for (const char *action : {"vacuum", "analyze", "reindex"}) { // an ANALYZE after the VACUUM
            if (std::find(actions.begin(), actions.end(), action) == actions.end())
                continue;
            task t{.relation = relation, .action = action, .command = command_for(info, action),
                   .reason = "asked for", .blocker = unfit(info, action)};
            if (t.blocker.empty() && t.action == "reindex") {
                add_rebuilds(info, std::move(t), rebuilds);
                continue;
            }
            if (t.blocker.empty() && t.action == "vacuum" && info.kind != RELKIND_PARTITIONED_TABLE)
                (void)confirm_dead(t);
            tasks.push_back(std::move(t));
        }
    }
    std::set<Oid> rebuilt; // a table and its index may both be named
    for (task &t : rebuilds)
        if (t.action != "reindex" || rebuilt.insert(t.relation).second)
            tasks.push_back(std::move(t));
    return tasks;
}

} // namespace dbopt::maintenance
