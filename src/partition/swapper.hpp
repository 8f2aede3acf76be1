// Inside the partition room: what a swap moves from the old table to the new one.
#pragma once
#include "partition/conversion.hpp"
#include "pg/relation.hpp"

namespace dbopt::partition {

// A view or a function whose stored body names the old table by OID.
struct dependent {
    std::string command, name; // CREATE OR REPLACE …; the name as regclass or regprocedure prints it
    Oid object, owner;
    bool function;
};

struct swapper {
    work &w;
    pg::relation_info old_table, new_table;
    std::string old_name;                            // after the swap, unqualified
    std::string away = "_old";                       // suffix of what gives its name to the new table
    std::vector<std::string> later{}, privileged{};  // commands for the new table, by its final name
    std::vector<dependent> dependents{};             // made anew over the new table, as their owners
    std::vector<std::string> triggers{};             // names, quoted
    std::string final_name() const { return old_table.qualified(); }
    std::string old_qualified() const {
        return pg::quote_identifier(old_table.schema) + "." + pg::quote_identifier(old_name);
    }
    void collect();
    void collect_views();
    void incoming_keys();
    void rename();
    void sequences(bool drop_old_identity);
    void replace_dependents() const;
    void run_privileged() const;
};

// Marks a constraint of these tables as checked, because it is known to hold.
void trust_constraint(Oid under, const std::string &quoted_name, char type);

} // namespace dbopt::partition
