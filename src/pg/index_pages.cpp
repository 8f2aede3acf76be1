#include "pg/index_pages.hpp"

extern "C" {
#include "access/brin.h"
#include "access/brin_page.h"
#include "access/gin_private.h"
#include "access/gist_private.h"
#include "access/hash.h"
#include "access/nbtree.h"
#include "access/spgist_private.h"
#include "catalog/index.h"
#include "catalog/pg_index.h"
#include "commands/defrem.h"
}

namespace dbopt::pg {

const char *index_obstacle(Relation index) {
    if (index->rd_rel->relkind == RELKIND_PARTITIONED_INDEX)
        return "is a partitioned index: measure the indexes of its partitions";
    if (index->rd_rel->relkind != RELKIND_INDEX)
        return "is not an index: use dbopt.table_bloat";
    if (RELATION_IS_OTHER_TEMP(index))
        return "index of a temporary table of another session";
    if (index->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED && RecoveryInProgress())
        return "unlogged indexes have no contents during recovery";
    if (!index->rd_index->indisvalid)
        return "index is not valid";
    return nullptr;
}

Oid table_of(Oid relation) {
    const Oid table = call([&] { return IndexGetRelation(relation, true); });
    return OidIsValid(table) ? table : relation;
}

index_facts describe_index(Relation index) {
    index_facts f;
    f.access_method = index->rd_rel->relam;
    f.table = index->rd_index->indrelid;
    f.valid = index->rd_index->indisvalid;
    f.unique = index->rd_index->indisunique;
    call([&] {
        f.partial = !heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, nullptr);
        switch (f.access_method) {
        case BTREE_AM_OID:
            f.fillfactor = BTGetFillFactor(index);
            f.deduplicates = !f.unique && BTGetDeduplicateItems(index) && _bt_allequalimage(index, false);
            break;
        case HASH_AM_OID: f.fillfactor = HashGetTargetPageUsage(index) * 100 / BLCKSZ; break;
        case GIST_AM_OID:
            f.fillfactor = index->rd_options != nullptr
                               ? reinterpret_cast<GiSTOptions *>(index->rd_options)->fillfactor
                               : GIST_DEFAULT_FILLFACTOR;
            f.sorted_build = true;
            for (int i = 1; i <= IndexRelationGetNumberOfKeyAttributes(index); ++i)
                f.sorted_build = f.sorted_build &&
                                 OidIsValid(index_getprocid(index, i, GIST_SORTSUPPORT_PROC));
            f.one_order = OidIsValid(GetDefaultOpClass(index->rd_opcintype[0], BTREE_AM_OID));
            break;
        case BRIN_AM_OID: f.pages_per_range = BrinGetPagesPerRange(index); break;
        default: break;
        }
    });
    const char *name = call([&] { return get_am_name(f.access_method); });
    f.method_name = name != nullptr ? name : "";
    return f;
}

namespace {

// A damaged page may say anything: what does not lie within the page is not looked at.
bool within(ItemId id) {
    return ItemIdHasStorage(id) && ItemIdGetLength(id) >= sizeof(IndexTupleData) &&
           ItemIdGetOffset(id) + ItemIdGetLength(id) <= BLCKSZ;
}
// The same for an entry of so many bytes and the list of rows in it.
bool within(IndexTuple tuple, uint32_t length) {
    if (IndexTupleSize(tuple) > length)
        return false;
    if (!BTreeTupleIsPosting(tuple))
        return true;
    return BTreeTupleGetPostingOffset(tuple) >= sizeof(IndexTupleData) &&
           BTreeTupleGetPostingOffset(tuple) + BTreeTupleGetNPosting(tuple) * sizeof(ItemPointerData) <=
               length;
}

struct key_bytes { // the part of an entry that deduplication compares
    const char *data;
    uint32_t size;
    bool operator==(const key_bytes &o) const {
        return size == o.size && memcmp(data, o.data, size) == 0;
    }
};

} // namespace

void parse_btree_page(const char *raw, btree_page &out) {
    out.groups.clear();
    out.addresses.clear();
    out.items = out.item_bytes = out.free_bytes = out.room = 0;
    out.kind = page_kind::reusable;
    Page page = const_cast<char *>(raw);
    if (PageIsNew(page) || PageGetSpecialSize(page) != MAXALIGN(sizeof(BTPageOpaqueData)))
        return;
    BTPageOpaque opaque = BTPageGetOpaque(page);
    if (P_ISMETA(opaque)) {
        out.kind = page_kind::other;
        return;
    }
    if (P_IGNORE(opaque))
        return;
    out.kind = P_ISLEAF(opaque) ? page_kind::leaf : page_kind::internal;
    out.room = reinterpret_cast<PageHeader>(page)->pd_special - SizeOfPageHeaderData;
    out.free_bytes = PageGetFreeSpace(page);
    out.left = opaque->btpo_prev;
    out.right = opaque->btpo_next;
    const OffsetNumber last = PageGetMaxOffsetNumber(page);
    // A page that was split between equal keys needs the row's address in its high key.
    out.goes_on = false;
    if (!P_RIGHTMOST(opaque) && last >= P_HIKEY && within(PageGetItemId(page, P_HIKEY))) {
        auto high = reinterpret_cast<IndexTuple>(PageGetItem(page, PageGetItemId(page, P_HIKEY)));
        out.goes_on = BTreeTupleIsPivot(high) && BTreeTupleGetHeapTID(high) != nullptr;
    }
    key_bytes previous{nullptr, 0};
    for (OffsetNumber n = P_FIRSTDATAKEY(opaque); n <= last; ++n) {
        ItemId id = PageGetItemId(page, n);
        auto tuple = reinterpret_cast<IndexTuple>(PageGetItem(page, id));
        if (!within(id))
            continue;
        out.item_bytes += ItemIdGetLength(id);
        ++out.items;
        if (out.kind == page_kind::internal || ItemIdIsDead(id) || !within(tuple, ItemIdGetLength(id)))
            continue;
        const bool posting = BTreeTupleIsPosting(tuple);
        const uint32_t size = posting ? BTreeTupleGetPostingOffset(tuple) : IndexTupleSize(tuple);
        const key_bytes key{reinterpret_cast<const char *>(tuple) + sizeof(IndexTupleData),
                            size - static_cast<uint32_t>(sizeof(IndexTupleData))};
        if (previous.data == nullptr || !(key == previous))
            out.groups.push_back({static_cast<uint16_t>(MAXALIGN(size)), 0,
                                  static_cast<uint16_t>(out.addresses.size())});
        previous = key;
        const int rows = posting ? BTreeTupleGetNPosting(tuple) : 1;
        ItemPointer tids = posting ? BTreeTupleGetPosting(tuple) : &tuple->t_tid;
        for (int i = 0; i < rows; ++i)
            out.addresses.push_back({ItemPointerGetBlockNumberNoCheck(&tids[i]),
                                     ItemPointerGetOffsetNumberNoCheck(&tids[i])});
        out.groups.back().rows += static_cast<uint16_t>(rows);
    }
}

namespace {

// Counts what is in use between the header and the special space.
void count_items(Page page, plain_page &out) {
    const OffsetNumber last = PageGetMaxOffsetNumber(page);
    for (OffsetNumber n = FirstOffsetNumber; n <= last; ++n) {
        ItemId id = PageGetItemId(page, n);
        if (!ItemIdIsUsed(id) || ItemIdIsDead(id) || !ItemIdHasStorage(id))
            continue;
        ++out.entries;
        out.used += MAXALIGN(ItemIdGetLength(id)) + sizeof(ItemIdData);
    }
}

bool begin_page(Page page, size_t special, plain_page &out) {
    out.kind = page_kind::reusable;
    out.pending = out.posting_tree = false;
    out.room = out.used = out.entries = out.gone = out.trees = 0;
    std::fill_n(out.key_bytes, plain_page::row_classes, 0);
    out.list_bytes = 0;
    out.keys.clear();
    if (PageIsNew(page) || PageGetSpecialSize(page) != MAXALIGN(special))
        return false;
    out.room = reinterpret_cast<PageHeader>(page)->pd_special - SizeOfPageHeaderData;
    return true;
}

// Entries of a hash page lie in the order of their codes. Short runs are left out: they are many and say little.
void count_frequent(Page page, plain_page &out) {
    constexpr uint16_t worth_it = 8;
    const OffsetNumber last = PageGetMaxOffsetNumber(page);
    for (OffsetNumber n = FirstOffsetNumber; n <= last; ++n) {
        ItemId id = PageGetItemId(page, n);
        if (!within(id) || ItemIdIsDead(id) || ItemIdGetLength(id) < sizeof(IndexTupleData) + sizeof(uint32))
            continue;
        uint32 code = 0;
        memcpy(&code, PageGetItem(page, id) + sizeof(IndexTupleData), sizeof code);
        if (out.keys.empty() || out.keys.back().first != code) {
            if (!out.keys.empty() && out.keys.back().second < worth_it)
                out.keys.pop_back();
            out.keys.push_back({code, 0});
        }
        ++out.keys.back().second;
    }
    if (!out.keys.empty() && out.keys.back().second < worth_it)
        out.keys.pop_back();
}

int class_of(uint32_t rows) {
    return rows <= 2 ? (rows <= 1 ? 0 : 1) : rows <= 4 ? 2 : rows <= 8 ? 3 : rows <= 16 ? 4 : 5;
}

} // namespace

void parse_hash_page(const char *raw, plain_page &out) {
    Page page = const_cast<char *>(raw);
    if (!begin_page(page, sizeof(HashPageOpaqueData), out))
        return;
    const uint16 type = HashPageGetOpaque(page)->hasho_flag & LH_PAGE_TYPE;
    if (type == LH_META_PAGE || type == LH_BITMAP_PAGE) {
        out.kind = page_kind::other;
    } else if (type == LH_BUCKET_PAGE || type == LH_OVERFLOW_PAGE) {
        out.kind = page_kind::leaf;
        count_items(page, out);
        count_frequent(page, out);
    }
}

void parse_gist_page(const char *raw, plain_page &out) {
    Page page = const_cast<char *>(raw);
    if (!begin_page(page, sizeof(GISTPageOpaqueData), out) || GistPageIsDeleted(page))
        return;
    out.kind = GistPageIsLeaf(page) ? page_kind::leaf : page_kind::internal;
    count_items(page, out);
}

void parse_gin_page(const char *raw, plain_page &out) {
    Page page = const_cast<char *>(raw);
    if (!begin_page(page, sizeof(GinPageOpaqueData), out) || GinPageIsDeleted(page))
        return;
    const uint16 flags = GinPageGetOpaque(page)->flags;
    if ((flags & GIN_META) != 0) {
        out.kind = page_kind::other;
    } else if ((flags & GIN_LIST) != 0) {
        out.kind = page_kind::leaf;
        out.pending = true;
        const OffsetNumber last = PageGetMaxOffsetNumber(page);
        for (OffsetNumber n = FirstOffsetNumber; n <= last; ++n) {
            if (!within(PageGetItemId(page, n)))
                continue;
            auto tuple = reinterpret_cast<IndexTuple>(PageGetItem(page, PageGetItemId(page, n)));
            if (IndexTupleSize(tuple) > ItemIdGetLength(PageGetItemId(page, n)))
                continue;
            uint64_t hash = 1469598103934665603ULL; // FNV-1a over everything but the address
            for (size_t i = offsetof(IndexTupleData, t_info); i < IndexTupleSize(tuple); ++i)
                hash = (hash ^ static_cast<unsigned char>(reinterpret_cast<char *>(tuple)[i])) *
                       1099511628211ULL;
            out.keys.push_back({hash, static_cast<uint16_t>(IndexTupleSize(tuple))});
        }
    } else if ((flags & GIN_DATA) != 0) {
        out.kind = (flags & GIN_LEAF) != 0 ? page_kind::leaf : page_kind::internal;
        out.posting_tree = true;
        if (out.kind == page_kind::leaf && (flags & GIN_COMPRESSED) != 0)
            out.used = GinDataLeafPageGetPostingListSize(page);
    } else if ((flags & GIN_LEAF) == 0) {
        out.kind = page_kind::internal;
    } else {
        out.kind = page_kind::leaf;
        const OffsetNumber last = PageGetMaxOffsetNumber(page);
        for (OffsetNumber n = FirstOffsetNumber; n <= last; ++n) {
            ItemId id = PageGetItemId(page, n);
            if (!within(id))
                continue;
            auto tuple = reinterpret_cast<IndexTuple>(PageGetItem(page, id));
            // VACUUM never removes a key, even when no row is left.
            if (!GinIsPostingTree(tuple) && GinGetNPosting(tuple) == 0)
                continue;
            const uint32_t size = MAXALIGN(ItemIdGetLength(id)) + sizeof(ItemIdData);
            const bool tree = GinIsPostingTree(tuple);
            const uint32_t list =
                tree ? 0 : ItemIdGetLength(id) - Min(GinGetPostingOffset(tuple), ItemIdGetLength(id));
            ++out.entries;
            out.trees += tree ? 1 : 0;
            out.used += size;
            out.key_bytes[tree ? plain_page::row_classes - 1 : class_of(GinGetNPosting(tuple))] += size - list;
            out.list_bytes += list;
        }
    }
}

// Redirects and placeholders are what deletes and moves leave behind.
void parse_spgist_page(const char *raw, plain_page &out) {
    Page page = const_cast<char *>(raw);
    if (!begin_page(page, sizeof(SpGistPageOpaqueData), out) || SpGistPageIsDeleted(page))
        return;
    if (SpGistPageIsMeta(page)) {
        out.kind = page_kind::other;
        return;
    }
    out.kind = SpGistPageIsLeaf(page) ? page_kind::leaf : page_kind::internal;
    const OffsetNumber last = PageGetMaxOffsetNumber(page);
    for (OffsetNumber n = FirstOffsetNumber; n <= last; ++n) {
        ItemId id = PageGetItemId(page, n);
        if (!within(id))
            continue;
        if (reinterpret_cast<SpGistDeadTuple>(PageGetItem(page, id))->tupstate != SPGIST_LIVE) {
            ++out.gone;
            continue;
        }
        ++out.entries;
        out.used += MAXALIGN(ItemIdGetLength(id)) + sizeof(ItemIdData);
    }
}

void parse_brin_page(const char *raw, plain_page &out) {
    Page page = const_cast<char *>(raw);
    if (!begin_page(page, sizeof(BrinSpecialSpace), out))
        return;
    out.kind = BRIN_IS_REGULAR_PAGE(page) ? page_kind::leaf : page_kind::other;
    if (out.kind == page_kind::leaf)
        count_items(page, out);
}

} // namespace dbopt::pg
