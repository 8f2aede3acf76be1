#include "pg/pages.hpp"
#include "pg/compat.hpp"

extern "C" {
#include "access/xlog.h"
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
    if (relation->rd_rel->relkind == RELKIND_INDEX || relation->rd_rel->relkind == RELKIND_PARTITIONED_INDEX)
        return "is an index: use dbopt.index_bloat";
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

// Most rows carry their hints, and then no call is needed: what the server's own test for VACUUM does with
// them (heapam_visibility.c). `otherwise` is that test. A page that is damaged may claim anything here, too:
// that changes its figures, nothing else.
template <class F> fate judge(HeapTupleHeader tuple, TransactionId oldest_xmin, F &&otherwise) {
    const uint16 mask = tuple->t_infomask;
    if ((mask & HEAP_XMIN_COMMITTED) == 0 || (mask & HEAP_MOVED) != 0)
        return otherwise();
    if ((mask & HEAP_XMAX_INVALID) != 0)
        return fate::live;
    if ((mask & HEAP_XMAX_COMMITTED) != 0 && (mask & (HEAP_XMAX_IS_MULTI | HEAP_XMAX_LOCK_ONLY)) == 0 &&
        !HEAP_XMAX_IS_LOCKED_ONLY(mask))
        return TransactionIdPrecedes(HeapTupleHeaderGetRawXmax(tuple), oldest_xmin) ? fate::gone : fate::held;
    return otherwise();
}

ItemPointerData address(Buffer buffer, OffsetNumber n) {
    ItemPointerData at;
    ItemPointerSet(&at, BufferGetBlockNumber(buffer), n);
    return at;
}

} // namespace

// pgstattuple's SnapshotDirty: rows of other running transactions count as live, rows that the own
// transaction deleted as dead.
fate heap_reader::judge_slowly(HeapTupleHeader header, uint32_t length, ItemPointerData at, Buffer buffer) const {
    HeapTupleData tuple;
    tuple.t_tableOid = RelationGetRelid(relation_);
    tuple.t_data = header;
    tuple.t_len = length;
    tuple.t_self = at;
    TransactionId dead_after = InvalidTransactionId;
    switch (HeapTupleSatisfiesVacuumHorizon(&tuple, buffer, &dead_after)) {
    case HEAPTUPLE_LIVE: return fate::live;
    case HEAPTUPLE_INSERT_IN_PROGRESS: return fate::running;
    case HEAPTUPLE_DELETE_IN_PROGRESS:
        return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(header))
                   ? fate::held : fate::running;
    case HEAPTUPLE_RECENTLY_DEAD:
        return TransactionIdPrecedes(dead_after, oldest_xmin_) ? fate::gone : fate::held;
    case HEAPTUPLE_DEAD: break;
    }
    return fate::gone;
}

void heap_reader::over(std::span<const uint32_t> blocks) {
    range_.reset();
    stream_->over(blocks);
}

void heap_reader::over_range(uint32_t from, uint32_t to) {
    // Rows are taken apart: in a copy that is half new that would lead out of the page, and only a checksum tells.
    if (reshape_ && !call([] { return DataChecksumsEnabled(); })) {
        range_.reset();
        stream_->over_range(from, to);
        return;
    }
    if (!range_)
        range_.emplace(relation_);
    range_->over_range(from, to);
}

// Inside pg::call. Only a copy may be of no use: then the page itself is read.
Buffer heap_reader::next_buffer() {
    return range_ ? ReadBufferExtended(relation_, MAIN_FORKNUM, range_->at(), RBM_NORMAL, ring_) : stream_->next();
}

void heap_reader::next(heap_page &out) {
    call([&] {
        Page copy = range_ ? range_->next() : nullptr;
        if (copy != nullptr) {
            if (read_page(copy, InvalidBuffer, out))
                return;
            range_->useless();
        }
        Buffer buffer = next_buffer();
        LockBuffer(buffer, BUFFER_LOCK_SHARE);
        read_page(BufferGetPage(buffer), buffer, out);
        UnlockReleaseBuffer(buffer);
    });
}

// Inside pg::call. Written for rows that carry their hints: a visibility call costs more than all the rest.
// Without a buffer it is a copy: false when it has rows without hints, for the server notes those in the buffer.
bool heap_reader::read_page(Page page, Buffer buffer, heap_page &out) {
    heap_page::totals t{};
    uint32_t runs = 0, run_length = 0, in_run = 0; // the run that is open
    constexpr int ahead = 8;
    bool blind = false; // the server's test was needed, and there is no buffer for it
    if (PageIsNew(page)) {
        out.sum = t;
        out.runs = 0;
        return true;
    }
    t.free_bytes = compat::free_space(page);
    const bool all_visible = PageIsAllVisible(page);
    const OffsetNumber last = static_cast<OffsetNumber>(Min(PageGetMaxOffsetNumber(page), most_tuples_per_page));
    const int columns = reshape_ ? MaxTupleAttributeNumber + 1 : RelationGetDescr(relation_)->natts;
    for (OffsetNumber n = FirstOffsetNumber; n <= last; ++n) {
        ItemIdData id = *PageGetItemId(page, n);
        if (n + ahead <= last) // rows lie too far apart for the processor to guess: a third of all time
            __builtin_prefetch(page + ItemIdGetOffset(PageGetItemId(page, n + ahead)) +
                               offsetof(HeapTupleHeaderData, t_infomask));
        if (!ItemIdIsNormal(&id) || !plausible(&id)) {
            t.dead_pointers += ItemIdIsDead(&id) ? 1 : 0;
            t.entries += ItemIdIsDead(&id) || ItemIdIsRedirected(&id) ? 1 : 0;
            continue;
        }
        auto tuple = reinterpret_cast<HeapTupleHeader>(page + ItemIdGetOffset(&id));
        const uint32_t stored = ItemIdGetLength(&id);
        t.entries += HeapTupleHeaderIsHeapOnly(tuple) ? 0 : 1;
        const fate f = all_visible ? fate::live : judge(tuple, oldest_xmin_, [&] {
            blind = !BufferIsValid(buffer);
            return blind ? fate::gone : judge_slowly(tuple, stored, address(buffer, n), buffer);
        });
        if (blind)
            return false;
        if (f == fate::live || f == fate::running) {
            t.live_bytes += stored;
            ++t.live;
            t.running_bytes += f == fate::running ? stored : 0;
        } else {
            t.dead_bytes += stored;
            ++t.dead;
            if (f == fate::gone)
                continue;
            t.held_bytes += stored;
        }
        t.root_entries += f != fate::held || !HeapTupleHeaderIsHotUpdated(tuple) ? 1 : 0;
        uint32_t length = stored;
        if (HeapTupleHeaderGetNatts(tuple) < columns && plausible(tuple, stored))
            length = rewritten_length(tuple, stored);
        if (length != run_length) {
            if (in_run > 0)
                out.kept[runs++] = {static_cast<uint16_t>(run_length), static_cast<uint16_t>(in_run)};
            run_length = length;
            in_run = 0;
        }
        ++in_run;
    }
    if (in_run > 0)
        out.kept[runs++] = {static_cast<uint16_t>(run_length), static_cast<uint16_t>(in_run)};
    out.sum = t;
    out.runs = runs;
    return true;
}

// Follows a HOT chain from its root; true when any member is still needed. Inside pg::call.
bool heap_reader::chain_needed(Page page, Buffer buffer, OffsetNumber at) const {
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
        auto tuple = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, id));
        if (TransactionIdIsValid(previous) &&
            !TransactionIdEquals(previous, HeapTupleHeaderGetXmin(tuple)))
            return false;
        const fate f = judge(tuple, oldest_xmin_, [&] {
            return judge_slowly(tuple, ItemIdGetLength(id), address(buffer, at), buffer);
        });
        const bool hot_updated = HeapTupleHeaderIsHotUpdated(tuple);
        if (f == fate::live || f == fate::running || (f == fate::held && !hot_updated))
            return true;
        if (!hot_updated)
            return false;
        previous = HeapTupleHeaderGetUpdateXid(tuple);
        at = ItemPointerGetOffsetNumber(&tuple->t_ctid);
    }
    return false;
}

void heap_reader::live_roots(uint32_t block, std::span<const uint16_t> offsets,
                             std::span<bool> live) {
    call([&] {
        CHECK_FOR_INTERRUPTS();
        Buffer buffer = ReadBufferExtended(relation_, MAIN_FORKNUM, block, RBM_NORMAL, ring_);
        LockBuffer(buffer, BUFFER_LOCK_SHARE);
        Page page = BufferGetPage(buffer);
        for (size_t i = 0; i < offsets.size(); ++i)
            live[i] = !PageIsNew(page) && chain_needed(page, buffer, offsets[i]);
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
