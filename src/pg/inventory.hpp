// All relations of the database with their statistics and sizes, in one pass over the catalogs, for
// checks, snapshots and reports that would otherwise ask for each of them several times.
//
// No relation of a user is opened and no lock on one is taken. Each folder of the database is read
// once: all segments, all forks, all tablespaces. A relation that is created, rewritten or dropped
// meanwhile may be missing or counted with its old file; a monitoring figure can live with that.
#pragma once
#include "pg/error.hpp"
#include <memory>
#include <vector>

extern "C" {
#include "access/transam.h"
}

namespace dbopt::pg {

struct relation_counters {
    int64_t live = 0, dead = 0, modified = 0; // rows, as the statistics estimate them
    int64_t scans = 0, rows_read = 0;
    int64_t inserted = 0, updated = 0, deleted = 0;
    int64_t blocks_fetched = 0, blocks_hit = 0;
};

struct stored_relation {
    Oid oid = InvalidOid;
    Oid owner_table = InvalidOid; // itself; of an index or a toast table its table
    Oid schema = InvalidOid;
    Oid tablespace = InvalidOid;
    uint32_t file = 0;            // 0: no storage
    char kind = 0;                // RELKIND_…
    char persistence = 0;
    bool is_partition = false;
    bool autovacuum = true;       // false: switched off for this table
    int32_t pages = 0;            // relpages
    double tuples = -1;           // reltuples; -1: never analysed
    int64_t frozen_age = -1;      // transactions; -1: none
    relation_counters counters = {};
    int64_t main = 0;             // bytes of all segments of the main fork
    int64_t other = 0;            // free space map, visibility map, init fork
    int64_t bytes() const { return main + other; }
    bool of_users() const { return oid >= FirstNormalObjectId; }
};

struct stored_index {
    Oid oid = InvalidOid;
    Oid table = InvalidOid;
    bool unique = false, primary = false, exclusion = false, valid = true;
    bool partial = false;
    std::vector<int16_t> keys = {}; // columns, with those of INCLUDE; 0: an expression
    std::string signature = {};     // equal for indexes that do the same
};

struct stored_constraint {
    Oid table = InvalidOid;
    bool foreign_key = false, validated = true;
    std::vector<int16_t> keys = {};
};

class inventory {
  public:
    inventory(); // reads pg_class and the statistics
    const std::vector<stored_relation> &relations() const { return relations_; }
    // Read when they are first asked for:
    const std::vector<stored_relation> &sizes() const; // relations(), with main and other
    int64_t database_bytes() const;                    // all files in the database's folders
    const std::vector<stored_index> &indexes() const;  // of users' tables
    const std::vector<stored_constraint> &constraints() const; // foreign keys and not validated ones

  private:
    void read_files() const;
    mutable std::vector<stored_relation> relations_;
    mutable std::vector<stored_index> indexes_;
    mutable std::vector<stored_constraint> constraints_;
    mutable int64_t database_bytes_ = -1;
    mutable bool indexes_read_ = false, constraints_read_ = false;
};

// While one of these is open, current_inventory() is read once and shared, by the SQL functions
// that are called meanwhile, too. Nested ones share with the outermost.
class inventory_scope {
  public:
    inventory_scope();
    ~inventory_scope();
    inventory_scope(const inventory_scope &) = delete;
    inventory_scope &operator=(const inventory_scope &) = delete;

  private:
    friend std::shared_ptr<const inventory> current_inventory();
    std::shared_ptr<const inventory> shared_;
    bool outermost_;
};
// Keep the pointer while you look: without a scope it is the only owner.
[[nodiscard]] std::shared_ptr<const inventory> current_inventory();

} // namespace dbopt::pg
