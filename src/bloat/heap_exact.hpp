// Inside the bloat room: one heap, every page once, by one process or by a team.
#pragma once
#include "bloat/bloat.hpp"
#include "core/packing.hpp"
#include "pg/pages.hpp"

namespace dbopt::bloat {

core::heap_packer packer_for(const pg::heap_reader &reader);
// No intervals: nothing is left to chance. By a team, if there are at least team_from blocks.
heap_result read_all(const pg::open_relation &table, pg::heap_reader &reader, uint32_t blocks,
                     uint32_t team_from = 0);

} // namespace dbopt::bloat
