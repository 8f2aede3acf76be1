// One heap, sampled: the sample grows until the answer is good enough, keeping what it has read.
#include "bloat/heap_exact.hpp"
#include "core/sampling.hpp"
#include <cmath>

namespace dbopt::bloat {

namespace {

constexpr uint32_t whole_sample = 360; // of a relation that stands for itself
constexpr uint32_t least_sample = 30;  // of a small part of a partition tree; statistics end below that
uint32_t first_sample(double share) {
    return std::max(least_sample, static_cast<uint32_t>(whole_sample * share) & ~1u);
}
// The interval is itself an estimate, the worse the smaller the sample: stop below what was asked for.
constexpr uint32_t large = 1000;
double margin(uint32_t n) { return n <= whole_sample ? 0.6 : n < large ? 0.72 : 0.8; }

// How many blocks there should be in all: somewhat better than the margin, which is to be met at once.
uint32_t grown(double half_width, double max_error, uint32_t n, uint32_t blocks) {
    const double most = n < whole_sample ? 4 : 12;
    const uint32_t small = core::sample_size_for(half_width, max_error * 0.62, n, blocks, most);
    return small < large
               ? small
               : std::max(large, core::sample_size_for(half_width, max_error * 0.77, n, blocks, most));
}

struct observation { // of one sampled block
    uint32_t block;
    double live, dead, free, packed, held, running, rows, roots, pointers, entries;
};

double pack(core::heap_packer &packer, const pg::heap_page &page) {
    const double before = packer.pages();
    for (uint32_t i = 0; i < page.runs; ++i)
        packer.add(page.kept[i].length, page.kept[i].count);
    return packer.pages() - before;
}

observation observe(uint32_t block, const pg::heap_page &p, core::heap_packer &packer) {
    return {.block = block,
            .live = static_cast<double>(p.sum.live_bytes),
            .dead = static_cast<double>(p.sum.dead_bytes),
            .free = static_cast<double>(p.sum.free_bytes),
            .packed = pack(packer, p),
            .held = static_cast<double>(p.sum.held_bytes),
            .running = static_cast<double>(p.sum.running_bytes),
            .rows = static_cast<double>(p.sum.live),
            .roots = static_cast<double>(p.sum.root_entries),
            .pointers = static_cast<double>(p.sum.dead_pointers),
            .entries = static_cast<double>(p.sum.entries)};
}

class sampler {
  public:
    sampler(pg::heap_reader &reader, uint32_t blocks, uint64_t seed)
        : reader_(reader), packer_(packer_for(reader)), inner_(blocks - 1), random_(seed) {}

    // The first n blocks, and the last one of the table.
    heap_result first(uint32_t n) {
        n_ = n;
        read(core::stratified_blocks(inner_, n, random_));
        const uint32_t last = inner_;
        pg::heap_page page;
        reader_.over({&last, 1});
        reader_.next(page);
        last_ = observe(last, page, packer_);
        return summarize();
    }
    // So many times as many.
    heap_result more(uint32_t times) {
        read(core::more_blocks(inner_, blocks_, n_, times, random_));
        n_ *= times;
        return summarize();
    }
    uint32_t size() const { return n_; }

  private:
    void read(const std::vector<uint32_t> &chosen) {
        const auto had = static_cast<std::ptrdiff_t>(seen_.size());
        pg::heap_page page;
        seen_.reserve(seen_.size() + chosen.size());
        reader_.over(chosen);
        for (const uint32_t block : chosen) {
            reader_.next(page);
            seen_.push_back(observe(block, page, packer_));
        }
        std::inplace_merge(seen_.begin(), seen_.begin() + had, seen_.end(),
                           [](const observation &a, const observation &b) { return a.block < b.block; });
        blocks_.clear();
        for (const observation &o : seen_)
            blocks_.push_back(o.block);
    }

    amount total(double observation::*what, double range, std::span<const core::known> maps) {
        values_.clear();
        for (const observation &o : seen_)
            values_.push_back(o.*what);
        const core::estimate e = core::estimate_mean(values_, inner_, range, maps);
        return {e.mean * inner_ + last_.*what, e.half_width * inner_};
    }

    heap_result summarize() {
        std::vector<double> space(seen_.size()), unseen(seen_.size());
        std::vector<core::known> maps;
        double sum = 0;
        if (reader_.free_space_map(inner_, blocks_, space, sum))
            maps.push_back({space, sum / inner_});
        if (reader_.visibility_map(inner_, blocks_, unseen, sum))
            maps.push_back({unseen, sum / inner_});
        constexpr double page = 8192, tuples = pg::most_tuples_per_page;
        heap_result r;
        r.pages = uint64_t{inner_} + 1;
        r.sampled = seen_.size() + 1;
        r.live = total(&observation::live, page, maps);
        r.dead = total(&observation::dead, page, maps);
        r.free = total(&observation::free, page, maps);
        r.held = total(&observation::held, page, maps).bytes;
        r.running = total(&observation::running, page, {}).bytes;
        r.live_rows = total(&observation::rows, tuples, maps).bytes;
        r.root_entries = total(&observation::roots, tuples, maps).bytes;
        r.entries = total(&observation::entries, tuples, maps).bytes;
        r.dead_pointers = total(&observation::pointers, tuples, {}).bytes;
        const amount kept = total(&observation::packed, 1, maps);
        r.reclaimable.bytes = page * (static_cast<double>(r.pages) - std::ceil(kept.bytes));
        r.reclaimable.half_width = page * kept.half_width;
        return r;
    }

    pg::heap_reader &reader_;
    core::heap_packer packer_;
    uint32_t inner_, n_ = 0;
    core::random_source random_;
    std::vector<observation> seen_; // in block order
    std::vector<uint32_t> blocks_;  // of seen_
    std::vector<double> values_;
    observation last_{};
};

// Reads more until the widest interval is narrow enough. Nothing: reading every page is cheaper.
std::optional<heap_result> sample_heap(sampler &s, uint32_t blocks, uint32_t first, double max_error) {
    heap_result r = s.first(first);
    for (;;) {
        const double widest =
            std::max({r.dead.half_width, r.free.half_width, r.reclaimable.half_width}) /
            (8192.0 * blocks) * 100;
        if (widest <= max_error * margin(s.size()))
            return r;
        const uint32_t next = grown(widest, max_error, s.size(), blocks);
        const uint32_t times = std::max(2u, (next + s.size() / 2) / s.size());
        if (uint64_t{times} * s.size() > blocks / 2)
            return std::nullopt;
        r = s.more(times);
    }
}

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
    const uint32_t first = first_sample(o.share);
    if (o.how == method::sample && blocks > 2 * first) {
        sampler s(reader, blocks, o.seed != 0 ? o.seed : static_cast<uint64_t>(pg::clock().us) ^ relation);
        // The errors of the parts are independent: together they are as large as max_error of the whole.
        if (const auto sampled = sample_heap(s, blocks, first, o.max_error / std::sqrt(o.share)))
            return *sampled;
    }
    // Who asked for a sample is in a hurry: to start a process takes milliseconds.
    constexpr uint32_t worth_a_team = 16384;
    return read_all(open, reader, blocks, o.how == method::sample ? worth_a_team : 0);
}

} // namespace dbopt::bloat
