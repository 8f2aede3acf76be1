// "Has anything been written since?": the LSN on each page of a heap against a remembered one.
//
// The mark is the WAL insert position taken before the snapshot. It proves "unchanged" only if no
// transaction with an id was running in that snapshot, and file and page count are the same: a row
// written before the mark and committed after it carries an older LSN.
#pragma once
#include "pg/error.hpp"

namespace dbopt::pg {

// Insert position, not the written one: a page may carry an LSN that is not yet written out.
XLogRecPtr wal_position();
std::string lsn_text(XLogRecPtr lsn);
XLogRecPtr parse_lsn(const std::string &text);

struct heap_pages {
    bool comparable; // false: no heap, unlogged or temporary: LSNs say nothing
    uint32_t blocks;
};
heap_pages count_pages(Oid relation);
// Stops at the first page that is newer. The caller holds a lock on the relation.
bool newer_than(Oid relation, XLogRecPtr mark);

} // namespace dbopt::pg
