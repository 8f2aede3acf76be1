#include "advisor/advisor.hpp"
#include "capture/capture.hpp"
#include "pg/search_path.hpp"
#include "pg/security.hpp"
#include <algorithm>
#include <map>

namespace dbopt::advisor {

// Utility statements around a query that indexes could serve. What ran is that query.
static bool carries_query(const std::string &text) {
    for (const std::string_view word : {"declare", "copy", "create"})
        if (text.size() > word.size() && std::equal(word.begin(), word.end(), text.begin(), [](char a, char b) {
                return a == (b >= 'A' && b <= 'Z' ? b + ('a' - 'A') : b);
            }))
            return true;
    return false;
}

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
    std::map<Oid, std::string> configured; // for statements that another collector has seen
    int64_t without_text = 0;
    for (const capture::statement &s : capture::statements(pg::this_database())) {
        if ((s.utility && !s.text.empty() && !carries_query(s.text)) ||
            (!reads_all && !pg::has_privileges_of(caller, s.role)))
            continue;
        if (s.text.empty()) {
            without_text += s.utility ? 0 : 1;
            continue;
        }
        std::string path = s.path;
        if (path.empty()) {
            const auto [of_role, unknown] = configured.try_emplace(s.role);
            if (unknown)
                of_role->second = pg::search_path_of(s.role);
            path = of_role->second;
        }
        weighted_query q{.text = s.text,
                         .weight = static_cast<double>(s.calls),
                         .query_id = s.query_id,
                         .role = s.role,
                         .path = pg::temporary_last(path),
                         .utility = s.utility,
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
    if (without_text > 0)
        pg::notice(std::to_string(without_text) + " observed statements have no text and do not count",
                   "The file of texts is full, or a text is longer than 64 kB.", "Raise dbopt.capture_text_size.");
    if (out.empty())
        pg::notice("no statement has been observed since " + pg::to_text(capture::since()), "",
                   "Let the application run for a while, or pass the queries as an array.");
    return out;
}

} // namespace dbopt::advisor
