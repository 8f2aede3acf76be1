// Inside the partition room: rows that leave a partition for others of the same parent.
#pragma once
#include "partition/conversion.hpp"

namespace dbopt::partition {

struct opened { // a set and what it refers to, read anew in each transaction
    std::vector<set_config> configs;
    std::vector<pg::partitioned_table> tables;
    std::optional<open_set> set;
    const pg::partition_entry *find(Oid partition) const {
        for (const pg::partition_entry &e : tables[0].partitions)
            if (e.relation == partition)
                return &e;
        return nullptr;
    }
    explicit opened(Oid parent);
};

std::string inside(const open_set &s, const core::bounds &b); // as a condition
std::string gone_name(Oid source); // of the old partition, between the swap and its removal

enum class swap_result { done, changes, misfit };
// Under ACCESS EXCLUSIVE on parent and partition. Nothing is changed unless it is done.
swap_result swap_once(const work &w, open_set &s);
// The template of what takes a partition's place: its own, or the partition itself.
set_config like_partition(const set_config &of_parent, Oid partition, bool is_default);
// Indexes of the partition or the template that the parent has not; a transaction each.
void build_own_indexes(const work &w);
// Before a swap: what maintenance or the owner attached or detached since the copy was begun.
void fit_to_parent(work &w);

} // namespace dbopt::partition
