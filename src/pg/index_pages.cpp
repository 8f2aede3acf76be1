#include "pg/index_pages.hpp"

extern "C" {
#include "access/gist_private.h"
#include "access/hash.h"
#include "access/nbtree.h"
#include "catalog/pg_index.h"
#include "commands/defrem.h"
}

namespace dbopt::pg {

const char *index_obstacle(Relation index) {
    if (index->rd_rel->relkind != RELKIND_INDEX)
        return "is not an index with storage";
    if (RELATION_IS_OTHER_TEMP(index))
        return "index of a temporary table of another session";
    if (index->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED && RecoveryInProgress())
        return "unlogged indexes have no contents during recovery";
    if (!index->rd_index->indisvalid)
        return "index is not valid";
    return nullptr;
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
            break;
        default: break;
        }
    });
    const char *name = call([&] { return get_am_name(f.access_method); });
    f.method_name = name != nullptr ? name : "";
    return f;
}

namespace {

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
    const OffsetNumber last = PageGetMaxOffsetNumber(page);
    key_bytes previous{nullptr, 0};
    for (OffsetNumber n = P_FIRSTDATAKEY(opaque); n <= last; ++n) {
        ItemId id = PageGetItemId(page, n);
        auto tuple = reinterpret_cast<IndexTuple>(PageGetItem(page, id));
        out.item_bytes += ItemIdGetLength(id);
        ++out.items;
        if (out.kind == page_kind::internal || ItemIdIsDead(id))
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

} // namespace dbopt::pg
