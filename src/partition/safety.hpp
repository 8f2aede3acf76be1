// What keeps a conversion from going on for ever, leaving something behind, or losing something.
#pragma once
#include "partition/conversion.hpp"
#include <map>

namespace dbopt::partition {

inline constexpr int most_missed_swaps = 20;
// The swap took longer than allowed. The first times it is undone and tried again (55P03); at last
// the call fails, and what was done before the swap is kept.
[[noreturn]] void missed(int &times, int64_t took_ms, int64_t allowed_ms);

// Triggers, function and tables of the capture go when the extension goes: nothing would read the log
// or be there to end the conversion.
void tie_to_extension(Oid source, const work_names &names);
// What a conversion left that dbopt knows nothing of any more, because the extension was dropped and
// made again. True when there was something; it is gone then.
bool remove_leftovers(Oid source);
// A finished conversion whose new table is no partitioned table any more: the way back was taken by hand.
bool undone_by_hand(const work &finished);
// Records of tables that do not exist any more.
void forget_dropped();

// Publications that would send the copy's tables to subscribers, which have no such tables: quoted names.
std::vector<std::string> publications_of_new_tables(Oid schema);

// How values of the identity columns are compared: by the operator of the index, whose schema may not be
// in the search_path. Column (quoted) to operator.
std::map<std::string, std::string> equalities(Oid source);

} // namespace dbopt::partition
