// Inside the partition room: what partition_manage refuses.
#pragma once
#include "partition/sets.hpp"
#include "pg/relation.hpp"

namespace dbopt::partition {

[[noreturn]] void refuse(int code, std::string message, std::string detail, std::string hint);

// Each raises, naming value, reason and what to do; nothing has been stored by then.
void check_table(const pg::partitioned_table &t, const pg::relation_info &r);
void check_template(const manage_options &o, const pg::partitioned_table &t);
void check_bounds(const pg::partitioned_table &t);
void check_start(const open_set &s);
void check_schema(const pg::partitioned_table &t, const set_config &s);

} // namespace dbopt::partition
