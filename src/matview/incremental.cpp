#include "matview/incremental.hpp"
#include "pg/query.hpp"

namespace dbopt::matview {

static int own_refreshes = 0;
own_refresh::own_refresh() { ++own_refreshes; }
own_refresh::~own_refresh() { --own_refreshes; }
bool own_refresh::active() { return own_refreshes > 0; }

increment::increment(Oid matview, bool, const stored_state &state) : matview_(matview), state_(state) {}
increment::~increment() = default;
std::optional<std::string> increment::prepare(pg::frozen &, const std::string &, Oid) { return std::nullopt; }
std::optional<int64_t> increment::run(pg::frozen &, std::string &) { return std::nullopt; }
std::optional<int64_t> increment::rebuild(pg::frozen &, const std::string &) { return std::nullopt; }

std::optional<std::string> unstable_function(Oid) { return std::nullopt; }

std::vector<std::string> key_columns(Oid) { return {}; }
void arrange_capture(Oid, const std::string &, std::vector<manage_row> &) {}
void forget_capture(Oid) {}
void explain_incremental(Oid, const std::string &, std::vector<finding> &out) {
    out.push_back({"incremental", "no", "not implemented for this query", std::nullopt});
}
void tidy() {
    pg::execute("DELETE FROM dbopt._matview_refresh WHERE started < now() - make_interval(days => $1::int)",
                {config.history_days});
    pg::execute("DELETE FROM dbopt.matview_config g WHERE NOT EXISTS "
                "(SELECT FROM pg_catalog.pg_class c WHERE c.oid = g.matview)");
    pg::execute("DELETE FROM dbopt._matview_state s WHERE NOT EXISTS "
                "(SELECT FROM pg_catalog.pg_class c WHERE c.oid = s.matview)");
}

std::optional<int64_t> pending(Oid) { return std::nullopt; }

} // namespace dbopt::matview
