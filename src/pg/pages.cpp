#include "pg/pages.hpp"
#include "pg/compat.hpp"

extern "C" {
#include "access/visibilitymap.h"
#include "storage/fsm_internals.h"
#include "storage/smgr.h"
}

namespace dbopt::pg {

open_relation::open_relation(Oid relation, int64_t wait_ms)
    : exceptions_(std::uncaught_exceptions()) {
    if (!try_lock(relation, AccessShareLock, wait_ms)) {
        why_ = "locked by another session";
        return;
    }
    relation_ = call([&] { return try_relation_open(relation, NoLock); });
    if (relation_ == nullptr) {
        unlock(relation, AccessShareLock);
        why_ = "dropped meanwhile";
    }
}

open_relation::~open_relation() {
    // While an error travels, the (sub)transaction's abort closes and unlocks.
    if (relation_ != nullptr && std::uncaught_exceptions() == exceptions_)
        quietly([&] { relation_close(relation_, AccessShareLock); });
}

uint32_t open_relation::blocks() const {
    return call([&] { return RelationGetNumberOfBlocks(relation_); });
}

bool open_relation::shareable() const { return !RelationUsesLocalBuffers(relation_); }

const char *heap_obstacle(Relation relation) {
    if (!RELKIND_HAS_TABLE_AM(relation->rd_rel->relkind))
        return "has no storage of its own";
    if (relation->rd_tableam != GetHeapamTableAmRoutine())
        return "its access method is not heap";
    if (RELATION_IS_OTHER_TEMP(relation))
        return "temporary table of another session";
    if (relation->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED && RecoveryInProgress())
        return "unlogged tables have no contents during recovery";
    return nullptr;
}

heap_reader::heap_reader(Relation relation, TransactionId oldest_xmin)
    : relation_(relation), oldest_xmin_(oldest_xmin) {
    call([&] {
        ring_ = GetAccessStrategy(BAS_BULKREAD);
        if (!TransactionIdIsValid(oldest_xmin_))
            oldest_xmin_ = GetOldestNonRemovableTransactionId(relation_);
        TupleDesc desc = RelationGetDescr(relation_);
        for (int i = 0; i < desc->natts && !reshape_; ++i)
            reshape_ = TupleDescAttr(desc, i)->attisdropped || TupleDescAttr(desc, i)->atthasmissing;
        if (reshape_) {
            values_ = static_cast<Datum *>(palloc(sizeof(Datum) * desc->natts));
            nulls_ = static_cast<bool *>(palloc(sizeof(bool) * desc->natts));
        }
    });
    stream_.emplace(relation_, ring_);
}

heap_reader::~heap_reader() {
    stream_.reset(); // it uses the ring
    if (ring_ != nullptr)
        FreeAccessStrategy(ring_);
    if (values_ != nullptr) {
        pfree(values_);
        pfree(nulls_);
    }
}

void heap_reader::prefetch(uint32_t block) const {
    call([&] { PrefetchBuffer(relation_, MAIN_FORKNUM, block); });
}

int heap_reader::fillfactor() const {
    return RelationGetFillFactor(relation_, HEAP_DEFAULT_FILLFACTOR);
}

// The length a rewrite gives to a tuple: dropped columns become NULL, columns added later with a
// default are written out (reform_tuple in heapam_handler.c).
uint16_t heap_reader::rewritten_length(HeapTupleHeader tuple, uint32_t length) {
    TupleDesc desc = RelationGetDescr(relation_);
    const int stored = HeapTupleHeaderGetNatts(tuple);
    if (!reshape_ && stored >= desc->natts)
        return length;
    if (!reshape_) { // columns added without default: only the NULL bitmap grows
        const uint32_t data = length - tuple->t_hoff;
        return MAXALIGN(SizeofHeapTupleHeader + BITMAPLEN(desc->natts)) + data;
    }
    HeapTupleData whole{};
    whole.t_len = length;
    whole.t_data = tuple;
    heap_deform_tuple(&whole, desc, values_, nulls_);
    bool has_nulls = false;
    for (int i = 0; i < desc->natts; ++i) {
        nulls_[i] = nulls_[i] || TupleDescAttr(desc, i)->attisdropped;
        has_nulls = has_nulls || nulls_[i];
    }
    const uint32_t header =
        MAXALIGN(SizeofHeapTupleHeader + (has_nulls ? BITMAPLEN(desc->natts) : 0));
    const Size whole_length = header + heap_compute_data_size(desc, values_, nulls_);
    return static_cast<uint16_t>(Min(whole_length, MaxHeapTupleSize));
}

namespace {

// A damaged page may say anything: what does not lie within the page is not looked at.
bool plausible(ItemId id) {
    const uint32_t length = ItemIdGetLength(id);
    return length >= SizeofHeapTupleHeader && ItemIdGetOffset(id) >= SizeOfPageHeaderData &&
           ItemIdGetOffset(id) + length <= BLCKSZ;
}
bool plausible(HeapTupleHeader tuple, uint32_t length) {
    return tuple->t_hoff >= SizeofHeapTupleHeader && tuple->t_hoff <= length &&
           tuple->t_hoff == MAXALIGN(tuple->t_hoff);
}

enum class fate { live, running, held, gone };

// pgstattuple's SnapshotDirty: rows of other running transactions count as live, rows that the own
// transaction deleted as dead.
fate judge(HeapTuple tuple, Buffer buffer, TransactionId oldest_xmin) {
    // Most rows carry both hints: no call needed.
    constexpr uint16 plainly_live = HEAP_XMIN_COMMITTED | HEAP_XMAX_INVALID;
    if ((tuple->t_data->t_infomask & plainly_live) == plainly_live &&
        (tuple->t_data->t_infomask & HEAP_MOVED) == 0)
        return fate::live;
    TransactionId dead_after = InvalidTransactionId;
    switch (HeapTupleSatisfiesVacuumHorizon(tuple, buffer, &dead_after)) {
    case HEAPTUPLE_LIVE: return fate::live;
    case HEAPTUPLE_INSERT_IN_PROGRESS: return fate::running;
    case HEAPTUPLE_DELETE_IN_PROGRESS:
        return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(tuple->t_data))
                   ? fate::held : fate::running;
    case HEAPTUPLE_RECENTLY_DEAD:
        return TransactionIdPrecedes(dead_after, oldest_xmin) ? fate::gone : fate::held;
    case HEAPTUPLE_DEAD: break;
    }
    return fate::gone;
}

} // namespace

void heap_reader::next(heap_page &out) {
    out.live_bytes = out.dead_bytes = out.free_bytes = out.held_bytes = out.running_bytes = 0;
    out.live = out.dead = out.kept = out.root_entries = out.dead_pointers = 0;
    block_stream &stream = *stream_;
    call([&] {
        Buffer buffer = stream.next();
        const BlockNumber block = BufferGetBlockNumber(buffer);
        LockBuffer(buffer, BUFFER_LOCK_SHARE);
        Page page = BufferGetPage(buffer);
        if (PageIsNew(page)) {
            UnlockReleaseBuffer(buffer);
            return;
        }
        out.free_bytes = compat::free_space(page);
        const bool all_visible = PageIsAllVisible(page);
        const OffsetNumber last = PageGetMaxOffsetNumber(page);
        const int columns = RelationGetDescr(relation_)->natts;
        HeapTupleData tuple;
        tuple.t_tableOid = RelationGetRelid(relation_);
        for (OffsetNumber n = FirstOffsetNumber; n <= last; ++n) {
            ItemId id = PageGetItemId(page, n);
            if (!ItemIdIsNormal(id) || !plausible(id)) {
                out.dead_pointers += ItemIdIsDead(id) ? 1 : 0;
                continue;
            }
            tuple.t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, id));
            tuple.t_len = ItemIdGetLength(id);
            ItemPointerSet(&tuple.t_self, block, n);
            const fate f = all_visible ? fate::live : judge(&tuple, buffer, oldest_xmin_);
            if (f == fate::live || f == fate::running) {
                out.live_bytes += tuple.t_len;
                ++out.live;
                if (f == fate::running)
                    out.running_bytes += tuple.t_len;
            } else {
                out.dead_bytes += tuple.t_len;
                ++out.dead;
                if (f == fate::gone)
                    continue;
                out.held_bytes += tuple.t_len;
            }
            if (f != fate::held || !HeapTupleHeaderIsHotUpdated(tuple.t_data))
                ++out.root_entries;
            if (out.kept < most_tuples_per_page)
                out.lengths[out.kept++] =
                    !plausible(tuple.t_data, tuple.t_len) ? tuple.t_len
                    : reshape_ || HeapTupleHeaderGetNatts(tuple.t_data) < columns
                        ? rewritten_length(tuple.t_data, tuple.t_len) : tuple.t_len;
        }
        UnlockReleaseBuffer(buffer);
    });
}

namespace {

// Follows a HOT chain from its root; true when any member is still needed.
bool chain_needed(Page page, Buffer buffer, uint32_t block, OffsetNumber at, Oid relation,
                  TransactionId oldest_xmin) {
    TransactionId previous = InvalidTransactionId;
    const OffsetNumber last = PageGetMaxOffsetNumber(page);
    for (int steps = 0; steps <= last; ++steps) {
        if (at < FirstOffsetNumber || at > last)
            return false;
        ItemId id = PageGetItemId(page, at);
        if (ItemIdIsRedirected(id)) {
            at = ItemIdGetRedirect(id);
            continue;
        }
        if (!ItemIdIsNormal(id) || !plausible(id))
            return false;
        HeapTupleData tuple;
        tuple.t_tableOid = relation;
        tuple.t_data = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, id));
        tuple.t_len = ItemIdGetLength(id);
        ItemPointerSet(&tuple.t_self, block, at);
        if (TransactionIdIsValid(previous) &&
            !TransactionIdEquals(previous, HeapTupleHeaderGetXmin(tuple.t_data)))
            return false;
        const fate f = judge(&tuple, buffer, oldest_xmin);
        const bool hot_updated = HeapTupleHeaderIsHotUpdated(tuple.t_data);
        if (f == fate::live || f == fate::running || (f == fate::held && !hot_updated))
            return true;
        if (!hot_updated)
            return false;
        previous = HeapTupleHeaderGetUpdateXid(tuple.t_data);
        at = ItemPointerGetOffsetNumber(&tuple.t_data->t_ctid);
    }
    return false;
}

} // namespace

void heap_reader::live_roots(uint32_t block, std::span<const uint16_t> offsets,
                             std::span<bool> live) {
    call([&] {
        CHECK_FOR_INTERRUPTS();
        Buffer buffer = ReadBufferExtended(relation_, MAIN_FORKNUM, block, RBM_NORMAL, ring_);
        LockBuffer(buffer, BUFFER_LOCK_SHARE);
        Page page = BufferGetPage(buffer);
        for (size_t i = 0; i < offsets.size(); ++i)
            live[i] = !PageIsNew(page) && chain_needed(page, buffer, block, offsets[i],
                                                       RelationGetRelid(relation_), oldest_xmin_);
        UnlockReleaseBuffer(buffer);
    });
}

bool heap_reader::free_space_map(uint32_t blocks, std::span<const uint32_t> wanted,
                                 std::span<double> values, double &sum) {
    constexpr uint32_t slots = SlotsPerFSMPage;
    constexpr uint32_t most_pages = 8192; // 250 GB of table; reading more would cost more than it saves
    sum = 0;
    return call([&] {
        if (blocks / slots > most_pages || !smgrexists(RelationGetSmgr(relation_), FSM_FORKNUM))
            return false;
        const BlockNumber map_blocks = RelationGetNumberOfBlocksInFork(relation_, FSM_FORKNUM);
        size_t next = 0;
        for (uint32_t leaf = 0; uint64_t{leaf} * slots < blocks; ++leaf) {
            CHECK_FOR_INTERRUPTS();
            // Where the leaf lies among the upper pages: fsm_logical_to_physical (freespace.c).
            const BlockNumber at = leaf + leaf / slots + leaf / slots / slots + 2;
            const uint32_t first = leaf * slots, end = Min(first + slots, blocks);
            const uint8 *nodes = nullptr;
            Buffer buffer = InvalidBuffer;
            if (at < map_blocks) {
                buffer = ReadBufferExtended(relation_, FSM_FORKNUM, at, RBM_ZERO_ON_ERROR, ring_);
                LockBuffer(buffer, BUFFER_LOCK_SHARE);
                if (!PageIsNew(BufferGetPage(buffer)))
                    nodes = reinterpret_cast<FSMPage>(PageGetContents(BufferGetPage(buffer)))
                                ->fp_nodes + NonLeafNodesPerPage;
            }
            uint64_t categories = 0;
            if (nodes != nullptr)
                for (uint32_t i = 0; i < end - first; ++i)
                    categories += nodes[i];
            sum += static_cast<double>(categories);
            for (; next < wanted.size() && wanted[next] < end; ++next)
                values[next] = nodes != nullptr ? nodes[wanted[next] - first] : 0;
            if (BufferIsValid(buffer))
                UnlockReleaseBuffer(buffer);
        }
        return true;
    });
}

bool heap_reader::visibility_map(uint32_t blocks, std::span<const uint32_t> wanted,
                                 std::span<double> values, double &sum) {
    return call([&] {
        BlockNumber all_visible = 0;
        visibilitymap_count(relation_, &all_visible, nullptr);
        if (all_visible == 0)
            return false;
        sum = static_cast<double>(blocks) - Min(all_visible, blocks);
        Buffer buffer = InvalidBuffer;
        for (size_t i = 0; i < wanted.size(); ++i)
            values[i] = (visibilitymap_get_status(relation_, wanted[i], &buffer) &
                         VISIBILITYMAP_ALL_VISIBLE) != 0 ? 0 : 1;
        if (BufferIsValid(buffer))
            ReleaseBuffer(buffer);
        return true;
    });
}

page_reader::page_reader(Relation relation) : relation_(relation) {
    ring_ = call([] { return GetAccessStrategy(BAS_BULKREAD); });
    stream_.emplace(relation_, ring_);
}

page_reader::~page_reader() {
    stream_.reset();
    if (ring_ != nullptr)
        FreeAccessStrategy(ring_);
}

static void copy_out(Buffer buffer, char *out) {
    LockBuffer(buffer, BUFFER_LOCK_SHARE);
    memcpy(out, BufferGetPage(buffer), BLCKSZ);
    UnlockReleaseBuffer(buffer);
}

void page_reader::copy(uint32_t block, char *out) {
    call([&] {
        CHECK_FOR_INTERRUPTS();
        copy_out(ReadBufferExtended(relation_, MAIN_FORKNUM, block, RBM_NORMAL, ring_), out);
    });
}

void page_reader::copy_next(char *out) {
    block_stream &stream = *stream_;
    call([&] { copy_out(stream.next(), out); });
}

} // namespace dbopt::pg
