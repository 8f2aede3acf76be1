// Inside the bloat room: one measuring function per access method.
#pragma once
#include "bloat/bloat.hpp"
#include "core/sampling.hpp"
#include "pg/index_pages.hpp"

namespace dbopt::bloat {

struct index_job {
    const pg::open_relation &index;
    const pg::index_facts &facts;
    const options &how;
    uint32_t blocks;
    uint64_t seed;
};

void measure_btree(const index_job &job, index_result &r);
void measure_hash(const index_job &job, index_result &r);
void measure_gist(const index_job &job, index_result &r);
void measure_gin(const index_job &job, index_result &r);
void measure_spgist(const index_job &job, index_result &r);
void measure_brin(const index_job &job, index_result &r);

// Reads the blocks `from + chosen[i]`; f(i, page, reader).
template <class F>
void for_each_page(Relation relation, std::span<const uint32_t> chosen, uint32_t from, F &&f) {
    pg::page_reader reader(relation);
    alignas(8) char page[8192];
    reader.stream().over(chosen, from);
    for (size_t i = 0; i < chosen.size(); ++i) {
        reader.copy_next(page);
        f(i, page, reader);
    }
}

} // namespace dbopt::bloat
