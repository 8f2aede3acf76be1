// Sizes of whole tables: with indexes and toast.
#pragma once
#include "monitor/monitor.hpp"
#include "pg/inventory.hpp"

namespace dbopt::monitor {

struct table_size {
    const pg::stored_relation *table = nullptr; // lives as long as the inventory
    int64_t indexes = 0;                        // bytes, those of the toast table's index not included
    int64_t toast = 0;                          // bytes, with its index
    int64_t total() const { return table->bytes() + indexes + toast; }
};
// Users' tables and materialized views, largest first.
std::vector<table_size> table_sizes(const pg::inventory &all);

} // namespace dbopt::monitor
