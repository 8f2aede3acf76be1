#include "core/packing.hpp"
#include <algorithm>
#include <utility>

namespace dbopt::core {

heap_packer::heap_packer(const options &o)
    : o_(o), usable_(o.layout.page_bytes - o.layout.header_bytes),
      full_at_(usable_ - std::min(usable_, o.layout.page_bytes * (100 - o.fillfactor) / 100)) {}

// The first tuple of a page always fits; the others while fillfactor and line pointers allow it.
void heap_packer::add_run(uint32_t item, uint32_t times) {
    while (times > 0) {
        uint32_t fit = 0;
        if (count_ > 0 && count_ < o_.max_tuples && used_ + item <= full_at_)
            fit = std::min({times, o_.max_tuples - count_, (full_at_ - used_) / item});
        if (fit == 0) {
            full_ += count_ > 0 ? 1 : 0;
            used_ = count_ = 0;
            fit = 1;
        }
        used_ = std::min(used_ + fit * item, usable_);
        count_ += fit;
        times -= fit;
    }
}

double heap_packer::pages() const {
    if (count_ == 0)
        return static_cast<double>(full_);
    const double by_bytes = static_cast<double>(used_) / std::max(1u, full_at_);
    const double by_count = static_cast<double>(count_) / o_.max_tuples;
    return static_cast<double>(full_) + std::min(1.0, std::max(by_bytes, by_count));
}

btree_packer::btree_packer(const options &o)
    : o_(o),
      usable_(o.layout.page_bytes - o.layout.header_bytes - o.special_bytes -
              2 * o.layout.line_pointer_bytes),
      reserve_(o.layout.page_bytes * (100 - o.fillfactor) / 100),
      max_posting_(o.layout.page_bytes * 10 / 100 / o.layout.alignment * o.layout.alignment -
                   o.layout.line_pointer_bytes) {}

void btree_packer::put(uint32_t bytes, uint32_t posting_bytes) {
    const uint32_t item = bytes + o_.layout.line_pointer_bytes;
    const uint32_t left = usable_ - used_;
    if (count_ > 1 && (left < bytes + o_.layout.alignment || left + last_posting_ < reserve_)) {
        // The last item moves on to the next page and leaves its key, without its list of rows, as
        // high key: that list does not count as filling the page.
        ++full_;
        used_ = last_;
        count_ = 1;
    }
    used_ = std::min(used_ + item, usable_);
    last_ = item;
    last_posting_ = posting_bytes;
    ++count_;
}

void btree_packer::add(uint32_t key_bytes, uint32_t count, bool cut) {
    if (!o_.deduplicate) {
        for (; count > 0; --count)
            put(key_bytes, 0);
        return;
    }
    constexpr uint32_t tid_bytes = 6;
    const uint32_t most = key_bytes + 2 * tid_bytes > max_posting_
                              ? 1 : (max_posting_ - key_bytes) / tid_bytes;
    cut = cut && count >= 8; // a small group is hardly cut, and its neighbours are small as well
    if (cut)
        count += std::exchange(waiting_, 0);
    while (count > 0) {
        const uint32_t rows = std::min(count, most);
        if (cut && rows < most) {
            waiting_ = rows;
            return;
        }
        const uint32_t merged = align_up(key_bytes + rows * tid_bytes, o_.layout.alignment);
        put(rows == 1 ? key_bytes : merged, rows == 1 ? 0 : merged - key_bytes);
        count -= rows;
    }
}

double btree_packer::pages() const {
    if (count_ == 0)
        return static_cast<double>(full_);
    const double share = static_cast<double>(used_) / std::max(1u, usable_ - reserve_);
    return static_cast<double>(full_) + std::min(1.0, share);
}

} // namespace dbopt::core
