// Counters of many keys: folded in memory first, kept in rows of about a kilobyte.
//
// A counting state has one entry per group, or per group and value. As a table row each entry would
// cost 50 bytes and an index entry, and a change of it a new row. Packed, an entry costs its key and
// its counters, and one write serves all changed entries of a bucket. The bucket follows from the key,
// so that nothing is in any order, and doubling the number of buckets splits each in two.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace dbopt::core {

__extension__ typedef __int128 wide; // a sum of as many 64-bit values as there are

// 64 well mixed bits of a key of at most 16 bytes: the low ones tell its bucket. The seed is secret: keys
// are what people put into tables, and some would like all of them to meet in one bucket.
uint64_t mix_key(const char *key, int bytes, uint64_t seed);

// Keys of one length and their counters, in order of arrival. Numbers of entries stay as they are.
template <class T> class count_table {
  public:
    count_table(int key_bytes, int counters, uint64_t seed = 0)
        : key_(key_bytes), counters_(counters), seed_(seed), place_(1024) {}
    // The number of the entry; a new one starts with zeros.
    uint32_t at(const char *key) {
        if (2 * (size_ + 1) > place_.size())
            grow();
        const size_t mask = place_.size() - 1;
        for (size_t p = mix_key(key, key_, seed_) >> 20 & mask;; p = (p + 1) & mask) {
            if (place_[p] == 0) {
                keys_.insert(keys_.end(), key, key + key_);
                values_.resize(values_.size() + counters_);
                place_[p] = static_cast<uint32_t>(++size_);
                return place_[p] - 1;
            }
            if (std::memcmp(&keys_[size_t{place_[p] - 1} * key_], key, key_) == 0)
                return place_[p] - 1;
        }
    }
    size_t size() const { return size_; }
    const char *key(uint32_t i) const { return &keys_[size_t{i} * key_]; }
    T *counters(uint32_t i) { return &values_[size_t{i} * counters_]; }
    const T *counters(uint32_t i) const { return &values_[size_t{i} * counters_]; }
    bool all_zero(uint32_t i) const {
        for (int c = 0; c < counters_; ++c)
            if (counters(i)[c] != 0)
                return false;
        return true;
    }
    uint64_t mixed(uint32_t i) const { return mix_key(key(i), key_, seed_); }
    size_t bytes() const { return keys_.capacity() + values_.capacity() * sizeof(T) + place_.size() * 4; }
    int key_bytes() const { return key_; }
    int width() const { return counters_; }
    void clear() { *this = count_table(key_, counters_, seed_); } // its memory goes, too

  private:
    void grow() {
        place_.assign(place_.size() * 2, 0);
        const size_t mask = place_.size() - 1;
        for (uint32_t i = 0; i < size_; ++i) {
            size_t p = mixed(i) >> 20 & mask;
            while (place_[p] != 0)
                p = (p + 1) & mask;
            place_[p] = i + 1;
        }
    }
    int key_, counters_;
    uint64_t seed_;
    size_t size_ = 0;
    std::vector<char> keys_;
    std::vector<T> values_;
    std::vector<uint32_t> place_; // number + 1; 0 is empty
};

// How an entry lies in a bucket: the key, then each counter in 4, 8 or 16 bytes. Counters of 4 and 8
// bytes count and are never negative; those of 16 are sums.
struct packed_layout {
    int key = 0;
    std::vector<int> counters;
    uint64_t seed = 0; // of mix_key()
    int width() const;
    // Buckets (a power of two) that hold so many entries in 600 to 1,200 bytes each.
    uint32_t buckets_for(uint64_t entries) const;
};

// Adds changes to the entries of one bucket. An entry whose counters are all zero goes.
class bucket_merger {
  public:
    explicit bucket_merger(const packed_layout &l) : layout_(l), width_(l.width()), before_(l.counters.size()), after_(l.counters.size()) {}
    void start(const char *bytes, size_t count) { bytes_.assign(bytes, count); }
    // nullptr, or what does not fit. before() and after() tell the entry's counters.
    template <class T> const char *add(const char *key, const T *change) {
        return add_at(find(key), key, change);
    }
    // For a key that is known not to be there.
    template <class T> const char *add_new(const char *key, const T *change) { return add_at(bytes_.size(), key, change); }
    const std::vector<wide> &before() const { return before_; }
    const std::vector<wide> &after() const { return after_; }
    const std::string &bytes() const { return bytes_; }
    int64_t fresh() const { return fresh_; } // entries that came, less those that went, since the beginning

  private:
    template <class T> const char *add_at(size_t at, const char *key, const T *change) {
        load(at);
        for (size_t c = 0; c < after_.size(); ++c)
            after_[c] = before_[c] + change[c];
        return store(at, key);
    }
    size_t find(const char *key) const;
    void load(size_t at);
    const char *store(size_t at, const char *key);
    packed_layout layout_;
    int width_;
    std::string bytes_;
    std::vector<wide> before_, after_;
    int64_t fresh_ = 0;
};

// Numbers of the entries of a table in order of their buckets. Those that are all zero are left out, unless
// they are `asked` for.
struct bucket_order {
    std::vector<uint32_t> entries;
    std::vector<uint32_t> starts; // of each bucket, and one more
};
template <class T>
bucket_order order_by_bucket(const count_table<T> &t, uint32_t buckets, const std::vector<uint32_t> &asked = {}) {
    bucket_order out;
    std::vector<bool> wanted(asked.empty() ? 0 : t.size());
    for (uint32_t i : asked)
        wanted[i] = true;
    out.starts.assign(size_t{buckets} + 1, 0);
    std::vector<uint32_t> where(t.size());
    for (uint32_t i = 0; i < t.size(); ++i) {
        where[i] = t.all_zero(i) && (asked.empty() || !wanted[i]) ? buckets : static_cast<uint32_t>(t.mixed(i) & (buckets - 1));
        if (where[i] < buckets)
            ++out.starts[where[i] + 1];
    }
    for (uint32_t b = 0; b < buckets; ++b)
        out.starts[b + 1] += out.starts[b];
    out.entries.resize(out.starts[buckets]);
    std::vector<uint32_t> next(out.starts.begin(), out.starts.end() - 1);
    for (uint32_t i = 0; i < t.size(); ++i)
        if (where[i] < buckets)
            out.entries[next[where[i]]++] = i;
    return out;
}

// A bucket split into `parts` (a power of two), when `buckets` become buckets * parts.
std::vector<std::string> split_bucket(const packed_layout &l, const char *bytes, size_t count, uint32_t buckets,
                                      uint32_t parts);

} // namespace dbopt::core
