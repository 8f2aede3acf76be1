#include "pg/contents.hpp"
#include "pg/bulk_copy.hpp"
#include "pg/memory.hpp"
#include "pg/parallel.hpp"
#include "pg/partition_catalog.hpp"
#include "pg/relation.hpp"
#include <algorithm>
#include <atomic>
#include <memory>

extern "C" {
#include "access/tableam.h"
#include "utils/snapmgr.h"
}

namespace dbopt::pg {

namespace {

constexpr int most_processes = 16;

struct piece { // of one table
    Oid table;
    uint32_t first, end;
    int side;
};

// In shared memory; the arrays follow it.
struct alignas(8) shared_plan {
    Oid like;
    int16_t key_attribute; // of `like`
    core::key_unit unit;
    uint32_t pieces, edges, processes;
    std::atomic<uint32_t> next;

    uint32_t ranges() const { return edges + 2; }
    core::position *edge_list() { return reinterpret_cast<core::position *>(this + 1); }
    core::content_sum *sums(uint32_t process, int side) {
        return reinterpret_cast<core::content_sum *>(edge_list() + edges) + (process * 2 + side) * ranges();
    }
    piece *piece_list() { return reinterpret_cast<piece *>(sums(processes, 0)); } // last: aligned to 4 only
    size_t bytes() { return reinterpret_cast<char *>(piece_list() + pieces) - reinterpret_cast<char *>(this); }
};
static_assert(sizeof(shared_plan) % 8 == 0);

// The columns of `like` in one table.
struct column_map {
    int count;
    int16_t number[MaxTupleAttributeNumber]; // in the table, from 1
    int16_t length[MaxTupleAttributeNumber];
    bool by_value[MaxTupleAttributeNumber];
    int16_t key;
    Oid key_type;
};

bool counts(const FormData_pg_attribute *a) { return !a->attisdropped && a->attgenerated != 'v'; }

// Inside of call().
void map_columns(TupleDesc like, int16_t key_attribute, TupleDesc table, column_map &m) {
    m.count = m.key = 0;
    for (int i = 0; i < like->natts; ++i) {
        const FormData_pg_attribute *wanted = TupleDescAttr(like, i), *found = nullptr;
        if (!counts(wanted))
            continue;
        int n = i < table->natts && strcmp(NameStr(TupleDescAttr(table, i)->attname), NameStr(wanted->attname)) == 0 ? i : 0;
        for (; n < table->natts && found == nullptr; ++n)
            if (!TupleDescAttr(table, n)->attisdropped && strcmp(NameStr(TupleDescAttr(table, n)->attname), NameStr(wanted->attname)) == 0)
                found = TupleDescAttr(table, n);
        if (found == nullptr || found->atttypid != wanted->atttypid)
            ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                            errmsg("column \"%s\" is not the same in both tables", NameStr(wanted->attname)),
                            errhint("It was altered while the tables were being compared.")));
        m.number[m.count] = static_cast<int16_t>(n);
        m.length[m.count] = found->attlen;
        m.by_value[m.count] = found->attbyval;
        if (wanted->attnum == key_attribute) {
            m.key = static_cast<int16_t>(n);
            m.key_type = getBaseType(found->atttypid);
        }
        ++m.count;
    }
    if (m.key == 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN), errmsg("a table has lost its partition key column"),
                        errhint("It was dropped or renamed while the tables were being compared.")));
}

// Inside of call(); what is detoasted goes to the current context.
void hash_value(core::row_hasher &h, Datum d, bool null, int16_t length, bool by_value) {
    if (null)
        h.null();
    else if (by_value)
        h.word(length >= 8 ? d : d & ((uint64_t{1} << (8 * length)) - 1));
    else if (length > 0)
        h.bytes(DatumGetPointer(d), length);
    else if (length == -1) {
        struct varlena *v = PG_DETOAST_DATUM_PACKED(d);
        h.bytes(VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v));
    } else
        h.bytes(DatumGetCString(d), strlen(DatumGetCString(d)));
}

uint32_t range_of(const core::position *edges, uint32_t count, core::position p) {
    return static_cast<uint32_t>(std::upper_bound(edges, edges + count, p) - edges);
}

// Inside of call().
void hash_piece(shared_plan &plan, const piece &p, MemoryContext values, core::content_sum *sums) {
    Relation like = table_open(plan.like, AccessShareLock), table = table_open(p.table, AccessShareLock);
    require_tid_ranges(table);
    auto *m = static_cast<column_map *>(palloc(sizeof(column_map)));
    map_columns(RelationGetDescr(like), plan.key_attribute, RelationGetDescr(table), *m);
    TupleTableSlot *slot = table_slot_create(table, nullptr);
    ItemPointerData low, high;
    ItemPointerSet(&low, p.first, 1);
    ItemPointerSet(&high, p.end - 1, MaxOffsetNumber);
    TableScanDesc scan = table_beginscan_tidrange(table, GetActiveSnapshot(), &low, &high);
    MemoryContext home = MemoryContextSwitchTo(values);
    for (uint32_t n = 1; table_scan_getnextslot_tidrange(scan, ForwardScanDirection, slot); ++n) {
        slot_getallattrs(slot);
        core::row_hasher h;
        for (int i = 0; i < m->count; ++i) {
            const int at = m->number[i] - 1;
            hash_value(h, slot->tts_values[at], slot->tts_isnull[at], m->length[i], m->by_value[i]);
        }
        const int key = m->key - 1;
        const uint32_t range = slot->tts_isnull[key] ? plan.edges + 1
            : range_of(plan.edge_list(), plan.edges, key_position(slot->tts_values[key], m->key_type, plan.unit));
        sums[range].add(h.value());
        if (n % 256 == 0) {
            MemoryContextReset(values);
            CHECK_FOR_INTERRUPTS();
        }
    }
    MemoryContextSwitchTo(home);
    table_endscan(scan);
    ExecDropSingleTupleTableSlot(slot);
    pfree(m);
    table_close(table, NoLock);
    table_close(like, NoLock);
}

void take_part(shared_plan &plan, uint32_t process) {
    const scratch space("dbopt contents");
    for (;;) {
        const uint32_t n = plan.next.fetch_add(1);
        if (n >= plan.pieces)
            return;
        const piece p = plan.piece_list()[n];
        MemoryContext context = space.context();
        call([&] {
            MemoryContext values = AllocSetContextCreate(context, "dbopt values", ALLOCSET_DEFAULT_SIZES);
            hash_piece(plan, p, values, plan.sums(process, p.side));
            MemoryContextDelete(values);
        });
    }
}

std::vector<piece> pieces_of(const contents_request &r) {
    std::vector<piece> all;
    uint64_t total = 0;
    std::vector<std::pair<Oid, uint32_t>> tables;
    for (const auto *side : {&r.left, &r.right})
        for (const Oid table : *side) {
            tables.emplace_back(table, call([&] {
                Relation rel = table_open(table, AccessShareLock);
                require_tid_ranges(rel); // a foreign table has no blocks, and would pass for an empty one
                const BlockNumber blocks = RelationGetNumberOfBlocks(rel);
                table_close(rel, NoLock); // locked until the transaction ends
                return blocks;
            }));
            total += tables.back().second;
        }
    const uint64_t size = std::max<uint64_t>(512, total / 8192);
    for (size_t i = 0; i < tables.size(); ++i)
        for (uint64_t from = 0; from < tables[i].second; from += size)
            all.push_back({tables[i].first, static_cast<uint32_t>(from),
                           static_cast<uint32_t>(std::min<uint64_t>(from + size, tables[i].second)), i >= r.left.size()});
    return all;
}

std::vector<core::content_sum> added_up(shared_plan &plan, int side) {
    std::vector<core::content_sum> all(plan.ranges());
    for (uint32_t process = 0; process < plan.processes; ++process)
        for (uint32_t i = 0; i < plan.ranges(); ++i)
            all[i].add(plan.sums(process, side)[i]);
    return all;
}

} // namespace

contents read_contents(const contents_request &r) {
    call([] { PushActiveSnapshot(GetTransactionSnapshot()); });
    const std::vector<piece> pieces = pieces_of(r);
    uint64_t blocks = 0;
    for (const piece &p : pieces)
        blocks += p.end - p.first;
    const int workers = std::min(workers_for(static_cast<uint32_t>(std::min<uint64_t>(blocks, UINT32_MAX))), most_processes - 1);
    shared_plan head{};
    head.like = r.like;
    head.key_attribute = call([&] { return get_attnum(r.like, r.key_column.c_str()); });
    head.unit = r.unit;
    head.pieces = static_cast<uint32_t>(pieces.size());
    head.edges = static_cast<uint32_t>(r.edges.size());
    head.processes = static_cast<uint32_t>(workers) + 1;
    const size_t bytes = head.bytes();
    std::vector<uint64_t> memory(bytes / 8 + 1); // zeroed, aligned
    auto *plan = new (memory.data()) shared_plan{head.like, head.key_attribute, head.unit, head.pieces, head.edges, head.processes, {}};
    std::copy(pieces.begin(), pieces.end(), plan->piece_list());
    std::copy(r.edges.begin(), r.edges.end(), plan->edge_list());
    contents found;
    const auto finish = [&](shared_plan &p) { found = {added_up(p, 0), added_up(p, 1)}; };
    if (workers > 0) {
        parallel_team team("dbopt_contents_parallel_main", workers, plan, bytes);
        auto *shared = static_cast<shared_plan *>(team.memory());
        take_part(*shared, 0);
        team.wait();
        finish(*shared);
    } else {
        take_part(*plan, 0);
        finish(*plan);
    }
    call([] { PopActiveSnapshot(); });
    return found;
}

std::vector<std::string> content_columns(Oid like) {
    std::vector<std::string> columns;
    for (const row r : query("SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped "
                             "AND attgenerated <> 'v' ORDER BY attnum", {like}))
        columns.push_back(r.get<std::string>(0));
    return columns;
}

void take_out(const contents_request &request, const result &rows, std::vector<core::content_sum> &sums) {
    if (rows.empty())
        return;
    TupleDesc desc = rows.desc();
    int key = -1;
    for (int i = 0; i < desc->natts; ++i)
        if (request.key_column == NameStr(TupleDescAttr(desc, i)->attname))
            key = i;
    const Oid type = call([&] { return getBaseType(TupleDescAttr(desc, key)->atttypid); });
    const scratch space("dbopt values");
    for (const row r : rows) {
        core::row_hasher h;
        for (int i = 0; i < desc->natts; ++i) {
            const FormData_pg_attribute *a = TupleDescAttr(desc, i);
            const bool null = r.null(i);
            const Datum d = null ? Datum{0} : r.datum(i);
            call([&] { hash_value(h, d, null, a->attlen, a->attbyval); });
        }
        const size_t range = r.null(key) ? request.edges.size() + 1
            : range_of(request.edges.data(), static_cast<uint32_t>(request.edges.size()), key_position(r.datum(key), type, request.unit));
        sums[range].remove(h.value());
    }
}

} // namespace dbopt::pg

extern "C" {
PGDLLEXPORT void dbopt_contents_parallel_main(dsm_segment *segment, shm_toc *toc);
}

void dbopt_contents_parallel_main(dsm_segment *, shm_toc *toc) {
    using namespace dbopt::pg;
    boundary([&] { take_part(*static_cast<shared_plan *>(team_memory(toc)), static_cast<uint32_t>(team_number()) + 1); });
}
