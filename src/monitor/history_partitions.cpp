#include "monitor/history_partitions.hpp"
#include "pg/query.hpp"
#include "pg/transaction.hpp"

namespace dbopt::monitor {

namespace {

struct week {
    std::string name; // history_20261116
    std::string from, to;
};

week week_of(pg::timestamptz at) {
    const pg::result r = pg::query(
        "SELECT pg_catalog.to_char(w, 'YYYYMMDD'), w || '+00', w + interval '7 days' || '+00' FROM "
        "pg_catalog.date_trunc('week', $1 AT TIME ZONE 'UTC') w", {at});
    return {"history_" + r[0].get<std::string>(0), r[0].get<std::string>(1), r[0].get<std::string>(2)};
}

} // namespace

// CREATE and ATTACH take SHARE UPDATE EXCLUSIVE on the parent only: no reader waits for them, as one
// would for CREATE TABLE … PARTITION OF. As members of the extension the partitions are not dumped.
bool ensure_history_partition(pg::timestamptz at) {
    const week w = week_of(at);
    const std::string table = "dbopt." + w.name;
    if (pg::scalar<bool>("SELECT pg_catalog.to_regclass($1) IS NOT NULL", {table}).value_or(false))
        return false;
    pg::execute("CREATE TABLE " + table + " (LIKE dbopt.history INCLUDING ALL)");
    pg::execute("ALTER TABLE dbopt.history ATTACH PARTITION " + table + " FOR VALUES FROM ('" + w.from + "') TO ('" + w.to + "')");
    pg::execute("COMMENT ON TABLE " + table + " IS 'snapshots of one week; see dbopt.history'");
    pg::execute("ALTER EXTENSION dbopt ADD TABLE " + table);
    return true;
}

void drop_history_partitions(const pg::interval &keep) {
    const pg::result old = pg::query(
        "SELECT c.relname::pg_catalog.text FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class c ON c.oid = h.inhrelid "
        "WHERE h.inhparent = 'dbopt.history'::pg_catalog.regclass AND c.relname ~ '^history_[0-9]{8}$' "
        "AND pg_catalog.to_date(pg_catalog.right(c.relname, 8), 'YYYYMMDD') + 7 < (pg_catalog.now() - $1) AT TIME ZONE 'UTC'", {keep});
    for (const pg::row &r : old) {
        const std::string table = "dbopt." + r.get<std::string>(0);
        // A report that reads the history may hold it: then next time.
        pg::subtransaction([&] {
            pg::set_local("lock_timeout", "50ms");
            pg::execute("ALTER EXTENSION dbopt DROP TABLE " + table);
            pg::execute("DROP TABLE " + table);
        });
    }
}

} // namespace dbopt::monitor
