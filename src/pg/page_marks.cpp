#include "pg/page_marks.hpp"
#include <cstdio>

namespace dbopt::pg {

XLogRecPtr wal_position() { return GetXLogInsertRecPtr(); }

std::string lsn_text(XLogRecPtr lsn) {
    char text[32];
    snprintf(text, sizeof text, "%X/%X", static_cast<unsigned>(lsn >> 32),
                  static_cast<unsigned>(lsn));
    return text;
}

XLogRecPtr parse_lsn(const std::string &text) {
    unsigned high = 0, low = 0;
    if (sscanf(text.c_str(), "%X/%X", &high, &low) != 2)
        return InvalidXLogRecPtr;
    return (static_cast<uint64_t>(high) << 32) | low;
}

heap_pages count_pages(Oid relation) {
    return call([&] {
        Relation r = table_open(relation, AccessShareLock);
        const bool heap = r->rd_rel->relam == HEAP_TABLE_AM_OID && RelationIsPermanent(r);
        const uint32_t blocks =
            RELKIND_HAS_STORAGE(r->rd_rel->relkind) ? RelationGetNumberOfBlocks(r) : 0;
        table_close(r, NoLock);
        return heap_pages{heap, blocks};
    });
}

bool newer_than(Oid relation, XLogRecPtr mark) {
    return call([&] {
        Relation r = table_open(relation, AccessShareLock);
        BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
        const BlockNumber blocks = RelationGetNumberOfBlocks(r);
        bool newer = false;
        for (BlockNumber b = 0; b < blocks && !newer; ++b) {
            CHECK_FOR_INTERRUPTS();
            Buffer buffer = ReadBufferExtended(r, MAIN_FORKNUM, b, RBM_NORMAL, strategy);
            LockBuffer(buffer, BUFFER_LOCK_SHARE);
            newer = PageGetLSN(BufferGetPage(buffer)) > mark;
            UnlockReleaseBuffer(buffer);
        }
        FreeAccessStrategy(strategy);
        table_close(r, NoLock);
        return newer;
    });
}

} // namespace dbopt::pg
