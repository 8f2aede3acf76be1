// The incremental part of a refresh, as refresh.cpp sees it.
#pragma once
#include "core/view_form.hpp"
#include "matview/knowledge.hpp"
#include "pg/frozen.hpp"

namespace dbopt::matview {

class increment {
  public:
    // `wanted`: the configuration allows incremental refreshes.
    increment(Oid matview, bool wanted, const stored_state &state, std::shared_ptr<const knowledge> known);
    ~increment();
    // Changes of every base relation are captured and the query has a delta form.
    bool captured() const { return captured_; }
    // Why not, for people.
    const std::string &refusal() const { return refusal_; }
    // A base that a statement around this call is writing: its changes are in the base, perhaps not in the log.
    std::optional<std::string> under_way() const;
    // Reads the log. Returns what stands against an incremental refresh this time.
    std::optional<std::string> prepare(pg::frozen &now, Oid file);
    int64_t changes() const { return changes_; }
    const std::vector<unsigned> &bases() const { return known_->bases; }
    // Rows written; nothing (and why) when a full refresh has to do it, with everything undone.
    std::optional<int64_t> run(pg::frozen &now, std::string &why);
    // Compares a sample of the matview with its query. Returns what is wrong.
    std::optional<std::string> check_sample(pg::frozen &now);
    // After a full refresh under the same snapshot: counting states anew. Returns their epoch.
    std::optional<int64_t> rebuild(pg::frozen &now);

  private:
    struct stores {
        Oid groups = InvalidOid;
        std::vector<Oid> multisets; // parallel to the arguments; InvalidOid where none is kept
        std::vector<Oid> packed;    // instead of both: groups, then values by family
    };
    void drop_stores();
    void create_stores();
    void load_stores();
    void index_stores();
    void core_changes(pg::frozen &now);
    void build_packed(pg::frozen &now);
    void build_tables(pg::frozen &now);
    void count_packed(pg::frozen &now);
    void count_multisets(pg::frozen &now);
    void count_groups(pg::frozen &now);
    pg::change_counts write_groups(pg::frozen &now);
    pg::change_counts write_recomputed(pg::frozen &now);
    pg::change_counts write_bag(pg::frozen &now);
    std::vector<bool> nulls(const pg::frozen &now, const std::string &store, int first) const;
    std::string key_list(const std::string &prefix) const;
    std::string key_match(const std::string &a, const std::string &b, const std::vector<bool> &null) const;
    std::string matview_match(const std::string &g, const std::vector<bool> &null) const;
    std::string resolved(const std::string &result, const std::vector<bool> &null) const;
    void expect_none(pg::frozen &now, const std::string &sql, const char *what) const;

    Oid matview_;
    Oid owner_ = InvalidOid;
    std::string name_;
    const stored_state &state_;
    bool captured_ = false;
    std::string refusal_;
    std::shared_ptr<const knowledge> known_;
    const core::view_form *form_ = nullptr;
    stores stores_;
    std::vector<unsigned> changed_;
    int64_t changes_ = 0;
};

// The first volatile or time-dependent function in the query of a matview, if there is one.
std::optional<std::string> unstable_function(Oid matview);
// Output columns that identify a row, as far as the query shows it (GROUP BY, DISTINCT).
std::vector<std::string> key_columns(Oid matview);

// Partitions that a command has just made or attached are captured at once, if they are empty.
void take_in_partitions();
// The fingerprint without partitions that came since the last refresh and were captured from birth; empty
// when there are none.
std::string fingerprint_without_newcomers(Oid matview, const knowledge &k, const stored_state &s);
// A partition that was captured from birth since the last refresh is none any more: the log has rows that are nowhere.
bool came_and_went(Oid matview, const knowledge &k, const stored_state &s);

// Why changes of a relation cannot be captured for a matview of this owner.
std::optional<std::string> unfit(Oid base, Oid owner);

// Every trigger and the log of a base are in place and at work.
bool is_captured(Oid base);
bool capture_complete(Oid matview);
// SQL condition on the rows of a log: those that the last refresh has not seen.
std::string unseen(const stored_state &s);
// Triggers and logs for a matview that is managed in this mode; what happened goes to `out`.
void arrange_capture(Oid matview, const std::string &mode, std::vector<manage_row> &out);
void forget_capture(Oid matview);
void explain_incremental(Oid matview, const std::string &mode, std::vector<finding> &out);
// Changes that no matview waits for any more.
void prune_logs(const std::vector<unsigned> &bases);
std::string log_name(Oid base);
// States, uses and the mark of life of a matview go; relations that nobody reads are not captured any more.
void drop_states(Oid matview);
void release_unused();
// Prunes logs and history, drops what belongs to matviews that are gone.
void tidy();

// Somebody's REFRESH MATERIALIZED VIEW: recorded, and the next refresh starts afresh.
void noticed_refresh(Oid matview, bool concurrent);

// While it lives, this session's own REFRESH is not taken for somebody else's.
class own_refresh {
  public:
    own_refresh();
    ~own_refresh();
    static bool active();
};

} // namespace dbopt::matview
