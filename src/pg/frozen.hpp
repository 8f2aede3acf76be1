// Several statements over one snapshot, with intermediate results as named relations.
//
//   pg::frozen now;                                       // fresh snapshot; take locks before
//   now.select("d1", "SELECT … FROM log …");              // kept as relation d1
//   now.select("g", "SELECT k, sum(w) FROM d1 GROUP BY k");
//   pg::change_counts c = now.apply(matview, "g");        // rows through the table access method
//
// Everything reads the snapshot the session was born with, plus what the session itself wrote: what
// others commit meanwhile stays unseen. The relations are tuplestores (they spill past work_mem); no
// temporary table is needed, so this works as the owner of a view in a restricted context too.
// Idea: src/backend/utils/adt/ri_triggers.c (statements under a given snapshot) and the transition
// tables of src/backend/commands/trigger.c.
#pragma once
#include "pg/value.hpp"
#include <map>

namespace dbopt::pg {

// The server's executor may place pointers to a store in plans: a store lives as long as its session.
struct named_store {
    Tuplestorestate *tuples = nullptr;
    TupleDesc desc = nullptr;
    int64_t rows = 0;
};

struct change_counts {
    int64_t inserted = 0, updated = 0, deleted = 0, unchanged = 0;
    int64_t changed() const { return inserted + updated + deleted; }
};

class frozen {
  public:
    frozen();
    ~frozen();
    frozen(const frozen &) = delete;
    frozen &operator=(const frozen &) = delete;

    // As pg_snapshot prints it, but with the own transaction counted as running: whatever it writes
    // later is not covered by this snapshot.
    std::string text() const;
    // The transaction's own id, if it has one, and the command up to which it sees its own changes.
    std::optional<std::string> own_transaction() const;
    int64_t command() const { return command_; }
    // True when no transaction that may write was running, so that a later look needs no list.
    bool quiet() const;
    // The larger of work_mem and maintenance_work_mem, as a setting: a refresh is maintenance.
    static std::string ample_memory();

    // Runs a SELECT and keeps its rows under `name` (replacing an older store of that name).
    int64_t select(const std::string &name, const std::string &sql);
    // First column of the first row as a number; nothing when there is no row or it is NULL.
    std::optional<int64_t> number(const std::string &sql);
    // Any other command, under the same snapshot: REFRESH sees exactly what select() sees.
    int64_t execute(const std::string &sql);

    int64_t rows(const std::string &name) const;
    bool has(const std::string &name) const { return stores_.contains(name); }
    // True when some row of the store has NULL in one of the first `columns` columns from `first`.
    bool any_null(const std::string &name, int first, int columns) const;

    // Rows: tid or NULL, delete or not, then the columns of the target in order. A row with a tid is
    // updated (untouched when nothing differs) or deleted, one without is inserted. Deletes first.
    // Changes no unique index key in place: such an update becomes delete and insert.
    change_counts apply(Oid target, const std::string &name);
    // An empty relation to be filled from C++; `desc` is copied. Nothing else of that name is left.
    named_store &make(const std::string &name, TupleDesc desc);
    // Hands every row of a SELECT to a receiver of the server's kind.
    void stream(const std::string &sql, DestReceiver *receiver) { run_select(sql, receiver); }
    Snapshot snapshot() const { return snapshot_; }
    // The result of a SELECT straight into an empty table of dbopt's own.
    int64_t load(Oid target, const std::string &sql);
    // Makes what apply() and load() wrote visible to the statements that follow.
    void advance();

  private:
    void run_select(const std::string &sql, DestReceiver *receiver);
    MemoryContext home_;
    Snapshot snapshot_;
    int64_t command_ = 0;
    std::map<std::string, named_store> stores_;
};

} // namespace dbopt::pg
