// Inside the matview room: managed matviews in the order in which they are refreshed.
#pragma once
#include "matview/matview.hpp"
#include <map>
#include <set>

namespace dbopt::matview {

struct node {
    Oid matview;
    std::set<Oid> parents; // managed matviews it reads, directly or through others
    std::string mode;
    // In the database worker's rounds: since when it is due, when it was last tried, and whether in vain.
    int64_t due_us = 0, tried_us = 0;
    bool failed = false;
};

// Parents before children. Matviews cannot depend on each other in a circle.
std::vector<node> ordered();
// The row of a matview one of whose parents was not refreshed.
std::optional<outcome> blocked_by_parent(const node &n, const std::map<Oid, std::string> &failed);
inline bool freshened(const outcome &o) { return o.status == "done" || o.mode == "skip"; }

} // namespace dbopt::matview
