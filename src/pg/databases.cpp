#include "pg/databases.hpp"
#include "pg/transaction.hpp"

namespace dbopt::pg {

namespace {
struct found {
    Oid oid;
    NameData name;
    bool is_template;
};
} // namespace

std::vector<database_info> connectable_databases() {
    transaction t;
    // Collected in server memory first: the guarded lambda owns nothing.
    List *list = call([] {
        List *l = NIL;
        Relation rel = table_open(DatabaseRelationId, AccessShareLock);
        TableScanDesc scan = table_beginscan_catalog(rel, 0, nullptr);
        while (HeapTuple tuple = heap_getnext(scan, ForwardScanDirection)) {
            Form_pg_database d = (Form_pg_database)GETSTRUCT(tuple);
            if (!d->datallowconn || d->datconnlimit < -1)
                continue;
            found *f = static_cast<found *>(palloc(sizeof(found)));
            *f = {d->oid, d->datname, d->datistemplate};
            l = lappend(l, f);
        }
        table_endscan(scan);
        table_close(rel, AccessShareLock);
        return l;
    });
    std::vector<database_info> out;
    for (int i = 0; i < list_length(list); ++i) {
        const found *f = static_cast<const found *>(list_nth(list, i));
        out.push_back({f->oid, NameStr(f->name), f->is_template});
    }
    t.commit();
    return out;
}

std::string database_name(Oid database) {
    const char *name = call([&] { return get_database_name(database); });
    return name != nullptr ? name : "";
}

} // namespace dbopt::pg
