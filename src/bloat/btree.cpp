// B-trees: the entries of sampled leaf pages are put into virtual pages as REINDEX would do it.
//
// Entries of rows that are gone cannot be told apart in the index. Where the index has more entries
// than the table has rows to point to (or is partial), the rows behind the entries of some of the
// leaf pages are looked up, and the answer scales the whole (a ratio estimate).
#include "bloat/index.hpp"
#include "core/packing.hpp"
#include <cmath>
#include <map>

namespace dbopt::bloat {

namespace {

constexpr uint32_t first_sample = 800;
constexpr size_t first_lookups = 20000; // rows looked up at first …
constexpr size_t most_lookups = 100000; // … and at most, when sampling
constexpr double margin = 0.6;

struct leaf {
    std::vector<pg::key_group> groups;
    std::vector<pg::tuple_address> addresses;
    bool first_is_piece = false, last_is_piece = false;
};

struct sample {
    std::vector<double> packed;  // pages that the entries of each block would fill
    std::vector<double> entries;
    std::vector<leaf> leaves;    // with at least one entry
    double free = 0, room = 0;   // of leaf pages
    double pivots = 0, pivot_bytes = 0;
};

// A page that holds nothing but rows of one key is a piece of a longer run.
void pack(core::btree_packer &packer, std::span<const pg::key_group> groups, bool first_is_piece,
          bool last_is_piece) {
    for (size_t i = 0; i < groups.size(); ++i)
        if (groups[i].rows > 0)
            packer.add(groups[i].key_bytes, groups[i].rows,
                       (i == 0 && first_is_piece) || (i + 1 == groups.size() && last_is_piece));
}

// Runs of one key that go over the end of a page count where they begin, with all their rows; only
// runs that fill whole pages are counted piece by piece. Small groups are hardly worth the look.
class run_joiner {
  public:
    explicit run_joiner(pg::page_reader &reader) : reader_(reader) {}

    void join(const pg::btree_page &page, leaf &l) {
        l.groups = page.groups;
        l.addresses = page.addresses;
        l.first_is_piece = l.last_is_piece = false;
        if (l.groups.empty())
            return;
        const bool single = l.groups.size() == 1;
        const size_t own = l.addresses.size();
        const int before = l.groups[0].rows >= small ? pages_to_the_left(page) : 0;
        const int after = pages_to_the_right(page, l);
        const int span = single ? before + after : after;
        if (span > longest || (single && before > 0)) {
            l.addresses.resize(own);
            l.last_is_piece = span > longest;
        } else {
            l.groups.back().rows = static_cast<uint16_t>(l.groups.back().rows + l.addresses.size() - own);
        }
        if (before > 0 && (single ? span : before) <= longest)
            l.groups[0].rows = 0; // counted where the run begins
        else if (before > 0)
            l.first_is_piece = true;
    }

  private:
    static constexpr int small = 8;   // rows
    static constexpr int longest = 8; // pages

    int pages_to_the_left(const pg::btree_page &page) {
        int n = 0;
        for (uint32_t at = page.left; n <= longest && at != 0 && read(at) && near_.goes_on; at = near_.left) {
            ++n;
            if (near_.groups.size() > 1)
                break;
        }
        return n;
    }
    // Appends the rows of the run that lie there.
    int pages_to_the_right(const pg::btree_page &page, leaf &l) {
        int n = 0;
        bool more = page.goes_on;
        for (uint32_t at = page.right; more && n <= longest && at != 0 && read(at); at = near_.right) {
            ++n;
            if (near_.groups.empty())
                break;
            l.addresses.insert(l.addresses.end(), near_.addresses.begin(),
                               near_.addresses.begin() + near_.groups[0].rows);
            more = near_.goes_on && near_.groups.size() == 1;
        }
        return n;
    }
    bool read(uint32_t block) {
        reader_.copy(block, raw_);
        pg::parse_btree_page(raw_, near_);
        return near_.kind == pg::page_kind::leaf;
    }
    pg::page_reader &reader_;
    pg::btree_page near_{};
    alignas(8) char raw_[8192];
};

core::btree_packer packer_for(const pg::index_facts &facts) {
    return core::btree_packer({.fillfactor = static_cast<uint32_t>(facts.fillfactor),
                               .deduplicate = facts.deduplicates});
}

sample read_sample(const index_job &job, std::span<const uint32_t> chosen) {
    sample s;
    core::btree_packer packer = packer_for(job.facts);
    pg::btree_page page{};
    leaf l;
    for_each_page(job.index.get(), chosen, 1, [&](size_t, const char *raw, pg::page_reader &reader) {
        pg::parse_btree_page(raw, page);
        const double before = packer.pages();
        if (page.kind == pg::page_kind::internal) {
            s.pivots += page.items;
            s.pivot_bytes += page.item_bytes;
        } else if (page.kind == pg::page_kind::leaf) {
            s.free += page.free_bytes;
            s.room += page.room;
            if (job.facts.deduplicates)
                run_joiner(reader).join(page, l);
            else
                l = {page.groups, page.addresses};
            pack(packer, l.groups, l.first_is_piece, l.last_is_piece);
            if (!page.addresses.empty())
                s.leaves.push_back(l);
        }
        s.packed.push_back(packer.pages() - before);
        s.entries.push_back(static_cast<double>(page.addresses.size()));
    });
    return s;
}

// Which of these rows a rebuilt index would still point to. Pages known to be all-visible hold no
// dead root, so they need no visit.
class row_lookup {
  public:
    explicit row_lookup(Relation table) : reader_(table) {}

    void run(std::vector<pg::tuple_address> &rows, std::vector<bool> &needed) {
        std::vector<uint32_t> order(rows.size());
        for (uint32_t i = 0; i < order.size(); ++i)
            order[i] = i;
        std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return rows[a] < rows[b]; });
        needed.assign(rows.size(), false);
        std::vector<uint32_t> blocks;
        for (const uint32_t i : order)
            if (blocks.empty() || blocks.back() != rows[i].block)
                blocks.push_back(rows[i].block);
        std::vector<double> unseen(blocks.size(), 1);
        double sum = 0;
        reader_.visibility_map(UINT32_MAX, blocks, unseen, sum);
        size_t at = 0, ahead = 0;
        for (size_t b = 0; b < blocks.size(); ++b) {
            for (; ahead < std::min(blocks.size(), b + 32); ++ahead)
                if (unseen[ahead] != 0)
                    reader_.prefetch(blocks[ahead]);
            size_t end = at;
            while (end < order.size() && rows[order[end]].block == blocks[b])
                ++end;
            visit(blocks[b], unseen[b] != 0, std::span(order).subspan(at, end - at), rows, needed);
            at = end;
        }
    }

  private:
    void visit(uint32_t block, bool look, std::span<const uint32_t> which,
               const std::vector<pg::tuple_address> &rows, std::vector<bool> &needed) {
        if (!look) {
            for (const uint32_t i : which)
                needed[i] = true;
            return;
        }
        offsets_.clear();
        for (const uint32_t i : which)
            offsets_.push_back(rows[i].offset);
        const auto live = std::make_unique<bool[]>(which.size());
        reader_.live_roots(block, offsets_, {live.get(), which.size()});
        for (size_t k = 0; k < which.size(); ++k)
            needed[which[k]] = live[k];
    }
    pg::heap_reader reader_;
    std::vector<uint16_t> offsets_;
};

struct ratio {
    double value = 1, half_width = 0;
};

// Which rows of a leaf to look up: all of a small group, some of a large one.
constexpr uint32_t large_group = 32, looked_up = 16;

uint32_t lookups_of(const pg::key_group &g) { return g.rows > large_group ? looked_up : g.rows; }

void choose_rows(const leaf &l, std::vector<pg::tuple_address> &rows) {
    for (const pg::key_group &g : l.groups)
        for (uint32_t k = 0, n = lookups_of(g); k < n; ++k)
            rows.push_back(l.addresses[g.first + k * g.rows / n]);
}

// The groups of a leaf with the dead rows taken off; `at` moves over the answers.
void keep_needed(const leaf &l, const std::vector<bool> &needed, size_t &at,
                 std::vector<pg::key_group> &groups) {
    groups = l.groups;
    for (pg::key_group &g : groups) {
        const uint32_t n = lookups_of(g);
        uint32_t alive = 0;
        for (uint32_t k = 0; k < n; ++k)
            alive += needed[at++] ? 1 : 0;
        if (n > 0)
            g.rows = static_cast<uint16_t>((alive * g.rows + n / 2) / n);
    }
}

// Share of the packed size that is left when only needed rows keep their entries.
ratio needed_ratio(const index_job &job, const sample &s, row_lookup &lookup, size_t budget) {
    size_t total = 0;
    for (const leaf &l : s.leaves)
        for (const pg::key_group &g : l.groups)
            total += lookups_of(g);
    const size_t step = std::max<size_t>(1, (total + budget - 1) / std::max<size_t>(1, budget));
    std::vector<pg::tuple_address> rows;
    std::vector<const leaf *> taken;
    for (size_t i = 0; i < s.leaves.size(); i += step) {
        taken.push_back(&s.leaves[i]);
        choose_rows(s.leaves[i], rows);
    }
    std::vector<bool> needed;
    lookup.run(rows, needed);
    core::btree_packer all = packer_for(job.facts), kept = packer_for(job.facts);
    std::vector<double> x, y;
    std::vector<pg::key_group> groups;
    size_t at = 0;
    for (const leaf *l : taken) {
        keep_needed(*l, needed, at, groups);
        const double a = all.pages(), k = kept.pages();
        pack(all, l->groups, l->first_is_piece, l->last_is_piece);
        pack(kept, groups, l->first_is_piece, l->last_is_piece);
        x.push_back(all.pages() - a);
        y.push_back(kept.pages() - k);
    }
    double sx = 0, sy = 0, squares = 0;
    for (size_t i = 0; i < x.size(); ++i) {
        sx += x[i];
        sy += y[i];
    }
    ratio r;
    if (sx <= 0)
        return r;
    r.value = sy / sx;
    if (step == 1)
        return r; // nothing was left out: the sampling of pages is accounted for elsewhere
    for (size_t i = 1; i < x.size(); ++i) {
        const double d = (y[i] - r.value * x[i]) - (y[i - 1] - r.value * x[i - 1]);
        squares += d * d;
    }
    r.half_width = 1.96 * std::sqrt(squares / 2) / sx;
    return r;
}

double upper_levels(double leaves, double pivot_bytes) {
    const double per_page = std::max(2.0, (8144 - 0.3 * 8192) / (pivot_bytes + 4));
    double pages = 0;
    for (double level = leaves; level > 1;) {
        level = std::ceil(level / per_page);
        pages += level;
    }
    return pages;
}

void finish(const index_job &job, const sample &s, const core::estimate &packed, const ratio &keep,
            index_result &r) {
    const double inner = job.blocks - 1;
    const double leaves = std::ceil(packed.mean * inner * keep.value - 1e-6);
    const double pivot = s.pivots > 0 ? s.pivot_bytes / s.pivots : 24;
    r.rebuilt.bytes = 8192.0 * (1 + leaves + upper_levels(leaves, pivot));
    r.rebuilt.half_width = 8192.0 * inner * std::hypot(packed.half_width * keep.value,
                                                       packed.mean * keep.half_width);
    r.density = s.room > 0 ? 100.0 * (1 - s.free / s.room) : 0;
}

} // namespace

void measure_btree(const index_job &job, index_result &r) {
    const uint32_t inner = job.blocks - 1; // block 0 is the meta page
    if (inner == 0) {
        r.rebuilt.bytes = 8192;
        r.sampled = 1;
        return;
    }
    core::random_source random(job.seed);
    const bool exact = job.how.how == method::exact;
    const double wanted = job.how.max_error * margin / 100;
    sample s;
    core::estimate packed;
    for (uint32_t n = exact || inner < 2 * first_sample ? inner : first_sample;;) {
        s = read_sample(job, core::stratified_blocks(inner, n, random));
        packed = core::estimate_mean(s.packed, inner, 1);
        r.sampled = std::min(n, inner) + 1;
        const uint32_t next = core::sample_size_for(packed.half_width, wanted, n, inner);
        if (n >= inner || next == n)
            break;
        n = next > inner / 2 ? inner : next;
    }
    const core::estimate entries = core::estimate_mean(s.entries, inner, 1400);
    const pg::open_relation table(job.facts.table, job.how.lock_wait_ms);
    ratio keep;
    if (table.valid() && pg::heap_obstacle(table.get()) == nullptr && !s.leaves.empty()) {
        bool look = exact || job.facts.partial;
        if (!look) {
            const heap_result h = measure_heap(job.facts.table, job.how);
            const double doubt = h.live.bytes > 0 ? h.live.half_width / h.live.bytes : 0;
            look = entries.mean * inner > h.root_entries * (1 + std::max(0.005, doubt));
        }
        row_lookup lookup(table.get());
        for (size_t budget = exact ? SIZE_MAX / 2 : first_lookups; look; budget *= 4) {
            keep = needed_ratio(job, s, lookup, budget);
            look = keep.half_width * packed.mean > wanted && budget < most_lookups;
        }
    }
    finish(job, s, packed, keep, r);
}

} // namespace dbopt::bloat
