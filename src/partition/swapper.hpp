// Inside the partition room: what a swap moves from the old table to the new one.
#pragma once
#include "partition/conversion.hpp"
#include "partition/ties.hpp"
#include "pg/relation.hpp"

namespace dbopt::partition {

struct comment {
    std::string what, name, text; // TRIGGER, POLICY, RULE, CONSTRAINT; not quoted
};

struct swapper {
    work &w;
    pg::relation_info old_table, new_table;
    std::string old_name;                            // after the swap, unqualified
    std::string away = "_old";                       // suffix of what gives its name to the new table
    std::vector<std::string> later{}, privileged{};  // commands for the new table, by its final name
    std::vector<tie> ties{};                         // made anew over the new table, as their owners
    std::vector<std::string> triggers{}, rules{};    // names, quoted
    std::vector<comment> comments{};
    std::string final_name() const { return old_table.qualified(); }
    std::string old_qualified() const {
        return pg::quote_identifier(old_table.schema) + "." + pg::quote_identifier(old_name);
    }
    void collect();
    void collect_comments();
    void incoming_keys();
    void rename();
    void sequences(bool drop_old_identity);
    void statistics() const;
    void take_over() const;               // triggers, policies, rules, comments, statistics objects
    void run_privileged() const;
    void finish(const std::string &note); // of a conversion: what is left, then managed
    void apply_comments() const;
};

// Marks a constraint of these tables as checked, because it is known to hold.
void trust_constraint(Oid under, const std::string &quoted_name, char type);

} // namespace dbopt::partition
