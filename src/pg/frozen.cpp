#include "pg/frozen.hpp"
#include "pg/query.hpp"

extern "C" {
#include "utils/tuplestore.h"
}

namespace dbopt::pg {

namespace {

// Keeps rows in a tuplestore of its own, or hands them to a table.
struct keeper {
    DestReceiver pub;
    MemoryContext home;
    named_store *store;
    // load() only
    Relation target;
    BulkInsertState bulk;
    CommandId command;
    TupleTableSlot *slot;
    int64_t loaded;
};

void keep_start(DestReceiver *self, int, TupleDesc desc) {
    auto *k = reinterpret_cast<keeper *>(self);
    if (k->target != nullptr)
        return;
    MemoryContext caller = MemoryContextSwitchTo(k->home);
    k->store->desc = CreateTupleDescCopy(desc);
    k->store->tuples = tuplestore_begin_heap(true, false, work_mem);
    MemoryContextSwitchTo(caller);
}

bool keep_row(TupleTableSlot *slot, DestReceiver *self) {
    auto *k = reinterpret_cast<keeper *>(self);
    if (k->target == nullptr) {
        tuplestore_puttupleslot(k->store->tuples, slot);
        ++k->store->rows;
        return true;
    }
    slot_getallattrs(slot);
    ExecClearTuple(k->slot);
    const int columns = k->slot->tts_tupleDescriptor->natts;
    memcpy(k->slot->tts_values, slot->tts_values, sizeof(Datum) * columns);
    memcpy(k->slot->tts_isnull, slot->tts_isnull, sizeof(bool) * columns);
    ExecStoreVirtualTuple(k->slot);
    table_tuple_insert(k->target, k->slot, k->command, TABLE_INSERT_SKIP_FSM, k->bulk);
    ++k->loaded;
    return true;
}

void keep_end(DestReceiver *) {}

keeper make_keeper() {
    keeper k{};
    k.pub.receiveSlot = keep_row;
    k.pub.rStartup = keep_start;
    k.pub.rShutdown = keep_end;
    k.pub.rDestroy = keep_end;
    k.pub.mydest = DestNone;
    return k;
}

void drop_store(named_store &s) {
    if (s.tuples != nullptr)
        tuplestore_end(s.tuples);
    s.tuples = nullptr;
}

} // namespace

frozen::frozen() {
    call([&] {
        home_ = AllocSetContextCreate(CurrentMemoryContext, "dbopt frozen", ALLOCSET_DEFAULT_SIZES);
        snapshot_ = RegisterSnapshot(GetTransactionSnapshot());
        command_ = snapshot_->curcid;
    });
}

frozen::~frozen() {
    quietly([&] {
        // After an error the abort has released the snapshot and the tuplestores' files already.
        if (!IsTransactionState() || std::uncaught_exceptions() > 0)
            return;
        for (auto &s : stores_)
            drop_store(s.second);
        UnregisterSnapshot(snapshot_);
        MemoryContextDelete(home_);
    });
}

std::string frozen::ample_memory() { return std::to_string(std::max(work_mem, maintenance_work_mem)) + "kB"; }

bool frozen::quiet() const {
    const TransactionId own = GetTopTransactionIdIfAny();
    for (uint32 i = 0; i < snapshot_->xcnt; ++i)
        if (snapshot_->xip[i] != own)
            return false;
    return true;
}

std::optional<std::string> frozen::own_transaction() const {
    const FullTransactionId own = GetTopFullTransactionIdIfAny();
    return FullTransactionIdIsValid(own) ? std::optional(std::to_string(U64FromFullTransactionId(own))) : std::nullopt;
}

std::string frozen::text() const {
    const FullTransactionId next = call([] { return ReadNextFullTransactionId(); });
    const auto widen = [&](TransactionId xid) {
        uint64_t epoch = EpochFromFullTransactionId(next);
        if (xid > XidFromFullTransactionId(next))
            --epoch;
        return (epoch << 32) | xid;
    };
    std::vector<uint64_t> running;
    for (uint32 i = 0; i < snapshot_->xcnt; ++i)
        running.push_back(widen(snapshot_->xip[i]));
    const TransactionId own = GetTopTransactionIdIfAny();
    uint64_t low = widen(snapshot_->xmin), high = widen(snapshot_->xmax);
    if (TransactionIdIsValid(own) && widen(own) < high)
        running.push_back(widen(own));
    std::sort(running.begin(), running.end());
    running.erase(std::unique(running.begin(), running.end()), running.end());
    if (!running.empty())
        low = std::min(low, running.front());
    std::string out = std::to_string(low) + ":" + std::to_string(high) + ":";
    for (size_t i = 0; i < running.size(); ++i)
        out += (i > 0 ? "," : "") + std::to_string(running[i]);
    return out;
}

void frozen::run_select(const std::string &sql, DestReceiver *receiver) {
    call([&] {
        MemoryContext caller = CurrentMemoryContext;
        PushCopiedSnapshot(snapshot_);
        UpdateActiveSnapshotCommandId();
        if (SPI_connect() != SPI_OK_CONNECT)
            elog(ERROR, "SPI_connect failed");
        for (auto &s : stores_) {
            auto *relation = static_cast<EphemeralNamedRelation>(
                palloc0(sizeof(EphemeralNamedRelationData)));
            relation->md.name = const_cast<char *>(s.first.c_str());
            relation->md.tupdesc = s.second.desc;
            relation->md.enrtype = ENR_NAMED_TUPLESTORE;
            relation->md.enrtuples = static_cast<double>(s.second.rows);
            relation->reldata = s.second.tuples;
            if (SPI_register_relation(relation) < 0)
                elog(ERROR, "relation \"%s\" could not be registered", s.first.c_str());
        }
        SPIExecuteOptions options{};
        options.read_only = true;
        options.dest = receiver;
        const int code = SPI_execute_extended(sql.c_str(), &options);
        if (code < 0)
            elog(ERROR, "statement not possible here: %s", SPI_result_code_string(code));
        SPI_finish();
        PopActiveSnapshot();
        MemoryContextSwitchTo(caller);
    });
}

int64_t frozen::select(const std::string &name, const std::string &sql) {
    named_store fresh;
    keeper k = make_keeper();
    k.home = home_;
    k.store = &fresh;
    run_select(sql, &k.pub);
    if (auto old = stores_.find(name); old != stores_.end())
        call([&] { drop_store(old->second); });
    stores_[name] = fresh;
    return fresh.rows;
}

named_store &frozen::make(const std::string &name, TupleDesc desc) {
    named_store fresh;
    call([&] {
        MemoryContext caller = MemoryContextSwitchTo(home_);
        fresh.desc = CreateTupleDescCopy(desc);
        fresh.tuples = tuplestore_begin_heap(true, false, work_mem);
        MemoryContextSwitchTo(caller);
    });
    if (auto old = stores_.find(name); old != stores_.end())
        call([&] { drop_store(old->second); });
    return stores_[name] = fresh;
}

std::optional<int64_t> frozen::number(const std::string &sql) {
    named_store answer;
    keeper k = make_keeper();
    k.home = home_;
    k.store = &answer;
    run_select(sql, &k.pub);
    int64_t value = 0;
    bool found = false;
    call([&] {
        TupleTableSlot *slot = MakeSingleTupleTableSlot(answer.desc, &TTSOpsMinimalTuple);
        if (tuplestore_gettupleslot(answer.tuples, true, false, slot)) {
            bool null = false;
            const Datum d = slot_getattr(slot, 1, &null);
            found = !null;
            value = null ? 0
                    : TupleDescAttr(answer.desc, 0)->atttypid == BOOLOID ? DatumGetBool(d)
                                                                         : DatumGetInt64(d);
        }
        ExecDropSingleTupleTableSlot(slot);
        drop_store(answer);
    });
    return found ? std::optional(value) : std::nullopt;
}

int64_t frozen::execute(const std::string &sql) {
    return call([&] {
        MemoryContext caller = CurrentMemoryContext;
        if (SPI_connect() != SPI_OK_CONNECT)
            elog(ERROR, "SPI_connect failed");
        SPIPlanPtr plan = SPI_prepare(sql.c_str(), 0, nullptr);
        if (plan == nullptr)
            elog(ERROR, "cannot prepare: %s", SPI_result_code_string(SPI_result));
        const int code =
            SPI_execute_snapshot(plan, nullptr, nullptr, snapshot_, InvalidSnapshot, false, true, 0);
        if (code < 0)
            elog(ERROR, "statement not possible here: %s", SPI_result_code_string(code));
        const int64_t processed = static_cast<int64_t>(SPI_processed);
        SPI_finish();
        MemoryContextSwitchTo(caller);
        return processed;
    });
}

int64_t frozen::rows(const std::string &name) const {
    auto s = stores_.find(name);
    return s == stores_.end() ? 0 : s->second.rows;
}

bool frozen::any_null(const std::string &name, int first, int columns) const {
    const named_store &s = stores_.at(name);
    return call([&] {
        TupleTableSlot *slot = MakeSingleTupleTableSlot(s.desc, &TTSOpsMinimalTuple);
        bool found = false;
        tuplestore_rescan(s.tuples);
        while (!found && tuplestore_gettupleslot(s.tuples, true, false, slot))
            for (int c = first; c < first + columns && !found; ++c)
                found = slot_attisnull(slot, c + 1);
        tuplestore_rescan(s.tuples);
        ExecDropSingleTupleTableSlot(slot);
        return found;
    });
}

int64_t frozen::load(Oid target, const std::string &sql) {
    keeper k = make_keeper();
    k.home = home_;
    call([&] {
        k.target = table_open(target, RowExclusiveLock);
        // Before the statement: what is made inside it goes with SPI's memory.
        k.slot = table_slot_create(k.target, nullptr);
        k.bulk = GetBulkInsertState();
        k.command = GetCurrentCommandId(true);
    });
    run_select(sql, &k.pub);
    call([&] {
        FreeBulkInsertState(k.bulk);
        table_finish_bulk_insert(k.target, TABLE_INSERT_SKIP_FSM);
        ExecDropSingleTupleTableSlot(k.slot);
        table_close(k.target, NoLock);
    });
    advance();
    return k.loaded;
}

void frozen::advance() {
    call([] { CommandCounterIncrement(); });
}

} // namespace dbopt::pg
