#include "core/history_code.hpp"
#include <stdexcept>

namespace dbopt::core {

namespace {

void put(std::string &out, uint64_t n) {
    for (; n >= 0x80; n >>= 7)
        out.push_back(static_cast<char>(n | 0x80));
    out.push_back(static_cast<char>(n));
}

uint64_t take(std::string_view &in) {
    uint64_t n = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (in.empty())
            break;
        const auto byte = static_cast<unsigned char>(in.front());
        in.remove_prefix(1);
        n |= uint64_t{byte & 0x7fU} << shift;
        if (byte < 0x80)
            return n;
    }
    throw std::invalid_argument("damaged history: an integer does not end");
}

// Differences wrap around in unsigned arithmetic, so that every pair of values can be told.
uint64_t zigzag(uint64_t difference) {
    return (difference << 1) ^ (0 - (difference >> 63));
}
uint64_t unzigzag(uint64_t n) { return (n >> 1) ^ (0 - (n & 1)); }

void put_object(std::string &out, const history_values &now, const history_values &old, bool known) {
    uint64_t mask = known ? 0 : uint64_t{1} << history_width; // a new object may be all zeroes
    for (size_t i = 0; i < history_width; ++i)
        if (now[i] != old[i])
            mask |= uint64_t{1} << i;
    put(out, mask);
    for (size_t i = 0; i < history_width; ++i)
        if (now[i] != old[i])
            put(out, zigzag(static_cast<uint64_t>(now[i]) - static_cast<uint64_t>(old[i])));
}

} // namespace

std::string encode_history(const history_objects &now, const history_objects &before) {
    std::string out;
    uint64_t last = 0;
    auto n = now.begin();
    auto b = before.begin();
    const auto key = [&](uint64_t k) {
        put(out, k - last);
        last = k;
    };
    while (n != now.end() || b != before.end()) {
        if (n == now.end() || (b != before.end() && b->first < n->first)) {
            key(b->first);
            put(out, 0); // gone
            ++b;
        } else if (b == before.end() || n->first < b->first) {
            key(n->first);
            put_object(out, n->second, history_values{}, false);
            ++n;
        } else {
            if (n->second != b->second) {
                key(n->first);
                put_object(out, n->second, b->second, true);
            }
            ++n;
            ++b;
        }
    }
    return out;
}

void apply_history(std::string_view bytes, history_objects &state) {
    uint64_t key = 0;
    while (!bytes.empty()) {
        key += take(bytes);
        const uint64_t mask = take(bytes);
        if (mask >> (history_width + 1) != 0)
            throw std::invalid_argument("damaged history: unknown columns");
        if (mask == 0) {
            state.erase(key);
            continue;
        }
        if (mask >> history_width == 0 && !state.contains(key))
            throw std::invalid_argument("damaged history: a change of an unknown object");
        history_values &v = state[key];
        for (size_t i = 0; i < history_width; ++i)
            if ((mask >> i & 1) != 0)
                v[i] = static_cast<int64_t>(static_cast<uint64_t>(v[i]) + unzigzag(take(bytes)));
    }
}

} // namespace dbopt::core
