// Hash, GiST, SP-GiST, GIN and BRIN: size after a rebuild from the number and size of sampled entries.
#include "bloat/index.hpp"
#include "core/rebuilt.hpp"
#include <cmath>
#include <unordered_map>

namespace dbopt::bloat {

namespace {

constexpr uint32_t sample_pages = 1000;
constexpr double page = 8192;

struct totals {
    core::estimate entries, used;             // per block
    core::estimate posting_used;              // GIN
    double leaves = 0, posting_leaves = 0, trees = 0, internal = 0; // sampled pages
    double internal_used = 0;                 // bytes on them
    std::vector<double> fills;                // GiST: of leaves that are not empty, ascending
    std::unordered_map<uint64_t, double> frequent; // hash: entries of codes that come often
    std::array<double, pg::plain_page::row_classes> key_bytes{}; // GIN: see plain_page
    double list_bytes = 0;
    double room = 0, used_bytes = 0;          // of sampled leaves
    double once_used = 0, once_room = 0;      // SP-GiST: leaves with entries, as full as they once were
    double live_places = 0, places = 0;       // SP-GiST
    double pending_bytes = 0, pending_trees = 0; // GIN: what the pending entries become
    double scale = 1;                         // blocks per sampled block
    uint32_t inner = 0;
};

using pending_keys = std::unordered_map<uint64_t, std::pair<uint32_t, uint16_t>>;

double tree_pages(double bytes) { // pages of a posting tree
    constexpr double fill = 0.85;
    return bytes <= 8096 ? 1 : std::ceil(bytes / 8152 / fill) + 1;
}

// What the entries of the pending list become: keys with a list of rows, or a tree of them.
void merge_pending(const pending_keys &keys, totals &t) {
    constexpr double longest_list = 2700;
    double rows = 1;
    for (const auto &[hash, key] : keys)
        rows = std::max(rows, static_cast<double>(key.first));
    for (const auto &[hash, key] : keys) {
        const double list = 8 + (key.first - 1) * (key.first * 50.0 > rows ? 1.1 : 2.0);
        if (list > longest_list)
            t.pending_trees += tree_pages(list);
        t.pending_bytes += std::ceil((key.second + (list > longest_list ? 0 : list)) / 8) * 8 + 4;
    }
    t.pending_bytes *= t.scale;
    t.pending_trees *= t.scale;
}

template <class Parse>
totals read(const index_job &job, uint32_t from, Parse &&parse, index_result &r) {
    totals t;
    t.inner = job.blocks - from;
    core::random_source random(job.seed);
    const uint32_t n = job.how.how == method::exact || t.inner < 2 * sample_pages ? t.inner : sample_pages;
    std::vector<double> entries, used, posting;
    pending_keys pending;
    pg::plain_page p{};
    const auto chosen = core::stratified_blocks(t.inner, n, random);
    for_each_page(job.index.get(), chosen, from, [&](size_t, const char *raw, pg::page_reader &) {
        parse(raw, p);
        const bool leaf = p.kind == pg::page_kind::leaf && !p.pending;
        entries.push_back(leaf ? p.entries : 0);
        used.push_back(leaf && !p.posting_tree ? p.used : 0);
        posting.push_back(leaf && p.posting_tree ? p.used : 0);
        if (p.kind == pg::page_kind::internal && !p.posting_tree) {
            ++t.internal;
            t.internal_used += p.used;
        }
        for (const auto &[hash, size] : p.keys) {
            if (!p.pending) {
                t.frequent[hash] += size;
                continue;
            }
            auto &seen = pending[hash];
            ++seen.first;
            seen.second = size;
        }
        if (!leaf)
            return;
        t.posting_leaves += p.posting_tree;
        t.trees += p.trees;
        t.leaves += !p.posting_tree;
        if (!p.posting_tree) {
            t.room += p.room;
            t.used_bytes += p.used;
            if (p.entries > 0 && p.room > 0)
                t.fills.push_back(static_cast<double>(p.used) / p.room);
            for (size_t k = 0; k < t.key_bytes.size(); ++k)
                t.key_bytes[k] += p.key_bytes[k];
            t.list_bytes += p.list_bytes;
            if (p.entries > 0) {
                const double times = 1 + static_cast<double>(p.gone) / p.entries;
                t.once_used += std::min<double>(p.room, p.used * times);
                t.once_room += p.room;
                t.live_places += p.entries;
                t.places += p.entries + p.gone;
            }
        }
    });
    r.sampled = chosen.size() + from;
    t.scale = static_cast<double>(t.inner) / std::max<size_t>(1, chosen.size());
    t.entries = core::estimate_mean(entries, t.inner, 400);
    t.used = core::estimate_mean(used, t.inner, page);
    t.posting_used = core::estimate_mean(posting, t.inner, page);
    merge_pending(pending, t);
    std::sort(t.fills.begin(), t.fills.end());
    r.density = t.room > 0 ? 100 * t.used_bytes / t.room : 0;
    return t;
}

// Entries of dead rows that VACUUM has not removed yet disappear in a rebuild.
double live_share(const index_job &job, const totals &t) {
    if (job.facts.partial)
        return 1;
    const heap_result h = measure_heap(job.facts.table, job.how);
    const double entries = t.entries.mean * t.inner;
    return h.skipped.empty() && entries > h.root_entries && entries > 0 ? h.root_entries / entries : 1;
}

// Share of the rows' entries that a rebuild keeps: for indexes with several entries per row.
double live_rows_share(const index_job &job) {
    const heap_result h = measure_heap(job.facts.table, job.how);
    return h.skipped.empty() && h.entries > h.root_entries ? h.root_entries / h.entries : 1;
}

void conclude(index_result &r, double pages, const core::estimate &what, double model_error) {
    r.rebuilt.bytes = page * std::ceil(pages);
    const double relative = what.mean > 0 ? what.half_width / what.mean : 0;
    r.rebuilt.half_width = r.rebuilt.bytes * std::hypot(relative, model_error);
}

} // namespace

void measure_hash(const index_job &job, index_result &r) {
    const totals t = read(job, 0, pg::parse_hash_page, r);
    const double live = live_share(job, t);
    core::hash_build build{.entries = t.entries.mean * t.inner * live,
                           .fillfactor = static_cast<uint32_t>(job.facts.fillfactor)};
    // In a sample only what fills pages shows how frequent it is; what is seen less makes the buckets uneven.
    constexpr double fills_pages = 400;
    std::vector<core::frequent_value> frequent;
    double squares = 0, rest = t.entries.mean * t.inner / t.scale;
    for (const auto &[code, entries] : t.frequent) {
        rest -= entries;
        if (t.scale <= 1.01 || entries >= fills_pages)
            frequent.push_back({static_cast<uint32_t>(code), entries * t.scale * live});
        else
            squares += entries * (entries - 1);
    }
    build.frequent = frequent;
    build.cluster = 1 + (rest > 1 ? squares / rest : 0) * live;
    conclude(r, core::hash_pages(build), t.entries, t.frequent.empty() ? 0.02 : 0.1);
}

void measure_gist(const index_job &job, index_result &r) {
    const totals t = read(job, 0, pg::parse_gist_page, r);
    const core::fill_guess guess = core::gist_fill(
        t.fills, t.leaves > 0 ? t.entries.mean * t.inner / t.scale / t.leaves : 0, job.facts.sorted_build,
        job.facts.one_order);
    const double leaves = std::ceil(t.used.mean * t.inner * live_share(job, t) / 8152 / guess.fill - 1e-6);
    const double per_internal = std::max(10.0, t.leaves / std::max(1.0, t.internal));
    const double upper = leaves > 1 ? std::max(1.0, std::round(leaves / per_internal)) : 0;
    conclude(r, std::max(1.0, leaves + upper), t.used, guess.error);
}

// Share of the bytes of GIN entries that is left when the rows of some are gone. A key stays as long as one of its
// rows does. Dead rows may be scattered, or the former versions of rows that stay (then no key goes): in between.
double thinned(const totals &t, double live) {
    constexpr double rows[pg::plain_page::row_classes] = {1, 2, 3.4, 6, 12, 1000};
    double all = t.list_bytes, left = t.list_bytes * live;
    for (size_t k = 0; k < t.key_bytes.size(); ++k) {
        const double stays = 1 - std::pow(1 - live, rows[k]);
        all += t.key_bytes[k];
        left += t.key_bytes[k] * (k == 0 ? stays : (1 + stays) / 2);
    }
    return all > 0 ? left / all : 1;
}

void measure_gin(const index_job &job, index_result &r) {
    const totals t = read(job, 1, pg::parse_gin_page, r);
    // Keys come in order into a new index, and a page that is full is split in halves.
    constexpr double entry_fill = 0.52;
    const double live = live_rows_share(job);
    const double entry_leaves = (t.used.mean * t.inner * thinned(t, live) + t.pending_bytes) / 8152 / entry_fill;
    const double trees = t.trees * t.scale;
    const double posting =
        trees > 0 ? trees * tree_pages(t.posting_used.mean * t.inner * live / trees) : 0;
    const double upper = entry_leaves > 1 ? std::ceil(entry_leaves / 90) : 0;
    conclude(r, 1 + std::max(1.0, std::ceil(entry_leaves)) + upper + posting + t.pending_trees,
             t.used.mean > 0 ? t.used : t.posting_used, 0.05 + 0.15 * (1 - live));
}

// Built by inserts: how full the pages become depends on the operator class and the data (measured: 36 to 91 %),
// but hardly on the number of rows. VACUUM leaves the places of deleted entries behind, so that the pages which
// still have entries tell how full they once were.
void measure_spgist(const index_job &job, index_result &r) {
    const totals t = read(job, 1, pg::parse_spgist_page, r);
    const double live = live_share(job, t);
    const double fill_now = t.room > 0 ? t.used_bytes / t.room : 0;
    const double kept = t.places > 0 ? t.live_places / t.places * live : 1;
    const bool as_built = kept > 0.8;
    const double fill = as_built ? fill_now : t.once_room > 0 ? t.once_used / t.once_room : 0.65;
    const double leaves = std::ceil(t.used.mean * t.inner * live / 8160 / fill);
    const double inner = std::ceil(t.internal_used * t.scale * kept / 8160 / fill);
    conclude(r, 1 + std::max(2.0, leaves + inner), t.used, as_built ? 0.1 : 0.65);
}

void measure_brin(const index_job &job, index_result &r) {
    const totals t = read(job, 0, pg::parse_brin_page, r);
    const pg::open_relation table(job.facts.table, job.how.lock_wait_ms);
    if (!table.valid()) {
        r.skipped = std::string("its table is ") + table.why();
        return;
    }
    const double ranges = std::ceil(static_cast<double>(table.blocks()) / std::max(1u, job.facts.pages_per_range));
    const double entries = t.entries.mean * t.inner;
    const double size = entries > 0 ? t.used.mean * t.inner / entries : 28;
    const double per_page = std::max(1.0, std::floor(8160 / size));
    conclude(r, 1 + std::max(1.0, std::ceil(ranges / 1360)) + std::max(1.0, std::ceil(ranges / per_page)),
             t.entries, 0.01);
}

} // namespace dbopt::bloat
