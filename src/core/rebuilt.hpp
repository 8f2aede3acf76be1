// Size of a freshly built hash index.
#pragma once
#include <cstdint>

namespace dbopt::core {

struct hash_build {
    double entries = 0;
    uint32_t fillfactor = 75;
    uint32_t page_bytes = 8192;
};
// Pages, meta and bitmap pages included. Buckets come in powers of two and quarters of them; those
// that are not yet split hold twice as much and overflow. Keys are taken as evenly spread.
// Source: _hash_init, _hash_spareindex (access/hash/hashpage.c, hashutil.c).
double hash_pages(const hash_build &b);

} // namespace dbopt::core
