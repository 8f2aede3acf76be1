// What a rebuild makes of hash and GiST indexes.
#pragma once
#include <cstdint>
#include <span>

namespace dbopt::core {

struct frequent_value { // of one hash code
    uint32_t hash;
    double entries;
};
struct hash_build {
    double entries = 0; // frequent ones included
    uint32_t fillfactor = 75;
    uint32_t page_bytes = 8192;
    std::span<const frequent_value> frequent = {}; // all of a value lies in one bucket
    double cluster = 1; // entries of the other values that come together, on average over the entries
};
// Pages, meta and bitmap pages included. Buckets come in powers of two and quarters of them; those
// that are not yet split hold twice as much and overflow. Keys that are not frequent are taken as evenly spread.
// Source: _hash_init, _hash_spareindex (access/hash/hashpage.c, hashutil.c).
double hash_pages(const hash_build &b);

struct fill_guess {
    double fill;  // share of a leaf's room
    double error; // relative, of the number of leaves
};
// How full the leaves of a GiST index become when it is built anew, from how full they are now (share of the room,
// one per sampled leaf; ascending, empty ones left out).
//
// Inserts in random places leave pages between half and 90 % full; uniform deletes shrink all of them alike, so the
// fullest pages tell by how much. Inserts in order (times, ranges) leave all pages alike at 45 to 49 %. A sorted
// build splits groups of four full pages and ends at two thirds, unless the input packs well: then all are full.
// The limits were chosen on eleven small indexes of PostgreSQL 15 and checked on the same ones: not independent of them.
// `entries`: per leaf; where few are left, chance makes pages uneven.
fill_guess gist_fill(std::span<const double> fills, double entries, bool sorted_build, bool one_order = false);

} // namespace dbopt::core
