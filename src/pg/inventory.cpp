#include "pg/inventory.hpp"
#include "pg/compat.hpp"
#include "pg/filesize.hpp"
#include "pg/query.hpp"

extern "C" {
#include "access/genam.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_tablespace.h"
#include "utils/array.h"
#include "utils/rel.h"
}

namespace dbopt::pg {

namespace {

// Calls each(tuple, descriptor) for every row of a catalog. each() may raise and throw.
template <class F> void scan_catalog(Oid catalog, F &&each) {
    call([&] {
        Relation rel = table_open(catalog, AccessShareLock);
        SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, nullptr, 0, nullptr);
        while (HeapTuple t = systable_getnext(scan))
            each(t, RelationGetDescr(rel));
        systable_endscan(scan);
        table_close(rel, AccessShareLock);
    });
}

bool is_interesting(const FormData_pg_class &c) {
    return c.relpersistence != RELPERSISTENCE_TEMP && c.relkind != RELKIND_VIEW &&
           c.relkind != RELKIND_COMPOSITE_TYPE && c.relkind != RELKIND_FOREIGN_TABLE;
}

bool autovacuum_on(HeapTuple t, TupleDesc desc, char kind) {
    bool null;
    heap_getattr(t, Anum_pg_class_reloptions, desc, &null);
    if (null || (kind != RELKIND_RELATION && kind != RELKIND_MATVIEW))
        return true;
    auto *o = reinterpret_cast<StdRdOptions *>(extractRelOptions(t, desc, nullptr));
    const bool on = o == nullptr || o->autovacuum.enabled;
    if (o != nullptr)
        pfree(o);
    return on;
}

relation_counters counters_of(Oid relation) {
    relation_counters out;
    const PgStat_StatTabEntry *e = pgstat_fetch_stat_tabentry_ext(IsSharedRelation(relation), relation);
    if (e == nullptr)
        return out;
    out.live = compat::live_rows(*e);
    out.dead = compat::dead_rows(*e);
    out.modified = compat::modified_rows(*e);
    out.scans = e->numscans;
    out.rows_read = e->tuples_returned;
    out.inserted = e->tuples_inserted;
    out.updated = e->tuples_updated;
    out.deleted = e->tuples_deleted;
    out.blocks_fetched = e->blocks_fetched;
    out.blocks_hit = e->blocks_hit;
    return out;
}

// What an index does, as bytes: equal for two that do the same.
std::string signature_of(HeapTuple t, TupleDesc desc) {
    const auto *i = reinterpret_cast<Form_pg_index>(GETSTRUCT(t));
    std::string out(reinterpret_cast<const char *>(&i->indrelid), sizeof(Oid));
    out += static_cast<char>(i->indnkeyatts);
    for (const int column : {Anum_pg_index_indkey, Anum_pg_index_indclass, Anum_pg_index_indcollation,
                             Anum_pg_index_indoption, Anum_pg_index_indexprs, Anum_pg_index_indpred}) {
        bool null;
        const Datum d = heap_getattr(t, column, desc, &null);
        if (!null) {
            struct varlena *v = PG_DETOAST_DATUM_PACKED(d);
            out.append(VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v));
        }
        out += '|';
    }
    return out;
}

bool absent(HeapTuple t, int column, TupleDesc desc) {
    bool null;
    heap_getattr(t, column, desc, &null);
    return null;
}

inventory_scope *open_scope = nullptr;

} // namespace

inventory::inventory() {
    std::unordered_map<Oid, Oid> toast_of; // toast table → its table
    const TransactionId next = ReadNextTransactionId();
    scan_catalog(RelationRelationId, [&](HeapTuple t, TupleDesc desc) {
        const auto &c = *reinterpret_cast<Form_pg_class>(GETSTRUCT(t));
        if (!is_interesting(c))
            return;
        stored_relation r{.oid = c.oid, .owner_table = c.oid, .schema = c.relnamespace,
                          .tablespace = c.reltablespace, .file = c.relfilenode, .kind = c.relkind,
                          .persistence = c.relpersistence, .is_partition = c.relispartition,
                          .pages = c.relpages, .tuples = c.reltuples};
        if (r.file == 0 && RELKIND_HAS_STORAGE(r.kind))
            r.file = compat::mapped_file(r.oid, c.relisshared);
        if (TransactionIdIsNormal(c.relfrozenxid))
            r.frozen_age = static_cast<int32>(next - c.relfrozenxid);
        r.autovacuum = autovacuum_on(t, desc, r.kind);
        r.counters = counters_of(r.oid);
        if (OidIsValid(c.reltoastrelid))
            toast_of.emplace(c.reltoastrelid, c.oid);
        relations_.push_back(r);
    });
    check_interrupts();
    std::unordered_map<Oid, Oid> table_of; // index → its table
    scan_catalog(IndexRelationId, [&](HeapTuple t, TupleDesc) {
        const auto &i = *reinterpret_cast<Form_pg_index>(GETSTRUCT(t));
        table_of.emplace(i.indexrelid, i.indrelid);
    });
    for (stored_relation &r : relations_) {
        if (r.kind == RELKIND_INDEX || r.kind == RELKIND_PARTITIONED_INDEX)
            if (const auto at = table_of.find(r.oid); at != table_of.end())
                r.owner_table = at->second;
        if (const auto at = toast_of.find(r.owner_table); at != toast_of.end())
            r.owner_table = at->second;
    }
}

const std::vector<stored_relation> &inventory::sizes() const {
    if (database_bytes_ < 0)
        read_files();
    return relations_;
}

int64_t inventory::database_bytes() const {
    if (database_bytes_ < 0)
        read_files();
    return database_bytes_;
}

void inventory::read_files() const {
    std::unordered_map<Oid, sizes_by_file> folders;
    int64_t bytes = 0;
    read_database_folder(GLOBALTABLESPACE_OID, folders[GLOBALTABLESPACE_OID]); // of no database
    for (const row &r : query("SELECT oid FROM pg_catalog.pg_tablespace WHERE spcname <> 'pg_global'")) {
        const Oid space = r.get<Oid>(0);
        bytes += read_database_folder(space, folders[space]);
        check_interrupts();
    }
    for (stored_relation &r : relations_) {
        const auto folder = folders.find(OidIsValid(r.tablespace) ? r.tablespace : MyDatabaseTableSpace);
        if (r.file == 0 || folder == folders.end())
            continue;
        if (const auto f = folder->second.find(r.file); f != folder->second.end()) {
            r.main = f->second.main;
            r.other = f->second.other;
        }
    }
    database_bytes_ = bytes;
}

const std::vector<stored_index> &inventory::indexes() const {
    if (indexes_read_)
        return indexes_;
    scan_catalog(IndexRelationId, [&](HeapTuple t, TupleDesc desc) {
        const auto &i = *reinterpret_cast<Form_pg_index>(GETSTRUCT(t));
        if (i.indrelid < FirstNormalObjectId)
            return;
        indexes_.push_back({.oid = i.indexrelid, .table = i.indrelid, .unique = i.indisunique,
                            .primary = i.indisprimary, .exclusion = i.indisexclusion, .valid = i.indisvalid,
                            .partial = !absent(t, Anum_pg_index_indpred, desc),
                            .keys = {i.indkey.values, i.indkey.values + i.indnatts},
                            .signature = signature_of(t, desc)});
    });
    indexes_read_ = true;
    return indexes_;
}

const std::vector<stored_constraint> &inventory::constraints() const {
    if (constraints_read_)
        return constraints_;
    scan_catalog(ConstraintRelationId, [&](HeapTuple t, TupleDesc desc) {
        const auto &c = *reinterpret_cast<Form_pg_constraint>(GETSTRUCT(t));
        if (c.conrelid < FirstNormalObjectId || (c.contype != CONSTRAINT_FOREIGN && c.convalidated))
            return;
        bool null;
        const Datum keys = heap_getattr(t, Anum_pg_constraint_conkey, desc, &null);
        stored_constraint out{.table = c.conrelid, .foreign_key = c.contype == CONSTRAINT_FOREIGN,
                              .validated = c.convalidated};
        if (!null) {
            ArrayType *a = DatumGetArrayTypeP(keys);
            const auto *first = reinterpret_cast<const int16_t *>(ARR_DATA_PTR(a));
            out.keys.assign(first, first + ARR_DIMS(a)[0]);
        }
        constraints_.push_back(std::move(out));
    });
    constraints_read_ = true;
    return constraints_;
}

inventory_scope::inventory_scope() : outermost_(open_scope == nullptr) {
    if (outermost_)
        open_scope = this;
}

inventory_scope::~inventory_scope() {
    if (outermost_)
        open_scope = nullptr;
}

std::shared_ptr<const inventory> current_inventory() {
    if (open_scope == nullptr)
        return std::make_shared<const inventory>();
    if (!open_scope->shared_)
        open_scope->shared_ = std::make_shared<const inventory>();
    return open_scope->shared_;
}

} // namespace dbopt::pg
