// Inside the partition room: stored sets, keys and literals, the plan of one set.
#pragma once
#include "partition/partition.hpp"
#include "pg/security.hpp"
#include "pg/zone.hpp"

namespace dbopt::partition {

struct settings {
    int lock_timeout_ms = 50;
    int lock_wait_s = 30;
    int copy_helpers = 2;
    char *crash_point = nullptr; // for tests
};
extern settings config;
// Dies at once, as by kill -9, when dbopt.debug_crash_point names this place.
void crash_point(const std::string &place);

// The role that owns dbopt's tables: the caller need not have rights on them.
Oid extension_owner();
std::vector<set_config> load_sets(Oid parent = InvalidOid);
void store_set(const set_config &s);
void note_round(const set_config &s, bool success, const std::string &problem,
                std::optional<int64_t> now);

const char *unit_name(core::key_unit u);
core::key_unit unit_of(std::string_view name);
const char *mode_name(retirement m);

// A set with everything that plans and DDL need.
struct open_set {
    const set_config &config;
    pg::partitioned_table &table;
    pg::server_zone zone;
    core::calendar calendar;
    core::position now = 0;
    open_set(const set_config &s, pg::partitioned_table &t);
    // A bound as PostgreSQL reads it, quoted; MINVALUE and MAXVALUE for the infinite.
    std::string literal(core::position p) const;
    std::string text(core::position p) const; // unquoted, for people
    // FROM (…) TO (…), with MINVALUE for further key columns.
    std::string bound_clause(const core::bounds &b) const;
    std::string neighbours_bound(core::position p, bool lower) const;
    std::string parent_name() const { return pg::qualified_name(table.relation); }
};

// The least or greatest key that a table holds under a condition, as a subquery: uuid has no min().
std::string extreme_key(const std::string &table, const std::string &quoted_column, bool greatest, const std::string &where = "true");
// A condition that leaves infinite times out, for types that have them.
std::string finite_only(const std::string &quoted_column, Oid type);
// The clock in the key's unit, or the highest id that is stored.
core::position current_position(const open_set &s);
core::partition_rules rules_of(const open_set &s);

// '1 month', '15 minutes' or '10000' as a step; `what` names the argument in errors (manage.cpp).
core::step_size parse_step(const std::string &given, const char *what, bool one_part);
// How the key counts; refuses types and steps that do not fit, naming them.
core::key_unit key_unit_of(const pg::partitioned_table &t, const core::step_size &step,
                           const std::string &encoding, const std::string &step_text);

// ---- what a new partition is made of (create.cpp) ----
struct recipe {
    std::vector<std::string> before_attach, after_attach;
    std::vector<std::string> own_indexes; // those of before_attach that make indexes the parent has not
    std::string name; // qualified
    std::string note; // a name clash that was worked around
};
recipe make_recipe(const open_set &s, const core::bounds *range); // nullptr: the default partition
std::string free_name(Oid schema, const std::string &base, const std::string &suffix,
                      std::string &note);

std::string join(const std::vector<std::string> &parts, const char *between = "; ");

} // namespace dbopt::partition
