#include "pg/bulk_copy.hpp"
#include "pg/memory.hpp"
#include "pg/partition_catalog.hpp"
#include "pg/steady_wal.hpp"

extern "C" {
#include "access/tupconvert.h"
#include "access/hio.h"
#include "access/xlog.h"
}

namespace dbopt::pg {

namespace {

constexpr size_t batch_rows = 500;
constexpr size_t batch_bytes = 1 << 16;
// The WAL writer flushes beside us; where the disk does not keep up, we wait for it, not those who commit.
constexpr size_t most_unflushed = 2 << 20;

class sink {
  public:
    explicit sink(Oid leaf, TupleDesc source) {
        call([&] {
            relation_ = table_open(leaf, RowExclusiveLock);
            // Between two batches the owner may have put anything in its place.
            if (RelationGetForm(relation_)->relkind != RELKIND_RELATION || relation_->rd_rel->relowner != GetUserId() ||
                RelationGetNumberOfAttributes(relation_) == 0 || relation_->rd_rel->relhasindex)
                ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                                errmsg("%s is not as dbopt made it", RelationGetRelationName(relation_)),
                                errhint("CALL dbopt.partition_convert_abort and start again.")));
            bulk_ = GetBulkInsertState();
            map_ = convert_tuples_by_name(source, RelationGetDescr(relation_));
        });
    }
    void add(TupleTableSlot *row, const scratch &space) {
        if (used_ == slots_.size())
            slots_.push_back(call([&] {
                return MakeSingleTupleTableSlot(RelationGetDescr(relation_), table_slot_callbacks(relation_));
            }));
        TupleTableSlot *into = slots_[used_];
        call([&] {
            if (map_ != nullptr)
                (void)execute_attr_map_slot(map_->attrMap, row, into);
            else
                (void)ExecCopySlot(into, row);
            ExecMaterializeSlot(into); // gives back the pin on the source's page
        });
        ++used_;
        bytes_ += call([&] {
            bool release;
            HeapTuple tuple = ExecFetchSlotHeapTuple(into, false, &release);
            const size_t length = tuple->t_len;
            if (release)
                heap_freetuple(tuple);
            return length;
        });
        if (used_ >= batch_rows || bytes_ >= batch_bytes)
            flush(space);
    }
    void flush(const scratch &space) {
        if (used_ == 0)
            return;
        call([&] {
            MemoryContext old = MemoryContextSwitchTo(space.context());
            table_multi_insert(relation_, slots_.data(), static_cast<int>(used_),
                               GetCurrentCommandId(true), TABLE_INSERT_SKIP_FSM, bulk_);
            MemoryContextSwitchTo(old);
            MemoryContextReset(space.context());
            for (size_t i = 0; i < used_; ++i)
                ExecClearTuple(slots_[i]);
        });
        used_ = bytes_ = 0;
        limit_unflushed_wal(most_unflushed);
    }
    void close(const scratch &space) {
        flush(space);
        call([&] {
            for (TupleTableSlot *slot : slots_)
                ExecDropSingleTupleTableSlot(slot);
            FreeBulkInsertState(bulk_);
            table_finish_bulk_insert(relation_, TABLE_INSERT_SKIP_FSM);
            table_close(relation_, NoLock);
        });
    }

  private:
    Relation relation_ = nullptr;
    BulkInsertState bulk_ = nullptr;
    TupleConversionMap *map_ = nullptr;
    std::vector<TupleTableSlot *> slots_;
    size_t used_ = 0, bytes_ = 0;
};

} // namespace

int64_t bulk_copy(const copy_request &request) {
    Relation source = call([&] {
        PushActiveSnapshot(GetTransactionSnapshot());
        Relation r = table_open(request.source, AccessShareLock);
        require_tid_ranges(r);
        if (request.key_attribute <= 0)
            ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                            errmsg("%s has lost its partition key column", RelationGetRelationName(r)),
                            errhint("It was dropped or renamed meanwhile.")));
        return r;
    });
    const TupleDesc desc = RelationGetDescr(source);
    const Oid type = getBaseType(TupleDescAttr(desc, request.key_attribute - 1)->atttypid);
    std::vector<std::optional<sink>> sinks(request.targets->size() + 1);
    int64_t rows = 0;
    {
        // The current context stays that of the caller: only flush() fills and empties this one.
        MemoryContext home = CurrentMemoryContext;
        scratch space("dbopt bulk copy");
        MemoryContextSwitchTo(home);
        TupleTableSlot *slot = call([&] { return table_slot_create(source, nullptr); });
        TableScanDesc scan = call([&] {
            ItemPointerData low, high;
            ItemPointerSet(&low, request.first_block, 1);
            ItemPointerSet(&high, request.end_block - 1, MaxOffsetNumber);
            return table_beginscan_tidrange(source, GetActiveSnapshot(), &low, &high);
        });
        while (call([&] { return table_scan_getnextslot_tidrange(scan, ForwardScanDirection, slot); })) {
            bool null = false;
            const Datum key = call([&] { return slot_getattr(slot, request.key_attribute, &null); });
            size_t n = request.targets->size();
            if (!null) {
                const core::position p = key_position(key, type, request.unit);
                const auto after = std::upper_bound(
                    request.targets->begin(), request.targets->end(), p,
                    [](core::position at, const copy_target &t) { return at < t.range.lower; });
                if (after != request.targets->begin() && p < std::prev(after)->range.upper)
                    n = std::prev(after) - request.targets->begin();
            }
            if (!sinks[n])
                sinks[n].emplace(n < request.targets->size() ? (*request.targets)[n].leaf
                                                             : request.default_leaf, desc);
            sinks[n]->add(slot, space);
            if ((++rows & 1023) == 0)
                check_interrupts();
        }
        for (std::optional<sink> &s : sinks)
            if (s)
                s->close(space);
        call([&] {
            table_endscan(scan);
            ExecDropSingleTupleTableSlot(slot);
        });
        MemoryContextSwitchTo(space.context()); // what the scope expects to leave
    }
    call([&] {
        table_close(source, NoLock);
        PopActiveSnapshot();
        CommandCounterIncrement();
    });
    return rows;
}

void flush_wal() {
    const XLogRecPtr upto = std::max(XactLastRecEnd, XactLastCommitEnd);
    if (upto != InvalidXLogRecPtr)
        call([&] { XLogFlush(upto); });
}

static bool has_tid_ranges(Relation r) {
    return r->rd_tableam != nullptr && r->rd_tableam->scan_set_tidrange != nullptr && r->rd_tableam->scan_getnextslot_tidrange != nullptr;
}

bool has_tid_ranges(Oid relation) {
    return call([&] {
        Relation r = table_open(relation, AccessShareLock);
        const bool has = has_tid_ranges(r);
        table_close(r, AccessShareLock);
        return has;
    });
}

void require_tid_ranges(Relation r) {
    if (!has_tid_ranges(r))
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("%s cannot be read by ranges of row numbers", RelationGetRelationName(r)),
                        errdetail("It is a foreign table, or its access method lacks this.")));
}

uint32_t blocks_of(Oid relation) {
    return call([&] {
        Relation r = table_open(relation, AccessShareLock);
        const BlockNumber blocks = RelationGetNumberOfBlocks(r);
        table_close(r, NoLock);
        return blocks;
    });
}

} // namespace dbopt::pg
