#include "core/index_size.hpp"
#include <algorithm>
#include <cmath>
#include <cstdint>

namespace dbopt::core {

namespace {

constexpr double usable = page_bytes - 24 - 16; // page header, special space
constexpr double pointer = 4;                   // line pointer
constexpr double tid = 6;
constexpr double posting_limit = 812;           // a tenth of the page, less a line pointer

double align(double bytes) { return std::ceil(bytes / 8) * 8; }

// Leaf pages as _bt_buildadd fills them: an item that does not fit, or that would find the page past
// its fill factor (not counting what posting lists added to the last item), goes to a new page, and
// the last item of the old one moves on with it, leaving its place to the high key.
class leaf_filler {
  public:
    explicit leaf_filler(double fillfactor) : target_(page_bytes * (100 - fillfactor) / 100) {}
    void add(double bytes, double extra) {
        const double space = free_ - pointer;
        if (space < bytes + 8 || (space + last_extra_ < target_ && on_page_ > 1)) {
            ++pages_;
            free_ = usable - pointer - last_ - pointer;
            on_page_ = 1;
        }
        free_ -= bytes + pointer;
        last_ = bytes;
        last_extra_ = extra;
        ++on_page_;
    }
    double pages() const { return pages_ + std::min(1.0, 1 - (free_ - target_) / (usable - target_)); }

  private:
    double target_, pages_ = 0, free_ = usable - pointer, last_ = 0, last_extra_ = 0;
    int on_page_ = 0;
};

// Pages of a tree whose equal keys share posting lists: a part of it is filled as the server would.
double deduplicated_pages(const btree_input &in, double base, double mean, double distinct) {
    const double whole = 8 * std::max(1.0, std::round(base / 8)), rest = base - whole;
    const double most = std::max(2.0, std::floor((posting_limit - whole) / tid));
    constexpr double enough = 12000;
    double heads = 0;
    for (const double rows : in.keys.heads)
        heads += rows;
    // The same pattern of postings fills pages alike wherever it lies: the heads first.
    auto filled = [&](auto next, double groups, double all_rows) {
        leaf_filler leaf(in.fillfactor);
        double items = 0, rows = 0;
        for (double g = 0; g < groups && items < enough; ++g)
            for (double left = next(); left > 0 && items < enough; ++items) {
                const double here = std::min(left, most);
                const double bytes = here <= 1 ? whole : align(whole + here * tid);
                leaf.add(bytes + rest, bytes - whole);
                rows += here;
                left -= here;
            }
        return rows > 0 ? leaf.pages() * all_rows / rows : 0.0;
    };
    size_t at = 0;
    const double of_heads = filled([&] { return in.keys.heads[at++]; },
                                   static_cast<double>(in.keys.heads.size()), heads);
    const double others = std::max(0.0, in.tuples - heads);
    const double groups = std::max(1.0, distinct - static_cast<double>(in.keys.heads.size()));
    group_sizes sizes(in.keys, heads > 0 ? others / groups : mean);
    const double of_others = others < 1 ? 0 : filled([&] { return sizes.next(); }, groups, others);
    return std::max(1.0, std::ceil(of_heads + of_others - 0.001));
}

// Items of one page: filled past the fill factor, then the last one moves on as the high key.
double per_page(double item, double extra, double fillfactor) {
    const double target = usable - pointer - page_bytes * (100 - fillfactor) / 100 + extra;
    const double k = std::min(std::floor((usable - pointer) / item), std::ceil(target / item));
    return std::max(1.0, k - 1);
}

} // namespace

tree_size btree_size(const btree_input &in) {
    if (in.tuples < 1)
        return {.pages = 1, .height = 0};
    const double base = in.tuple_bytes; // an average: widths and NULLs vary
    const double distinct = std::clamp(in.distinct, 1.0, std::max(1.0, in.tuples));
    const double mean = in.tuples / distinct;
    double level = in.deduplicate && mean >= 1.0005 && base <= 400
                       ? deduplicated_pages(in, base, mean, distinct)
                       : std::ceil(in.tuples / per_page(in.tuple_bytes + pointer, 0, in.fillfactor));
    tree_size out{.pages = 1 + level, .height = 0};
    const double fanout = std::max(2.0, per_page(align(in.pivot_bytes) + pointer, 0, 70));
    while (level > 1) {
        level = std::ceil(level / fanout);
        out.pages += level;
        ++out.height;
    }
    return out;
}

double build_ms(double table_pages, double rows, double columns, double index_pages) {
    const double n = std::max(1.0, rows);
    return 0.2 + table_pages * 0.006 + n * (0.00008 + 0.000009 * std::log2(n + 1) * (0.6 + 0.4 * columns)) +
           index_pages * 0.02;
}

double hash_pages(double tuples, double fillfactor) {
    const double per_bucket = std::max(10.0, std::floor(page_bytes * fillfactor / 100 / 20));
    const double wanted = std::max(2.0, std::ceil(tuples / per_bucket));
    // Buckets double up to 512, then grow in quarters of a doubling.
    double buckets = 2;
    while (buckets < wanted) {
        const double quarter = buckets < 512 ? buckets : std::floor(buckets / 4);
        double grown = buckets;
        for (int i = 0; i < 4 && grown < wanted; ++i)
            grown += quarter;
        buckets = grown > buckets ? grown : buckets * 2;
    }
    return buckets + 2;
}

double brin_pages(double table_pages, double pages_per_range, double tuple_bytes) {
    const double ranges = std::ceil(std::max(1.0, table_pages) / std::max(1.0, pages_per_range));
    const double revmap = std::ceil(ranges / 1360);
    return 1 + revmap + std::max(1.0, std::ceil(ranges * (align(tuple_bytes) + pointer) / usable));
}

namespace {
// Item pointers are stored as differences, seven bits a byte: one byte within a table page (its rows
// are close to each other), more for the first of a page, the rarer the key the more.
double pointer_bytes(double rows, double table_pages) {
    const double per_page = rows / std::max(1.0, table_pages);
    const double pages_hit = std::max(1.0, table_pages * -std::expm1(-per_page));
    const double gap = std::max(1.0, table_pages / pages_hit) * 2048;
    const double first = std::clamp(std::ceil(std::log2(gap + 1) / 7), 2.0, 6.0);
    return 1 + (first - 1) * std::min(1.0, pages_hit / std::max(1.0, rows));
}

constexpr double most_inline = 2000; // longer lists move to posting trees of their own, in whole pages

struct gin_entry {
    double in_entry = 0, in_trees = 0; // bytes, pages
};
gin_entry entry_of(double rows, const gin_input &in) {
    const double list = rows * pointer_bytes(rows, in.table_pages);
    if (list <= most_inline)
        return {align(in.key_bytes + 16 + list + 6) + pointer, 0};
    return {align(in.key_bytes + 16) + pointer, std::ceil(list / (usable - 30))};
}
} // namespace

double gin_pages(const gin_input &in) {
    double entries = in.entries, distinct = std::max(1.0, std::min(in.distinct, in.entries));
    double bytes = 0, trees = 0;
    for (const double rows : in.often) {
        const gin_entry e = entry_of(rows, in);
        bytes += e.in_entry;
        trees += e.in_trees;
        entries -= rows;
        distinct -= 1;
    }
    if (distinct >= 0.5 && entries > 0) { // the others, alike
        const gin_entry e = entry_of(std::max(1.0, entries / distinct), in);
        bytes += distinct * e.in_entry;
        trees += distinct * e.in_trees;
    }
    // Keys arrive in order, so split pages stay half full; a build of several batches fills them.
    const double fill = in.entries > 1.5e6 ? 0.73 : 0.5;
    return 2 + std::ceil(bytes / (usable * fill)) + trees;
}

double distinct_in_whole(const key_counts &c, double total) {
    if (c.keys < 1 || total <= c.keys)
        return std::max(1.0, c.distinct);
    if (c.twice < 1)
        return c.distinct + c.once * (total / c.keys - 1);
    const double rate = std::max(3 * c.thrice / c.twice, 0.02);
    const double repeating_once = std::min(c.once, 2 * c.twice / rate);
    const double unique = c.once - repeating_once;
    const double unseen = repeating_once * repeating_once / (2 * c.twice);
    return std::min(total, unique * total / c.keys + (c.distinct - unique) + unseen);
}

double occupied(double possible, double rows) {
    if (possible <= 1)
        return 1;
    if (possible > rows * 1e6)
        return rows;
    return possible * -std::expm1(-rows / possible);
}

double occupied(const std::vector<nullable_column> &columns, double rows, double dependence) {
    double sum = 0;
    for (size_t nulls = 0; nulls < size_t{1} << std::min<size_t>(columns.size(), 8); ++nulls) {
        double possible = 1, share = 1;
        for (size_t i = 0; i < columns.size(); ++i) {
            const bool null = i < 8 && (nulls >> i & 1) != 0;
            share *= null ? columns[i].null_fraction : 1 - columns[i].null_fraction;
            possible *= null ? 1 : std::max(1.0, columns[i].distinct);
        }
        if (share * rows >= 0.5)
            sum += occupied(std::max(1.0, possible / dependence), share * rows);
    }
    return std::max(1.0, sum);
}

} // namespace dbopt::core
