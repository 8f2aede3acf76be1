// One heap: adaptive sampling, or one pass over all pages.
#include "bloat/bloat.hpp"
#include "core/packing.hpp"
#include "core/sampling.hpp"
#include "pg/pages.hpp"
#include <cmath>

namespace dbopt::bloat {

namespace {

constexpr uint32_t first_sample = 400;
constexpr uint32_t prefetch_distance = 32;
// The interval is itself an estimate: stop at 60 % of what was asked for.
constexpr double margin = 0.6;

struct columns { // one value per sampled block
    std::vector<double> live, dead, free, packed, held, running, rows, roots, pointers;
    void reserve(size_t n) {
        for (auto *v : {&live, &dead, &free, &packed, &held, &running, &rows, &roots, &pointers})
            v->reserve(n);
    }
    void add(const pg::heap_page &p, double pages) {
        live.push_back(p.live_bytes);
        dead.push_back(p.dead_bytes);
        free.push_back(p.free_bytes);
        held.push_back(p.held_bytes);
        running.push_back(p.running_bytes);
        rows.push_back(p.live);
        roots.push_back(p.root_entries);
        pointers.push_back(p.dead_pointers);
        packed.push_back(pages);
    }
};

core::heap_packer packer_for(const pg::heap_reader &reader) {
    return core::heap_packer({.fillfactor = static_cast<uint32_t>(reader.fillfactor()),
                              .max_tuples = pg::most_tuples_per_page});
}

double pack(core::heap_packer &packer, const pg::heap_page &page) {
    const double before = packer.pages();
    for (uint32_t i = 0; i < page.kept; ++i)
        packer.add(page.lengths[i]);
    return packer.pages() - before;
}

// Every page, once: no intervals.
heap_result read_all(pg::heap_reader &reader, uint32_t blocks) {
    heap_result r;
    r.pages = r.sampled = blocks;
    core::heap_packer packer = packer_for(reader);
    pg::heap_page page;
    for (uint32_t block = 0; block < blocks; ++block) {
        reader.read(block, page);
        for (uint32_t i = 0; i < page.kept; ++i)
            packer.add(page.lengths[i]);
        r.live.bytes += page.live_bytes;
        r.dead.bytes += page.dead_bytes;
        r.free.bytes += page.free_bytes;
        r.held += page.held_bytes;
        r.running += page.running_bytes;
        r.live_rows += page.live;
        r.root_entries += page.root_entries;
        r.dead_pointers += page.dead_pointers;
    }
    r.reclaimable.bytes = 8192.0 * (blocks - static_cast<double>(packer.full_pages()));
    return r;
}

class sampler {
  public:
    sampler(pg::heap_reader &reader, uint32_t blocks, uint64_t seed)
        : reader_(reader), inner_(blocks - 1), random_(seed) {}

    // Reads n blocks and the last one; the result replaces what an earlier round found.
    heap_result round(uint32_t n) {
        const std::vector<uint32_t> chosen = core::stratified_blocks(inner_, n, random_);
        core::heap_packer packer = packer_for(reader_);
        columns c;
        c.reserve(chosen.size());
        pg::heap_page page;
        for (size_t i = 0; i < chosen.size(); ++i) {
            for (size_t ahead = i == 0 ? 0 : i + prefetch_distance - 1;
                 ahead < std::min(chosen.size(), i + prefetch_distance); ++ahead)
                reader_.prefetch(chosen[ahead]);
            reader_.read(chosen[i], page);
            const double pages = pack(packer, page);
            c.add(page, pages);
        }
        reader_.read(inner_, page);
        const double last_pages = pack(packer, page);
        return summarize(chosen, c, page, last_pages);
    }

  private:
    heap_result summarize(const std::vector<uint32_t> &chosen, const columns &c,
                          const pg::heap_page &last, double last_pages) {
        std::vector<double> space(chosen.size()), unseen(chosen.size());
        std::vector<core::known> maps;
        double sum = 0;
        if (reader_.free_space_map(inner_, chosen, space, sum))
            maps.push_back({space, sum / inner_});
        if (reader_.visibility_map(inner_, chosen, unseen, sum))
            maps.push_back({unseen, sum / inner_});
        auto total = [&](const std::vector<double> &v, double range, double last_value,
                         std::span<const core::known> known) {
            const core::estimate e = core::estimate_mean(v, inner_, range, known);
            return amount{e.mean * inner_ + last_value, e.half_width * inner_};
        };
        heap_result r;
        r.pages = uint64_t{inner_} + 1;
        r.sampled = chosen.size() + 1;
        r.live = total(c.live, 8192, last.live_bytes, maps);
        r.dead = total(c.dead, 8192, last.dead_bytes, maps);
        r.free = total(c.free, 8192, last.free_bytes, maps);
        r.held = total(c.held, 8192, last.held_bytes, maps).bytes;
        r.running = total(c.running, 8192, last.running_bytes, {}).bytes;
        r.live_rows = total(c.rows, pg::most_tuples_per_page, last.live, maps).bytes;
        r.root_entries = total(c.roots, pg::most_tuples_per_page, last.root_entries, maps).bytes;
        r.dead_pointers = total(c.pointers, pg::most_tuples_per_page, last.dead_pointers, {}).bytes;
        const amount kept = total(c.packed, 1, last_pages, maps);
        r.reclaimable.bytes = 8192.0 * (static_cast<double>(r.pages) - std::ceil(kept.bytes));
        r.reclaimable.half_width = 8192.0 * kept.half_width;
        return r;
    }

    pg::heap_reader &reader_;
    uint32_t inner_;
    core::random_source random_;
};

} // namespace

heap_result measure_heap(Oid relation, const options &o) {
    heap_result r;
    const pg::open_relation open(relation, o.lock_wait_ms);
    if (!open.valid()) {
        r.skipped = open.why();
        return r;
    }
    if (const char *why = pg::heap_obstacle(open.get())) {
        r.skipped = why;
        return r;
    }
    const uint32_t blocks = open.blocks();
    if (blocks == 0)
        return r;
    pg::heap_reader reader(open.get());
    if (o.how == method::exact)
        return read_all(reader, blocks);
    const uint64_t seed = o.seed != 0 ? o.seed : static_cast<uint64_t>(pg::clock().us) ^ relation;
    sampler s(reader, blocks, seed);
    const double wanted = o.max_error * margin;
    for (uint32_t n = first_sample; n < blocks / 2;) {
        r = s.round(n);
        const double widest =
            std::max({r.dead.half_width, r.free.half_width, r.reclaimable.half_width}) /
            (8192.0 * blocks) * 100;
        const uint32_t next = core::sample_size_for(widest, wanted, n);
        if (next == n)
            return r;
        n = next;
    }
    return read_all(reader, blocks);
}

} // namespace dbopt::bloat
