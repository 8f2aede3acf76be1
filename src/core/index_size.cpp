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

// How keys repeat is unknown; a Poisson that is never zero is right for random references and close
// for others.
double solve_rate(double mean) {
    double rate = mean;
    for (int i = 0; i < 60; ++i)
        rate = mean * (1 - std::exp(-rate));
    return std::max(rate, 1e-9);
}

class group_sizes {
  public:
    explicit group_sizes(double mean) : mean_(mean), rate_(mean > 60 ? mean : solve_rate(mean)) {}
    double next() {
        if (mean_ > 60) { // close to normal; twelve uniforms make one
            double sum = -6;
            for (int i = 0; i < 12; ++i)
                sum += uniform();
            return std::max(1.0, std::round(mean_ + sum * std::sqrt(mean_)));
        }
        const double none = std::exp(-rate_);
        const double u = none + uniform() * (1 - none);
        double n = 0, probability = none, sum = none;
        while (sum < u && n < 400) {
            ++n;
            probability *= rate_ / n;
            sum += probability;
        }
        return std::max(1.0, n);
    }

  private:
    double uniform() { // the same sizes every time
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return static_cast<double>(state_ >> 11) / 9007199254740992.0;
    }
    uint64_t state_ = 42;
    double mean_, rate_;
};

// Pages of a tree whose equal keys share posting lists: a part of it is filled as the server would.
double deduplicated_pages(const btree_input &in, double base, double mean, double distinct) {
    const double whole = 8 * std::max(1.0, std::round(base / 8)), rest = base - whole;
    const double most = std::max(2.0, std::floor((posting_limit - whole) / tid));
    constexpr double enough = 12000;
    leaf_filler leaf(in.fillfactor);
    group_sizes sizes(mean);
    double items = 0, rows = 0, groups = 0;
    for (; groups < distinct && items < enough; ++groups) {
        double left = sizes.next();
        for (; left > 0 && items < enough; ++items) {
            const double here = std::min(left, most);
            const double bytes = here <= 1 ? whole : align(whole + here * tid);
            leaf.add(bytes + rest, bytes - whole);
            rows += here;
            left -= here;
        }
    }
    return std::max(1.0, std::ceil(leaf.pages() * in.tuples / std::max(1.0, rows) - 0.001));
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
