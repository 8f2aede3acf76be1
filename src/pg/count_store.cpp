#include "pg/count_store.hpp"
#include "pg/compat.hpp"

extern "C" {
#include "utils/fmgroids.h"
}

namespace dbopt::pg {

constexpr size_t longest_row = 8000; // one tuple per page at worst, never out of line

count_store::count_store(Oid table, const frozen &now) {
    call([&] {
        relation_ = table_open(table, RowExclusiveLock);
        estate_ = CreateExecutorState();
        result_ = makeNode(ResultRelInfo);
        InitResultRelInfo(result_, relation_, 0, nullptr, 0);
        ExecOpenIndices(result_, false);
        found_ = table_slot_create(relation_, nullptr);
        fresh_ = table_slot_create(relation_, nullptr);
        buffer_ = static_cast<char *>(palloc(VARHDRSZ + longest_row));
        PushCopiedSnapshot(now.snapshot());
        UpdateActiveSnapshotCommandId();
        if (result_->ri_NumIndices == 1)
            scan_ = compat::begin_index_scan(relation_, result_->ri_IndexRelationDescs[0], GetActiveSnapshot(), 1);
        else
            bulk_ = GetBulkInsertState();
    });
}

count_store::~count_store() {
    quietly([&] {
        // After an error the abort has closed everything already.
        if (!IsTransactionState() || std::uncaught_exceptions() > 0)
            return;
        if (scan_ != nullptr)
            index_endscan(scan_);
        if (bulk_ != nullptr) {
            FreeBulkInsertState(bulk_);
            table_finish_bulk_insert(relation_, TABLE_INSERT_SKIP_FSM);
        }
        ExecDropSingleTupleTableSlot(found_);
        ExecDropSingleTupleTableSlot(fresh_);
        ExecCloseIndices(result_);
        FreeExecutorState(estate_);
        PopActiveSnapshot();
        table_close(relation_, NoLock);
        CommandCounterIncrement();
    });
}

std::string_view count_store::get(int32_t bucket) {
    const char *from = nullptr;
    size_t length = 0;
    call([&] {
        if (scan_ == nullptr)
            elog(ERROR, "counting state \"%s\" has no index", RelationGetRelationName(relation_));
        CHECK_FOR_INTERRUPTS();
        ScanKeyData key;
        ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(bucket));
        index_rescan(scan_, &key, 1, nullptr, 0);
        ExecClearTuple(found_);
        at_ = INT32_MIN;
        if (!index_getnext_slot(scan_, ForwardScanDirection, found_))
            return;
        at_ = bucket;
        bool null = false;
        auto *data = reinterpret_cast<struct varlena *>(DatumGetPointer(slot_getattr(found_, 2, &null)));
        if (VARATT_IS_EXTENDED(data))
            elog(ERROR, "counting state \"%s\" is stored in an unknown way", RelationGetRelationName(relation_));
        from = VARDATA(data);
        length = VARSIZE(data) - VARHDRSZ;
    });
    return {from, length};
}

void count_store::fill_row(int32_t bucket, std::string_view data) {
    if (data.size() > longest_row)
        raise({.code = ERRCODE_PROGRAM_LIMIT_EXCEEDED, .message = "a bucket of a counting state is too long"});
    memcpy(VARDATA(buffer_), data.data(), data.size());
    SET_VARSIZE(buffer_, VARHDRSZ + data.size());
    call([&] {
        ExecClearTuple(fresh_);
        fresh_->tts_values[0] = Int32GetDatum(bucket);
        fresh_->tts_values[1] = PointerGetDatum(buffer_);
        fresh_->tts_isnull[0] = fresh_->tts_isnull[1] = false;
        ExecStoreVirtualTuple(fresh_);
        fresh_->tts_tableOid = RelationGetRelid(relation_);
    });
}

void count_store::put(int32_t bucket, std::string_view data) {
    fill_row(bucket, data);
    call([&] {
        ResetPerTupleExprContext(estate_);
        const CommandId command = GetCurrentCommandId(true);
        if (at_ != bucket) {
            table_tuple_insert(relation_, fresh_, command, 0, nullptr);
            compat::insert_index_entries(result_, fresh_, estate_, false, false);
            return;
        }
        bool indexes = false, summarizing = false;
        if (compat::update_tuple(relation_, &found_->tts_tid, fresh_, command, GetActiveSnapshot(), &indexes,
                                 &summarizing) != TM_Ok)
            ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                            errmsg("counting state \"%s\" was changed by another transaction meanwhile",
                                   RelationGetRelationName(relation_))));
        if (indexes)
            compat::insert_index_entries(result_, fresh_, estate_, true, summarizing);
        at_ = INT32_MIN;
    });
}

void count_store::append(int32_t bucket, std::string_view data) {
    fill_row(bucket, data);
    call([&] {
        CHECK_FOR_INTERRUPTS();
        table_tuple_insert(relation_, fresh_, GetCurrentCommandId(true), TABLE_INSERT_SKIP_FSM, bulk_);
    });
}

count_header count_store::header() {
    const std::string_view data = get(-1);
    count_header h;
    if (data.size() != sizeof h)
        raise({.code = ERRCODE_DATA_CORRUPTED, .message = "a counting state has no header"});
    memcpy(static_cast<void *>(&h), data.data(), sizeof h);
    if (h.version != count_header{}.version || h.server != count_header{}.server || h.buckets == 0 || (h.buckets & (h.buckets - 1)) != 0)
        raise({.code = ERRCODE_DATA_CORRUPTED, .message = "a counting state has an unknown layout"});
    return h;
}

void count_store::put_header(const count_header &h) {
    const std::string_view data(reinterpret_cast<const char *>(&h), sizeof h);
    if (bulk_ != nullptr)
        return append(-1, data);
    (void)get(-1);
    put(-1, data);
}

// What is inserted here is of this command: the scan under way does not see it.
void count_store::make_room(const core::packed_layout &l, count_header &h, uint64_t more) {
    const uint64_t entries = static_cast<uint64_t>(h.entries) + more;
    const uint64_t width = static_cast<uint64_t>(l.width());
    if (entries * width / h.buckets < (width > 150 ? 1400 : 2800)) // few entries vary more in number
        return;
    const uint32_t buckets = l.buckets_for(entries), parts = buckets / h.buckets;
    if (parts < 2)
        return;
    for (uint32_t b = 0; b < h.buckets; ++b) {
        const std::string_view data = get(static_cast<int32_t>(b));
        if (data.empty())
            continue;
        const std::vector<std::string> split = core::split_bucket(l, data.data(), data.size(), h.buckets, parts);
        put(static_cast<int32_t>(b), split[0]);
        for (uint32_t p = 1; p < parts; ++p)
            if (!split[p].empty())
                put(static_cast<int32_t>(b + p * h.buckets), split[p]);
    }
    h.buckets = buckets;
    put_header(h); // whether or not there is anything to add
    call([] {
        CommandCounterIncrement();
        UpdateActiveSnapshotCommandId();
    });
    // A scan keeps the snapshot it began with, but not a copy: it is the active one.
}

} // namespace dbopt::pg
