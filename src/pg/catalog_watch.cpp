#include "pg/catalog_watch.hpp"
#include <set>

extern "C" {
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/syscache.h"
}

namespace dbopt::pg {

namespace {

uint64_t changes = 0, messages = 0;
std::set<Oid> *watched = nullptr; // lives as long as the backend

// Called wherever invalidations are worked off: must not raise or allocate.
void relation_changed(Datum, Oid relation) {
    ++messages;
    if (relation == InvalidOid || watched->count(relation) > 0)
        ++changes;
}

void object_changed(Datum, int, uint32) { ++changes; }

void start() {
    if (watched != nullptr)
        return;
    watched = new std::set<Oid>;
    call([] {
        CacheRegisterRelcacheCallback(relation_changed, 0);
        for (const int cache : {PROCOID, ENUMOID, EVENTTRIGGEROID, SUBSCRIPTIONRELMAP, AUTHOID, AUTHMEMROLEMEM})
            CacheRegisterSyscacheCallback(cache, object_changed, 0);
    });
}

} // namespace

uint64_t catalog_changes() {
    start();
    call([] { AcceptInvalidationMessages(); });
    return changes;
}

uint64_t relation_messages() {
    start();
    call([] { AcceptInvalidationMessages(); });
    return messages;
}

void watch_relation(Oid relation) {
    start();
    watched->insert(relation);
}

void announce_change(Oid relation) {
    call([&] { CacheInvalidateRelcacheByRelid(relation); });
}

std::string content_settings() {
    std::string out;
    for (const char *name : {"TimeZone", "DateStyle", "IntervalStyle", "extra_float_digits", "bytea_output",
                             "lc_monetary", "lc_numeric", "lc_time"})
        out += std::string(call([&] { return GetConfigOption(name, false, false); })) + "\n";
    return out;
}

Oid relation_file(Oid relation) {
    return call([&] {
        HeapTuple t = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
        const Oid file = HeapTupleIsValid(t) ? ((Form_pg_class)GETSTRUCT(t))->relfilenode : InvalidOid;
        if (HeapTupleIsValid(t))
            ReleaseSysCache(t);
        return file;
    });
}

} // namespace dbopt::pg
