#include "core/index_size.hpp"
#include <algorithm>
#include <cmath>

namespace dbopt::core {

namespace {

constexpr double usable = page_bytes - 24 - 16; // page header, special space
constexpr double pointer = 4;                   // line pointer
constexpr double tid = 6;
constexpr double posting_limit = 812;           // a tenth of the page, less a line pointer

double align(double bytes) { return std::ceil(bytes / 8) * 8; }

struct items {
    double count = 0; // leaf tuples
    double bytes = 0; // of them all
    double extra = 0; // bytes of them that are posting lists
};

void add_group(double rows, double weight, double base, items *out) {
    const double most = std::floor((posting_limit - base) / tid);
    const double full = std::floor(rows / most);
    const double rest = rows - full * most;
    const double full_bytes = align(base + most * tid);
    out->count += weight * full;
    out->bytes += weight * full * full_bytes;
    out->extra += weight * full * (full_bytes - base);
    if (rest <= 0)
        return;
    const double bytes = rest <= 1 ? base : align(base + std::round(rest) * tid);
    out->count += weight;
    out->bytes += weight * bytes;
    out->extra += weight * (bytes - base);
}

// How keys repeat is unknown; a Poisson that is never zero is right for random references and close
// for others, because the bytes are nearly linear in the number of rows per key.
double solve_rate(double mean) {
    double rate = mean;
    for (int i = 0; i < 60; ++i)
        rate = mean * (1 - std::exp(-rate));
    return std::max(rate, 1e-9);
}

items leaf_items(const btree_input &in) {
    items out;
    const double base = align(in.tuple_bytes);
    const double distinct = std::clamp(in.distinct, 1.0, std::max(1.0, in.tuples));
    const double mean = in.tuples / distinct;
    if (!in.deduplicate || mean < 1.0005 || base > 400) {
        out.count = in.tuples;
        out.bytes = in.tuples * in.tuple_bytes;
        return out;
    }
    if (mean > 60) {
        add_group(std::floor(mean), distinct, base, &out);
        return out;
    }
    const double rate = solve_rate(mean);
    double probability = std::exp(-rate) * rate / (1 - std::exp(-rate));
    if (!(probability > 0))
        probability = 0;
    for (int n = 1; n < 400; ++n) {
        add_group(n, distinct * probability, base, &out);
        probability *= rate / (n + 1);
        if (n > mean && probability < 1e-9)
            break;
    }
    return out;
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
    const items leaf = leaf_items(in);
    const double count = std::max(1.0, leaf.count);
    const double item = leaf.bytes / count + pointer;
    double level = std::ceil(count / per_page(item, leaf.extra / count, in.fillfactor));
    tree_size out{.pages = 1 + level, .height = 0};
    const double fanout = std::max(2.0, per_page(align(in.pivot_bytes) + pointer, 0, 70));
    while (level > 1) {
        level = std::ceil(level / fanout);
        out.pages += level;
        ++out.height;
    }
    return out;
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

double gin_pages(const gin_input &in) {
    const double distinct = std::max(1.0, std::min(in.distinct, in.entries));
    const double mean = in.entries / distinct;
    // Item pointers are stored as differences, seven bits a byte: the rarer the key, the longer.
    const double gap = std::max(1.0, in.table_pages * 2048 / std::max(1.0, mean));
    const double bytes_each = std::clamp(std::ceil(std::log2(gap + 1) / 7), 1.0, 6.0);
    const double inlined = align(in.key_bytes + 16 + std::min(mean * bytes_each + 6, 2000.0)) + pointer;
    // Keys arrive in order, so split pages stay half full; a build of several batches fills them.
    const double fill = in.entries > 1.5e6 ? 0.73 : 0.5;
    double pages = 2 + std::ceil(distinct * inlined / (usable * fill));
    if (mean * bytes_each > 2000) // posting trees of their own, whole pages
        pages += distinct * std::ceil(mean * bytes_each / (usable - 30));
    return pages;
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

} // namespace dbopt::core
