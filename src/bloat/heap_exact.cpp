#include "bloat/heap_exact.hpp"
#include "pg/parallel.hpp"
#include <atomic>
#include <cmath>

namespace dbopt::bloat {

namespace {

// PODs: they lie in shared memory, one per process.
struct totals {
    uint64_t live, dead, free, held, running, rows, roots, pointers, entries;
    double packed; // pages
};

constexpr int most_processes = 64;

struct shared_scan {
    Oid relation;
    TransactionId oldest_xmin; // one horizon for all
    uint32_t blocks, chunk;
    std::atomic<uint32_t> next;
    totals parts[most_processes];
};
static_assert(std::atomic<uint32_t>::is_always_lock_free);

void add(totals &t, core::heap_packer &packer, const pg::heap_page &page) {
    t.live += page.sum.live_bytes;
    t.dead += page.sum.dead_bytes;
    t.free += page.sum.free_bytes;
    t.held += page.sum.held_bytes;
    t.running += page.sum.running_bytes;
    t.rows += page.sum.live;
    t.roots += page.sum.root_entries;
    t.pointers += page.sum.dead_pointers;
    t.entries += page.sum.entries;
    for (uint32_t i = 0; i < page.runs; ++i)
        packer.add(page.kept[i].length, page.kept[i].count);
}

void read_range(pg::heap_reader &reader, core::heap_packer &packer, uint32_t from, uint32_t to,
                totals &t) {
    pg::heap_page page;
    reader.over_range(from, to);
    for (uint32_t block = from; block < to; ++block) {
        reader.next(page);
        add(t, packer, page);
    }
}

// Takes chunk after chunk until none is left. Rows keep their order within a process only, which
// moves the result by less than a page.
void take_part(shared_scan &scan, pg::heap_reader &reader, totals &out) {
    totals t{};
    core::heap_packer packer = packer_for(reader);
    for (;;) {
        const uint32_t from = scan.next.fetch_add(scan.chunk);
        if (from >= scan.blocks)
            break;
        read_range(reader, packer, from, std::min(scan.blocks, from + scan.chunk), t);
    }
    t.packed = packer.pages();
    out = t;
}

heap_result result_of(std::span<const totals> parts, uint32_t blocks, double packed) {
    heap_result r;
    r.pages = r.sampled = blocks;
    for (const totals &t : parts) {
        r.live.bytes += static_cast<double>(t.live);
        r.dead.bytes += static_cast<double>(t.dead);
        r.free.bytes += static_cast<double>(t.free);
        r.held += static_cast<double>(t.held);
        r.running += static_cast<double>(t.running);
        r.live_rows += static_cast<double>(t.rows);
        r.root_entries += static_cast<double>(t.roots);
        r.dead_pointers += static_cast<double>(t.pointers);
        r.entries += static_cast<double>(t.entries);
    }
    r.reclaimable.bytes = 8192.0 * (blocks - packed);
    return r;
}

heap_result by_a_team(pg::heap_reader &reader, Oid relation, uint32_t blocks, int workers) {
    auto plan = std::make_unique<shared_scan>();
    plan->relation = relation;
    plan->oldest_xmin = reader.oldest_xmin();
    plan->blocks = blocks;
    plan->chunk = std::clamp<uint32_t>(blocks / (16 * static_cast<uint32_t>(workers + 1)), 128, 2048);
    pg::parallel_team team("dbopt_bloat_parallel_main", workers, plan.get(), sizeof(shared_scan));
    auto *scan = static_cast<shared_scan *>(team.memory());
    take_part(*scan, reader, scan->parts[0]);
    team.wait();
    double packed = 0;
    for (const totals &t : scan->parts)
        packed += t.packed;
    return result_of(scan->parts, blocks, std::ceil(packed - 1e-9));
}

} // namespace

core::heap_packer packer_for(const pg::heap_reader &reader) {
    return core::heap_packer({.fillfactor = static_cast<uint32_t>(reader.fillfactor()),
                              .max_tuples = pg::most_tuples_per_page});
}

heap_result read_all(const pg::open_relation &table, pg::heap_reader &reader, uint32_t blocks,
                     uint32_t team_from) {
    const bool shared = table.shareable() && blocks >= team_from;
    const int workers = std::min(shared ? pg::workers_for(blocks) : 0, most_processes - 1);
    if (workers > 0)
        return by_a_team(reader, RelationGetRelid(table.get()), blocks, workers);
    totals t{};
    core::heap_packer packer = packer_for(reader);
    read_range(reader, packer, 0, blocks, t);
    return result_of({&t, 1}, blocks, static_cast<double>(packer.full_pages()));
}

} // namespace dbopt::bloat

extern "C" {
PGDLLEXPORT void dbopt_bloat_parallel_main(dsm_segment *segment, shm_toc *toc);
}

void dbopt_bloat_parallel_main(dsm_segment *, shm_toc *toc) {
    using namespace dbopt;
    pg::boundary([&] {
        auto *scan = static_cast<bloat::shared_scan *>(pg::team_memory(toc));
        const pg::open_relation table(scan->relation, 1000);
        if (!table.valid()) // the caller reads all of it
            return;
        pg::heap_reader reader(table.get(), scan->oldest_xmin);
        bloat::take_part(*scan, reader, scan->parts[pg::team_number() + 1]);
    });
}
