#include "advisor/advisor.hpp"
#include "capture/capture.hpp"
#include "pg/security.hpp"
#include <algorithm>

namespace dbopt::advisor {

std::vector<weighted_query> observed_workload() {
    std::vector<weighted_query> out;
    if (!capture::available()) {
        pg::notice("no workload is observed, so there is nothing to advise on",
                   "dbopt is not in shared_preload_libraries.",
                   "Add it and restart the server, or pass the queries as an array.");
        return out;
    }
    const Oid caller = pg::caller();
    const bool reads_all = pg::has_privileges_of(caller, "pg_read_all_stats");
    for (const capture::statement &s : capture::statements(pg::this_database())) {
        if (s.utility || s.text.empty() || (!reads_all && !pg::has_privileges_of(caller, s.role)))
            continue;
        weighted_query q{.text = s.text,
                         .weight = static_cast<double>(s.calls),
                         .query_id = s.query_id,
                         .role = s.role == caller ? Oid{InvalidOid} : s.role,
                         .parameters = {},
                         .rows = static_cast<double>(s.rows)};
        if (s.samples > 0) {
            const auto sets = capture::samples(s.key);
            if (!sets.empty())
                for (const capture::parameter &p : sets.back())
                    q.parameters.push_back({p.type, p.text});
            for (size_t i = 0; sets.size() > 1 && i < q.parameters.size(); ++i) {
                const bool same = std::all_of(sets.begin(), sets.end(), [&](const auto &set) {
                    return i < set.size() && set[i].text == q.parameters[i].text;
                });
                if (q.parameters[i].text)
                    (same ? q.steady : q.passing).push_back(*q.parameters[i].text);
            }
        }
        out.push_back(std::move(q));
    }
    if (out.empty())
        pg::notice("no statement has been observed since " + pg::to_text(capture::since()), "",
                   "Let the application run for a while, or pass the queries as an array.");
    return out;
}

} // namespace dbopt::advisor
