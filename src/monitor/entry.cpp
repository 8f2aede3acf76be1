// SQL entry points of the monitor room.
#include "core/figures.hpp"
#include "monitor/sizes.hpp"
#include "pg/entry.hpp"
#include "pg/filesize.hpp"
#include "pg/machine.hpp"
#include "pg/relation.hpp"
#include "pg/settings.hpp"
#include "pg/transaction.hpp"
#include <chrono>

using namespace dbopt;

static std::vector<const monitor::finding *> worst_first(const std::vector<monitor::finding> &all) {
    std::vector<const monitor::finding *> out;
    for (const monitor::finding &f : all)
        out.push_back(&f);
    std::stable_sort(out.begin(), out.end(), [](const auto *a, const auto *b) {
        return monitor::rank_of(a->status) > monitor::rank_of(b->status);
    });
    return out;
}

DBOPT_FUNCTION(dbopt_health) {
    const int at_least = monitor::rank_of(args.get<std::string>(0));
    const auto all = monitor::examine(monitor::tier_of(args.get<std::string>(1)));
    pg::rows out(args);
    for (const monitor::finding *f : worst_first(all))
        if (monitor::rank_of(f->status) >= at_least)
            out.add(f->what->name, f->status, f->value, f->what->unit, f->limits.warn,
                    f->limits.critical, f->detail,
                    f->bad() ? pg::value(f->what->advice) : pg::value(nullptr));
    return out.done();
}

DBOPT_FUNCTION(dbopt_health_summary) {
    const auto started = std::chrono::steady_clock::now();
    const auto all = monitor::examine(monitor::tier_of(args.get<std::string>(0)));
    std::array<int64_t, 5> count{};
    std::string worst;
    for (const monitor::finding *f : worst_first(all)) {
        ++count[static_cast<size_t>(monitor::rank_of(f->status))];
        if (f->bad() && worst.size() < 200)
            worst += (worst.empty() ? "" : ", ") + std::string(f->what->name);
    }
    const bool blind = std::any_of(all.begin(), all.end(), [](const monitor::finding &f) { return f.forbidden; });
    const char *status = count[4] > 0 ? "critical" : count[3] > 0 ? "warning" : blind ? "skipped" : "ok";
    if (blind && worst.empty())
        worst = "some checks need membership in pg_monitor";
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - started;
    return args.record({status, count[4], count[3], count[2], count[1], count[0],
                        worst.empty() ? pg::value(nullptr) : pg::value(worst), core::for_people(took.count())});
}

// (check_name, unit, warn, critical, low_is_bad, for_seconds, alerts, advice) of every check.
DBOPT_FUNCTION(dbopt_checks) {
    pg::rows out(args);
    for (const auto topic : {monitor::activity_probes(), monitor::server_probes(),
                             monitor::settings_probes(), monitor::schema_probes(), monitor::room_probes()})
        for (const monitor::probe &p : topic)
            for (const monitor::check &c : p.checks)
                out.add(c.name, c.unit, c.limits.warn, c.limits.critical, c.limits.low_is_bad,
                        c.for_seconds, c.alerts, static_cast<int64_t>(p.at), c.advice);
    return out.done();
}

DBOPT_FUNCTION(dbopt_machine) {
    const pg::machine m = pg::read_machine();
    return args.record({static_cast<int64_t>(m.cpus), m.memory_bytes, m.available_bytes, m.load1});
}

// The data directory first, then WAL and tablespaces where they are other file systems.
DBOPT_FUNCTION(dbopt_filesystems) {
    pg::rows out(args);
    std::vector<std::string> paths = {".", "pg_wal"};
    for (const pg::row &r : pg::query("SELECT oid::pg_catalog.text FROM pg_catalog.pg_tablespace "
                                      "WHERE spcname NOT IN ('pg_default', 'pg_global')"))
        paths.push_back("pg_tblspc/" + r.get<std::string>(0));
    std::vector<uint64_t> seen;
    for (const std::string &path : paths) {
        const auto fs = pg::read_filesystem(path);
        if (!fs || std::find(seen.begin(), seen.end(), fs->id) != seen.end())
            continue;
        seen.push_back(fs->id);
        out.add(path == "." ? "data directory" : path, fs->total, fs->free);
    }
    return out.done();
}

DBOPT_FUNCTION(dbopt_folder_bytes) {
    return args.result(pg::folder_bytes(args.get<std::string>(0).c_str()));
}

// NULL while somebody holds the table: pg_get_indexdef would wait for him.
DBOPT_FUNCTION(dbopt_index_ddl) {
    const Oid index = args.get<Oid>(0);
    const auto table = pg::scalar<Oid>("SELECT indrelid FROM pg_catalog.pg_index WHERE indexrelid = $1", {index});
    std::optional<std::string> ddl;
    if (table && pg::try_lock(*table, AccessShareLock)) {
        if (pg::try_lock(index, AccessShareLock)) {
            ddl = pg::scalar<std::string>("SELECT pg_catalog.pg_get_indexdef($1::pg_catalog.oid)", {index});
            pg::unlock(index, AccessShareLock);
        }
        pg::unlock(*table, AccessShareLock);
    }
    if (ddl)
        return args.result(*ddl);
    const_cast<FunctionCallInfo>(args.info())->isnull = true;
    return args.nothing();
}

DBOPT_FUNCTION(dbopt_database_bytes) { return args.result(pg::current_inventory()->database_bytes()); }

DBOPT_FUNCTION(dbopt_relation_bytes) {
    pg::rows out(args);
    const auto all = pg::current_inventory(); // held: the loop keeps no temporary alive
    for (const pg::stored_relation &r : all->sizes())
        if (RELKIND_HAS_STORAGE(r.kind))
            out.add(r.oid, std::string(1, r.kind), r.owner_table, r.main, r.bytes());
    return out.done();
}

// (relation, kind, is_partition, estimated_rows, live_rows, dead_rows, seq_scans, written_rows,
// table_bytes, index_bytes, toast_bytes, total_bytes, of_all_pct) of every user's table and
// materialized view, largest first; of the first `most` of them.
DBOPT_FUNCTION(dbopt_table_sizes) {
    pg::rows out(args);
    const auto all = pg::current_inventory();
    std::vector<monitor::table_size> tables = monitor::table_sizes(*all);
    double sum = 0;
    for (const monitor::table_size &t : tables)
        sum += static_cast<double>(t.total());
    if (const auto most = args.optional<int32_t>(0); most && static_cast<size_t>(std::max(*most, 0)) < tables.size())
        tables.resize(static_cast<size_t>(std::max(*most, 0)));
    for (const monitor::table_size &t : tables) {
        const pg::relation_counters &c = t.table->counters;
        out.add(t.table->oid, t.table->kind == RELKIND_MATVIEW ? "matview" : "table", t.table->is_partition,
                t.table->tuples < 0 ? pg::value(nullptr) : pg::value(static_cast<int64_t>(t.table->tuples)), c.live,
                c.dead, c.scans, c.inserted + c.updated + c.deleted, t.table->bytes(), t.indexes, t.toast, t.total(),
                sum > 0 ? pg::value(100 * static_cast<double>(t.total()) / sum) : pg::value(nullptr));
    }
    return out.done();
}

DBOPT_FUNCTION(dbopt_preloaded) { return args.result(monitor::preloaded()); }

// A locked sequence is left out: reading it would wait.
DBOPT_FUNCTION(dbopt_sequences) {
    static const auto *last_value = new pg::statement(
        "SELECT pg_catalog.pg_sequence_last_value($1::pg_catalog.oid)", {OIDOID});
    pg::rows out(args);
    const pg::result sequences = pg::query(
        "SELECT s.seqrelid, s.seqincrement, s.seqmax, s.seqmin, "
        "(SELECT min(CASE a.atttypid WHEN 21 THEN 32767 WHEN 23 THEN 2147483647 END) "
        " FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attribute a "
        " ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid "
        " WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = s.seqrelid "
        " AND d.deptype IN ('a', 'i')) "
        "FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid "
        "WHERE NOT s.seqcycle AND c.relpersistence <> 't' "
        "AND pg_catalog.has_sequence_privilege(s.seqrelid, 'SELECT,USAGE')");
    for (const pg::row &r : sequences) {
        const Oid sequence = r.get<Oid>(0);
        if (!pg::try_lock(sequence, RowExclusiveLock)) // the one that reading takes
            continue;
        std::optional<int64_t> last;
        auto gone = pg::subtransaction([&] {
            const pg::result value = last_value->run({sequence});
            last = value[0].optional<int64_t>(0);
        });
        pg::unlock(sequence, RowExclusiveLock);
        if (gone || !last)
            continue;
        const bool up = r.get<int64_t>(1) > 0;
        const double bound = static_cast<double>(r.get<int64_t>(up ? 2 : 3));
        const auto column = r.optional<int64_t>(4);
        const bool limited = up && column && static_cast<double>(*column) < bound;
        const double end = limited ? static_cast<double>(*column) : bound;
        const double first = static_cast<double>(r.get<int64_t>(up ? 3 : 2));
        const double used = end == first ? 0 : 100 * (static_cast<double>(*last) - first) / (end - first);
        out.add(sequence, *last, end, used, limited);
    }
    return out.done();
}

DBOPT_FUNCTION(dbopt_points) {
    pg::rows out(args);
    const auto names = monitor::points();
    // NULL asks for the names alone: nothing is measured.
    const auto values = args.null(0) ? std::vector<std::optional<double>>(names.size())
                                     : monitor::read_points(args.get<bool>(0));
    for (size_t i = 0; i < values.size(); ++i)
        out.add(static_cast<int64_t>(i + 1), names[i].name,
                names[i].kind == monitor::point_kind::counter ? "counter" : "gauge", names[i].unit,
                names[i].help, values[i]);
    return out.done();
}
