// Indexes: what every access method shares.
#include "bloat/index.hpp"

namespace dbopt::bloat {

index_result measure_index(Oid index, const options &o) {
    index_result r;
    const pg::open_relation open(index, o.lock_wait_ms);
    if (!open.valid()) {
        r.skipped = open.why();
        return r;
    }
    if (const char *why = pg::index_obstacle(open.get())) {
        r.skipped = why;
        return r;
    }
    const pg::index_facts facts = pg::describe_index(open.get());
    r.access_method = facts.method_name;
    const uint32_t blocks = open.blocks();
    r.pages = blocks;
    const index_job job{open, facts, o, blocks,
                        o.seed != 0 ? o.seed : static_cast<uint64_t>(pg::clock().us) ^ index};
    if (blocks == 0)
        r.skipped = "empty file";
    else if (facts.access_method == BTREE_AM_OID)
        measure_btree(job, r);
    else if (facts.access_method == HASH_AM_OID)
        measure_hash(job, r);
    else if (facts.access_method == GIST_AM_OID)
        measure_gist(job, r);
    else if (facts.access_method == GIN_AM_OID)
        measure_gin(job, r);
    else if (facts.access_method == SPGIST_AM_OID)
        measure_spgist(job, r);
    else if (facts.access_method == BRIN_AM_OID)
        measure_brin(job, r);
    else
        r.skipped = "access method " + r.access_method + " cannot be measured";
    return r;
}

} // namespace dbopt::bloat
