// The incremental part of a refresh, as refresh.cpp sees it.
#pragma once
#include "matview/registry.hpp"
#include "pg/frozen.hpp"

namespace dbopt::matview {

class increment {
  public:
    // `wanted`: the configuration allows incremental refreshes.
    increment(Oid matview, bool wanted, const stored_state &state);
    ~increment();
    // Changes of every base relation are captured and the query has a delta form.
    bool captured() const { return captured_; }
    // Why not, for people.
    const std::string &refusal() const { return refusal_; }
    // Reads the log. Returns what stands against an incremental refresh this time.
    std::optional<std::string> prepare(pg::frozen &now, const std::string &fingerprint, Oid file);
    int64_t changes() const { return changes_; }
    // Rows written; nothing (and why) when a full refresh has to do it, with everything undone.
    std::optional<int64_t> run(pg::frozen &now, std::string &why);
    // After a full refresh under the same snapshot: counting states anew. Returns their epoch.
    std::optional<int64_t> rebuild(pg::frozen &now, const std::string &fingerprint);

  private:
    Oid matview_;
    const stored_state &state_;
    bool captured_ = false;
    std::string refusal_;
    int64_t changes_ = 0;
};

// The first volatile or time-dependent function in the query of a matview, if there is one.
std::optional<std::string> unstable_function(Oid matview);

// Output columns that identify a row, as far as the query shows it (GROUP BY, DISTINCT).
std::vector<std::string> key_columns(Oid matview);

// Triggers and logs for a matview that is managed in this mode; what happened goes to `out`.
void arrange_capture(Oid matview, const std::string &mode, std::vector<manage_row> &out);
void forget_capture(Oid matview);
void explain_incremental(Oid matview, const std::string &mode, std::vector<finding> &out);
// Prunes logs and history, drops what belongs to matviews that are gone.
void tidy();

// While it lives, this session's own REFRESH is not taken for somebody else's.
class own_refresh {
  public:
    own_refresh();
    ~own_refresh();
    static bool active();
};

} // namespace dbopt::matview
