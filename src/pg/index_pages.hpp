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
    std::vector<key_group> groups;     // leaf pages; entries marked dead are left out
    std::vector<tuple_address> addresses;
};
// Reuses the vectors of `out`.
void parse_btree_page(const char *page, btree_page &out);

struct index_facts {
    Oid access_method = InvalidOid;
    std::string method_name;
    Oid table = InvalidOid;
    bool valid = false, unique = false, partial = false;
    bool deduplicates = false; // a rebuild would
    int fillfactor = 90;
};
index_facts describe_index(Relation index);
// Nothing when the index can be measured, otherwise the reason for not doing so.
const char *index_obstacle(Relation index);

} // namespace dbopt::pg
