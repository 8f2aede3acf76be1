#include "core/packed_counts.hpp"
#include <algorithm>

namespace dbopt::core {

static uint64_t folded(uint64_t a, uint64_t b) {
    const auto product = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t mix_key(const char *key, int bytes, uint64_t seed) {
    uint64_t a = 0, b = 0;
    std::memcpy(&a, key, static_cast<size_t>(std::min(bytes, 8)));
    if (bytes > 8)
        std::memcpy(&b, key + 8, static_cast<size_t>(std::min(bytes, 16) - 8));
    // Both halves of a product of two secrets: who does not know them cannot choose keys that collide.
    const uint64_t one = seed ^ 0x9e3779b97f4a7c15u, two = std::rotl(seed, 32) * 0xc2b2ae3d27d4eb4fu ^ 0xd1b54a32d192ed03u;
    uint64_t h = folded(a ^ one, b ^ two) ^ std::rotl(a, 32);
    h = folded(h ^ two, 0xff51afd7ed558ccdu);
    return h ^ h >> 33;
}

int packed_layout::width() const {
    int w = key;
    for (int c : counters)
        w += c;
    return w;
}

uint32_t packed_layout::buckets_for(uint64_t entries) const {
    const uint64_t wanted = entries * static_cast<uint64_t>(width()) / 1200 + 1;
    return static_cast<uint32_t>(std::bit_ceil(std::min<uint64_t>(wanted, 1u << 30)));
}

size_t bucket_merger::find(const char *key) const {
    const size_t width = static_cast<size_t>(width_), length = static_cast<size_t>(layout_.key);
    const char *from = bytes_.data(), *end = from + bytes_.size();
    if (length < 8) {
        for (; from < end; from += width)
            if (std::memcmp(from, key, length) == 0)
                break;
        return static_cast<size_t>(from - bytes_.data());
    }
    // The last eight bytes tell most keys apart (the first are a flag and the group's own).
    uint64_t tail, here;
    std::memcpy(&tail, key + length - 8, 8);
    for (; from < end; from += width) {
        std::memcpy(&here, from + length - 8, 8);
        if (here == tail && std::memcmp(from, key, length) == 0)
            break;
    }
    return static_cast<size_t>(from - bytes_.data());
}

template <class T> static wide number_at(const char *from) {
    T n;
    std::memcpy(&n, from, sizeof n);
    return n;
}

void bucket_merger::load(size_t at) {
    if (at == bytes_.size()) {
        std::fill(before_.begin(), before_.end(), wide{0});
        return;
    }
    const char *from = bytes_.data() + at + layout_.key;
    for (size_t c = 0; c < before_.size(); ++c) {
        const int n = layout_.counters[c];
        before_[c] = n == 4 ? number_at<uint32_t>(from) : n == 8 ? number_at<int64_t>(from) : number_at<wide>(from);
        from += n;
    }
}

const char *bucket_merger::store(size_t at, const char *key) {
    const size_t width = static_cast<size_t>(width_);
    bool zero = true;
    for (size_t c = 0; c < after_.size(); ++c) {
        const int n = layout_.counters[c];
        if (n < 16 && after_[c] < 0)
            return "something was removed twice";
        if (n < 16 && after_[c] > (n == 4 ? wide{UINT32_MAX} : wide{INT64_MAX}))
            return "a counter is full";
        zero = zero && after_[c] == 0;
    }
    const bool known = at < bytes_.size();
    if (zero) {
        if (known) {
            if (at + width < bytes_.size())
                bytes_.replace(at, width, bytes_.substr(bytes_.size() - width));
            bytes_.resize(bytes_.size() - width);
            --fresh_;
        }
        return nullptr;
    }
    if (!known) {
        bytes_.append(key, static_cast<size_t>(layout_.key)).resize(at + width);
        ++fresh_;
    }
    char *to = bytes_.data() + at + layout_.key;
    for (size_t c = 0; c < after_.size(); ++c) {
        std::memcpy(to, &after_[c], static_cast<size_t>(layout_.counters[c])); // low bytes first
        to += layout_.counters[c];
    }
    return nullptr;
}

static_assert(std::endian::native == std::endian::little, "counters are cut to their low bytes");

std::vector<std::string> split_bucket(const packed_layout &l, const char *bytes, size_t count, uint32_t buckets,
                                      uint32_t parts) {
    std::vector<std::string> out(parts);
    const size_t width = static_cast<size_t>(l.width());
    for (size_t at = 0; at + width <= count; at += width)
        out[mix_key(bytes + at, l.key, l.seed) / buckets & (parts - 1)].append(bytes + at, width);
    return out;
}

} // namespace dbopt::core
