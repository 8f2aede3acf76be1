// Inside the partition room: the tasks of a round.
#pragma once
#include "partition/sets.hpp"

namespace dbopt::partition {

struct task {
    open_set *set;
    enum kind_t { create, create_default, retire, finalize } kind;
    core::bounds range{};
    Oid relation = InvalidOid;
    outcome row{};
    bool finished = false;
};

// What follows a detach: DROP, or the move to the archive.
std::vector<std::string> after_detach(const set_config &s, const std::string &name);
// Queues DETACH CONCURRENTLY; false where that is not possible.
bool detach_in_worker(task &t);
// Gives t.row.command to a worker, once; without workers the row stays a request.
void queue_drain(task &t);
void finish_retirements(const maintain_options &o, std::vector<outcome> &rows);
void note_outcomes(const open_set &s, const std::vector<outcome> &rows);

} // namespace dbopt::partition
