#include "monitor/sizes.hpp"
#include <algorithm>
#include <unordered_map>

namespace dbopt::monitor {

std::vector<table_size> table_sizes(const pg::inventory &all) {
    const auto &relations = all.sizes();
    std::vector<table_size> out;
    std::unordered_map<Oid, size_t> place;
    for (const pg::stored_relation &r : relations)
        if (r.of_users() && (r.kind == RELKIND_RELATION || r.kind == RELKIND_MATVIEW)) {
            place.emplace(r.oid, out.size());
            out.push_back({.table = &r});
        }
    for (const pg::stored_relation &r : relations) {
        const bool toast = r.schema == PG_TOAST_NAMESPACE; // with its index
        if (!toast && r.kind != RELKIND_INDEX)
            continue;
        if (const auto at = place.find(r.owner_table); at != place.end())
            (toast ? out[at->second].toast : out[at->second].indexes) += r.bytes();
    }
    std::sort(out.begin(), out.end(), [](const table_size &a, const table_size &b) { return a.total() > b.total(); });
    return out;
}

} // namespace dbopt::monitor
