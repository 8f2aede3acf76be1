// Background work that waits for a person because it would destroy data (core/hold.hpp says when). A
// hold shows in dbopt.holds, dbopt.status() and as the alert held_actions; a call that names the object
// carries the work out.
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

// Stores or refreshes it; said once in the server log. Held work is asked for again in every round: a
// hold that nobody has asked for during an hour is over.
void note_hold(std::string_view area, std::string_view object, std::string_view action, std::string_view reason);
void release_hold(std::string_view area, std::string_view object);

} // namespace dbopt::pg
