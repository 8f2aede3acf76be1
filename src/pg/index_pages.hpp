// What lies on a copied index page, per access method. No locks, no user-defined code: keys are
// compared byte by byte, as deduplication does for the types that allow it.
#pragma once
#include "pg/pages.hpp"

namespace dbopt::pg {

struct tuple_address {
    uint32_t block;
    uint16_t offset;
    auto operator<=>(const tuple_address &) const = default;
};

// Entries of one b-tree page that have the same key, in order.
struct key_group {
    uint16_t key_bytes; // aligned size of an entry with one row
    uint16_t rows;      // addresses, in `addresses` from `first` on
    uint16_t first;
};

enum class page_kind { leaf, internal, reusable, other };

struct btree_page {
    page_kind kind;
    uint32_t free_bytes = 0, room = 0; // leaf pages: unused bytes, and all that could be used
    uint32_t items = 0, item_bytes = 0;
    uint32_t left = 0, right = 0;      // neighbours in key order; 0: none
    bool goes_on = false;              // the last key goes on with the first entry of the right one
    std::vector<key_group> groups;     // leaf pages; entries marked dead are left out
    std::vector<tuple_address> addresses;
};
// Reuses the vectors of `out`.
void parse_btree_page(const char *page, btree_page &out);

// Pages of hash, GiST, SP-GiST, GIN and BRIN indexes, told apart as far as a prediction needs it.
struct plain_page {
    page_kind kind;
    bool pending = false;     // GIN: page of the pending list
    bool posting_tree = false; // GIN: leaf of a posting tree
    uint32_t room = 0, used = 0; // bytes; used counts live entries and their line pointers
    uint32_t entries = 0;     // live ones
    uint32_t gone = 0;        // SP-GiST: places of entries that were deleted
    uint32_t trees = 0;       // GIN: entries that lead to a posting tree
    // GIN: bytes of entries with 1, 2, 3 to 4, 5 to 8, 9 to 16 and more rows, without their lists of rows; the lists.
    static constexpr int row_classes = 6;
    uint32_t key_bytes[row_classes] = {}, list_bytes = 0;
    // Pending GIN entries: hash of the key, its size. Hash: codes that come often on this page, and how often.
    std::vector<std::pair<uint64_t, uint16_t>> keys;
};
void parse_hash_page(const char *page, plain_page &out);
void parse_gist_page(const char *page, plain_page &out);
void parse_gin_page(const char *page, plain_page &out);
void parse_brin_page(const char *page, plain_page &out);
void parse_spgist_page(const char *page, plain_page &out); // inner pages: used counts, too

struct index_facts {
    Oid access_method = InvalidOid;
    std::string method_name;
    Oid table = InvalidOid;
    bool valid = false, unique = false, partial = false;
    bool deduplicates = false; // a rebuild would
    bool sorted_build = false; // GiST: every operator class supports it
    bool one_order = false;    // GiST: its values lie on a line (they have a b-tree order, as ranges have)
    uint32_t pages_per_range = 0; // BRIN
    int fillfactor = 90;
};
index_facts describe_index(Relation index);
// The table of an index; of anything else, itself.
Oid table_of(Oid relation);
// Nothing when the index can be measured, otherwise the reason for not doing so.
const char *index_obstacle(Relation index);

} // namespace dbopt::pg
