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

// Partitions that one transaction may make: each keeps its locks to the end, and the table of locks is
// everybody's. What is needed soonest comes first, the rest is left to the next rounds.
void limit_creations(std::vector<task> &tasks);
// What follows a detach: DROP, or the move to the archive.
std::vector<std::string> after_detach(const set_config &s, const std::string &name);
// Queues DETACH CONCURRENTLY; false where that is not possible.
bool detach_in_worker(task &t);
// Gives t.row.command to a worker, once; without workers the row stays a request.
void queue_drain(task &t);
void note_finalized(Oid partition); // a pending detach of ours came to its end
void finish_retirements(const maintain_options &o, std::vector<outcome> &rows);
void note_outcomes(const open_set &s, const std::vector<outcome> &rows);
// Held retirements become a hold of the set; when they were carried out it is over.
void note_holds(Oid parent, const std::vector<outcome> &rows);

// All sets as a round would find them, nothing done and no lock kept.
struct survey {
    std::vector<Oid> work, held; // a set may be in both
    std::vector<outcome> rows;   // what needs no work: held, not the caller's, gone
};
std::vector<Oid> sets_to_finish(); // a worker has detached something that waits for its end
survey survey_sets(const maintain_options &o);

} // namespace dbopt::partition
