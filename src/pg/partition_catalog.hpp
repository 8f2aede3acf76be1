// Partitioned tables as the catalogs show them: one pass over pg_inherits and pg_class for any
// number of sets, with the bounds read straight from relpartbound (deparsing them costs 7 times more).
#pragma once
#include "core/partition_plan.hpp"
#include "pg/error.hpp"

namespace dbopt::pg {

struct partition_entry {
    Oid relation = InvalidOid;
    Oid schema = InvalidOid;
    Oid owner = InvalidOid;
    std::string name;
    char kind = 'r';         // relkind: r table, p partitioned itself, f foreign
    bool is_default = false;
    bool pending = false;    // inhdetachpending
    bool readable = true;    // the bound was understood
    float rows = -1;
    int pages = 0;
    core::bounds range{core::minus_infinity, core::infinity};
    // The bound lies behind its position and before the next: a fraction, or further columns.
    bool fine_lower = false, fine_upper = false;
};

struct partitioned_table {
    Oid relation = InvalidOid;
    Oid schema = InvalidOid;
    Oid owner = InvalidOid;
    std::string name;
    char strategy = 0;       // r, l, h; 0: not a partitioned table
    int key_columns = 0;
    int16_t attribute = 0;   // of the first key column; 0: an expression
    Oid key_type = InvalidOid;
    std::string key_column;  // empty for an expression
    std::string key_text;    // the column, quoted, or the expression in parentheses; empty if it cannot be told
    bool has_default = false;
    std::vector<partition_entry> partitions; // children, without the default
    partition_entry default_partition;
};

// The partitioned table itself; relation = InvalidOid when it does not exist any more.
partitioned_table describe_partitioned(Oid relation);
// The same for many, with their children. `units[i]` is how keys of relations[i] are read.
std::vector<partitioned_table> read_partitions(const std::vector<Oid> &relations,
                                               const std::vector<core::key_unit> &units);

// A bound or a key value as a position; date ±infinity and the like are ±infinity.
core::position key_position(Datum d, Oid type, core::key_unit unit);

// 'FOR VALUES' bounds of relpartbound's text; false when it is not of a kind that is known.
bool parse_range_bound(const char *text, Oid type, core::key_unit unit, partition_entry &entry);

// True when the argument was written by the caller, false when the declared default was taken.
// (Defaults arrive as constants without a place in the query's text.)
bool given(FunctionCallInfo info, int argument);

} // namespace dbopt::pg
