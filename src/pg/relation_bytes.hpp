// The bytes of one relation from its files, without opening it: no lock is taken, none waited for.
// For many relations at once pg/inventory.hpp is cheaper.
#pragma once
#include "pg/error.hpp"
#include <optional>

namespace dbopt::pg {

enum class extent {
    main,  // the main fork, as pg_relation_size counts
    whole, // all forks, its indexes and its TOAST table, as pg_total_relation_size counts
};

// Nothing when the relation is gone; 0 for one without storage. All segments are counted. A relation
// that is rewritten meanwhile may be counted with its old file.
std::optional<int64_t> relation_bytes(Oid relation, extent what = extent::main);

} // namespace dbopt::pg
