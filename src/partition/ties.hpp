// Inside the partition room: what is bound to a table by OID, so that a swap of names passes it by.
//
// All of pg_depend that points to the table or to its row type is looked at. What has no way of its own
// to the new table comes out as `other`: a kind of object nobody thought of is an obstacle, never a
// surprise after the swap.
#pragma once
#include "partition/conversion.hpp"

namespace dbopt::partition {

enum class tie_kind {
    view, matview, rule, policy, function, // made anew over the new table, in the swap
    row_function, row_column, row_other,   // use the row type: they stay with the old table
    view_column, other                     // stand in the way
};

struct tie {
    tie_kind kind;
    std::string what, name; // "view", and its name as regclass or regprocedure prints it
    bool takes;             // row_function: the type is among its arguments
    Oid object, owner;      // of a rule or policy: its own OID; the owner of its relation
    std::string command;    // makes it anew; of a materialized view: its query. Empty without `commands`.
    bool moves() const { return kind <= tie_kind::function; }
};

// `commands`: with the texts, every name in them qualified as the current search_path asks for.
std::vector<tie> ties_of(Oid table, bool commands);

// Over the new table, each as its owner. Raises when one was exchanged for another meanwhile.
void bind_anew(const std::vector<tie> &ties);

// Functions with the row type among their arguments, a second time for the new table's rows.
void repeat_row_functions(const std::vector<tie> &ties);

} // namespace dbopt::partition
