// A hash of a row by the bytes of its values, fast enough to prove two tables of gigabytes equal.
//
// Sums of such hashes over many rows compare contents regardless of order. The mixing is a multiply
// of 64 by 64 bits, both halves folded (the idea of wyhash); every value is led by its length, so
// that ('ab', 'c') and ('a', 'bc') differ. Not for untrusted keys of hash tables.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace dbopt::core {

class row_hasher {
  public:
    void word(uint64_t w) { state_ = folded(state_ ^ w, multiplier_); }
    void null() { word(null_mark_); }
    void bytes(const void *data, size_t length) {
        word(length + 1);
        const auto *p = static_cast<const unsigned char *>(data);
        for (; length >= 8; p += 8, length -= 8)
            word(load(p, 8));
        if (length > 0)
            word(load(p, length));
    }
    uint64_t value() const { return folded(state_ ^ second_, multiplier_); }

  private:
    static constexpr uint64_t multiplier_ = 0x9E3779B97F4A7C15, second_ = 0xD1B54A32D192ED03,
                              null_mark_ = 0xA0761D6478BD642F;
    static uint64_t load(const unsigned char *p, size_t length) {
        uint64_t w = 0;
        std::memcpy(&w, p, length);
        return w;
    }
    static uint64_t folded(uint64_t a, uint64_t b) {
        const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
        // The added operand keeps a product of zero from forgetting the state.
        return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64) ^ (a << 32 | a >> 32);
    }
    uint64_t state_ = 0x8EBC6AF09C88C6E3;
};

// Rows of one range: their number and the sum of their hashes, modulo 2^64.
struct content_sum {
    int64_t rows = 0;
    uint64_t hash = 0;
    void add(uint64_t row_hash) { ++rows, hash += row_hash; }
    void remove(uint64_t row_hash) { --rows, hash -= row_hash; }
    void add(const content_sum &other) { rows += other.rows, hash += other.hash; }
    bool operator==(const content_sum &) const = default;
};

} // namespace dbopt::core
