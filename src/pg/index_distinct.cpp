// How many different keys a table holds: what decides how far a b-tree's posting lists shrink it.
#include "core/index_size.hpp"
#include "pg/index_sample.hpp"
#include "pg/whatif_internal.hpp"
#include <algorithm>
#include <bit>
#include <cmath>

namespace dbopt::pg::whatif {

namespace {

uint64_t mixed(uint64_t h, uint64_t more) {
    h = (h ^ more) * 0xD6E8FEB86659FD93u;
    return h ^ (h >> 29);
}

// Hashes of the sampled rows' keys. Open addressing: this runs for every set of columns.
class counter {
  public:
    explicit counter(size_t rows) : slots_(std::bit_ceil(rows * 2 + 2)) {}
    void add(uint64_t hash) {
        hash = hash == 0 ? 1 : hash;
        for (size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
            slot &s = slots_[at];
            if (s.hash == 0)
                s.hash = hash;
            if (s.hash != hash)
                continue;
            pairs_ += s.times++;
            distinct_ += s.times == 1;
            return;
        }
    }
    double pairs() const { return static_cast<double>(pairs_); } // of equal keys
    double distinct() const { return static_cast<double>(distinct_); }
    uint32_t times(uint64_t hash) const {
        hash = hash == 0 ? 1 : hash;
        for (size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1))
            if (slots_[at].hash == hash || slots_[at].hash == 0)
                return slots_[at].times;
    }
    std::vector<uint32_t> at_least(uint32_t times) const {
        std::vector<uint32_t> out;
        for (const slot &s : slots_)
            if (s.hash != 0 && s.times >= times)
                out.push_back(s.times);
        return out;
    }
    core::key_counts counts() const {
        core::key_counts out;
        for (const slot &s : slots_)
            if (s.hash != 0)
                out.add(s.times);
        return out;
    }

  private:
    struct slot {
        uint64_t hash = 0;
        uint32_t times = 0;
    };
    std::vector<slot> slots_;
    uint64_t pairs_ = 0, distinct_ = 0;
};

struct equalities {
    counter all, within_pages;
    explicit equalities(size_t rows) : all(rows), within_pages(rows) {}
    void add(uint64_t hash, int page) {
        all.add(hash);
        within_pages.add(mixed(hash, static_cast<uint64_t>(page) + 1));
    }
    double across_pages() const { return all.pairs() - within_pages.pairs(); }
};

double pairs_across(const std::vector<int> &page_of_row) {
    const double n = static_cast<double>(page_of_row.size());
    double within = 0;
    for (size_t i = 0, j = 0; i < page_of_row.size(); i = j) {
        for (j = i; j < page_of_row.size() && page_of_row[j] == page_of_row[i]; ++j)
            ;
        const double here = static_cast<double>(j - i);
        within += here * (here - 1) / 2;
    }
    return n * (n - 1) / 2 - within;
}

} // namespace

// ANALYZE undercounts values that lie together; whole pages do not, but for the groups that a page boundary
// cuts in two. Groups within a page tell how large groups are.
double size_model::distinct_column(Oid relation, AttrNumber number, std::vector<double> *sizes) {
    sample &s = sample_of(relation);
    const column_statistics st = statistics(relation, number);
    const double single = std::max(1.0, st.distinct + (st.null_fraction > 0 ? 1 : 0));
    if (!st.known || single >= 0.999 * s.tuples || s.rows.empty())
        return st.known ? std::min(single, s.tuples) : s.tuples;
    const column &c = column_of(relation, s, number);
    const size_t n = s.rows.size();
    auto same = [&](size_t a, size_t b) {
        return s.page_of_row[a] == s.page_of_row[b] && c.hash[a] == c.hash[b] && (c.width[a] < 0) == (c.width[b] < 0);
    };
    double groups = 0;
    for (size_t i = 0, j = 0; i < n; i = j) {
        for (j = i + 1; j < n && same(i, j); ++j)
            ;
        ++groups;
        const bool whole = i > 0 && j < n && s.page_of_row[i - 1] == s.page_of_row[i] && s.page_of_row[j] == s.page_of_row[i];
        if (whole && sizes != nullptr)
            sizes->push_back(static_cast<double>(j - i));
    }
    const double per_group = static_cast<double>(n) / groups;
    const bool together = per_group > 1.3 && per_group > 0.6 * s.tuples / single;
    if (std::abs(st.correlation) <= 0.95 && !together) {
        if (sizes != nullptr)
            sizes->clear();
        return std::min(s.tuples, single);
    }
    const double cut = s.sampled_pages * (per_group - 1) / per_group;
    const double found = std::min(s.tuples, std::max(single, (groups - cut) / static_cast<double>(n) * s.tuples));
    // Of large groups a page shows the small ones only; and not all may lie together.
    if (sizes != nullptr && (sizes->size() < 100 || found * per_group < 0.7 * s.tuples || per_group > 8))
        sizes->clear();
    return found;
}

double size_model::distinct_expression(Oid relation, Node *expression) {
    sample &s = sample_of(relation, deep);
    if (s.rows.empty() || s.rows[0]->t_tableOid != relation || !is_trusted(expression))
        return s.tuples;
    const column c = expression_column(relation, s, expression);
    counter keys(s.rows.size());
    for (size_t i = 0; i < s.rows.size(); ++i)
        keys.add(mixed(0, c.width[i] < 0 ? 0x51EDu : c.hash[i]));
    return core::distinct_in_whole(keys.counts(), s.tuples);
}

// How often two rows of different pages agree in a column, of all such pairs.
double size_model::collisions(Oid relation, AttrNumber number) {
    auto [it, fresh] = collisions_.try_emplace({relation, number}, 0);
    if (!fresh)
        return it->second;
    sample &s = sample_of(relation, deep);
    const column &c = column_of(relation, s, number);
    equalities seen(s.rows.size());
    for (size_t i = 0; i < s.rows.size(); ++i)
        seen.add(mixed(0, c.width[i] < 0 ? 0x51EDu : c.hash[i]), s.page_of_row[i]);
    return it->second = std::max(seen.across_pages() / std::max(1.0, pairs_across(s.page_of_row)),
                                 1 / std::max(1.0, distinct_column(relation, number)));
}

// Combinations that columns would show if they were independent, fewer by as much as rows that agree in
// one column agree in the others more often than chance has it; and no more than whole pages show: values
// that lie together (an order's lines) repeat within a page.
double size_model::distinct_together(const std::vector<const column *> &columns, const std::vector<AttrNumber> &numbers,
                                     Oid relation, double least) {
    sample &s = sample_of(relation, deep);
    double by_chance = pairs_across(s.page_of_row);
    std::vector<core::nullable_column> alone;
    for (const AttrNumber number : numbers) {
        by_chance *= collisions(relation, number);
        const double nulls = statistics(relation, number).null_fraction;
        alone.push_back({distinct_column(relation, number) - (nulls > 0 ? 1 : 0), nulls});
    }
    equalities seen(s.rows.size());
    for (size_t i = 0; i < s.rows.size(); ++i)
        seen.add(key_hash(columns, i), s.page_of_row[i]);
    const double n = static_cast<double>(s.rows.size());
    if (n >= 0.99 * s.tuples)
        return seen.all.distinct();
    const double equal = seen.across_pages();
    const double dependence = equal >= 2 ? std::max(1.0, equal / by_chance) : 1;
    const double by_page = seen.within_pages.distinct() / n * s.tuples;
    const double found = std::max(seen.all.distinct(), core::occupied(alone, s.tuples, dependence));
    return std::clamp(found, least, std::max(least, by_page));
}

uint64_t size_model::key_hash(const std::vector<const column *> &columns, size_t row) {
    uint64_t h = 0;
    for (const column *c : columns)
        h = mixed(h, c->width[row] < 0 ? 0x51EDu : c->hash[row]);
    return h;
}

// How evenly rows fall to keys: pairs of equal rows are the more frequent, the more uneven. What occurs very
// often is told apart, as is NULL. Pairs within a page do not count, where neighbours may be alike.
void size_model::spread(Oid relation, const std::vector<const column *> &columns, core::repetition *out) {
    sample &s = sample_of(relation, deep);
    const double n = static_cast<double>(s.rows.size());
    counter all(s.rows.size());
    for (size_t i = 0; i < s.rows.size(); ++i)
        all.add(key_hash(columns, i));
    const auto often = static_cast<uint32_t>(std::max(30.0, 4 * n / std::max(1.0, out->distinct)));
    double heads = 0;
    for (const uint32_t times : all.at_least(often)) {
        out->heads.push_back(times / n * s.tuples);
        heads += out->heads.back();
    }
    if (static_cast<double>(out->heads.size()) >= out->distinct - 0.5) { // nothing else: they share all rows
        out->heads.clear();
        return;
    }
    equalities seen(s.rows.size());
    std::vector<int> pages;
    for (size_t i = 0; i < s.rows.size(); ++i)
        if (const uint64_t h = key_hash(columns, i); all.times(h) < often) {
            seen.add(h, s.page_of_row[i]);
            pages.push_back(s.page_of_row[i]);
        }
    const double rows = s.tuples - heads, keys = out->distinct - static_cast<double>(out->heads.size());
    const double pairs = seen.across_pages(), mean = rows / std::max(1.0, keys);
    if (pages.empty() || mean < 1.02 || pairs < 20)
        return;
    const double off = pairs / std::max(1.0, pairs_across(pages)) * rows - mean; // dispersion - 1
    const double doubt = (mean + 1) / std::sqrt(pairs);
    const double sure = 1 - 4 * doubt * doubt / std::max(1e-9, off * off);
    out->dispersion = std::max(0.0, 1 + off * std::max(0.0, sure));
}

core::repetition size_model::repetition_of(const index_spec &spec) {
    std::vector<AttrNumber> numbers;
    for (const key &k : spec.keys)
        numbers.push_back(k.column);
    std::sort(numbers.begin(), numbers.end());
    const bool expressions = std::find(numbers.begin(), numbers.end(), 0) != numbers.end();
    if (!expressions)
        if (const auto it = known_.find({spec.relation, numbers}); it != known_.end())
            return it->second;
    const double tuples = sample_of(spec.relation).tuples;
    core::repetition out;
    double possible = 1, single = 1;
    for (const key &k : spec.keys) {
        const double d = k.column != 0 ? distinct_column(spec.relation, k.column, spec.keys.size() == 1 ? &out.observed : nullptr)
                                       : distinct_expression(spec.relation, k.expression);
        single = std::max(single, d);
        possible *= std::max(1.0, d);
    }
    out.distinct = std::min(single, tuples);
    if (single < 0.999 * tuples && !sample_of(spec.relation).rows.empty()) {
        if (expressions) {
            if (spec.keys.size() > 1)
                out.distinct = std::max(single, core::occupied(possible, tuples));
            return out;
        }
        sample &s = sample_of(spec.relation, deep);
        std::vector<const column *> columns;
        for (const AttrNumber number : numbers)
            columns.push_back(&column_of(spec.relation, s, number));
        if (spec.keys.size() > 1)
            out.distinct = distinct_together(columns, numbers, spec.relation, single);
        if (out.observed.empty())
            spread(spec.relation, columns, &out);
    }
    if (!expressions)
        known_[{spec.relation, numbers}] = out;
    return out;
}

} // namespace dbopt::pg::whatif
