// Partitions that come empty need no full refresh: captured in the transaction that makes or attaches
// them, they have no row that is not in the log.
#include "matview/incremental.hpp"
#include "pg/capture_trigger.hpp"
#include "pg/partition_event.hpp"
#include "pg/query.hpp"
#include "pg/security.hpp"
#include "pg/transaction.hpp"

namespace dbopt::matview {

// In the transaction of CREATE or ATTACH, which has locked it: nobody else can have written it since.
static void take_in(Oid partition, Oid base) {
    const pg::relation_info info = pg::get_relation(partition);
    if ((info.kind != RELKIND_RELATION && info.kind != RELKIND_PARTITIONED_TABLE) ||
        info.persistence != RELPERSISTENCE_PERMANENT)
        return; // the next refresh says why
    if (!pg::is_empty(partition))
        return;
    pg::remove_capture(partition);
    pg::install_capture(partition, base);
    // Its second life: rows of the first one may be in the log.
    if (pg::scalar<bool>("SELECT EXISTS (SELECT FROM dbopt._matview_born WHERE relation = $1)", {partition}).value_or(true))
        pg::mark_uncaptured(base);
    pg::execute("INSERT INTO dbopt._matview_born AS b (relation, base, born, line) VALUES ($1, $2, "
                "pg_current_xact_id(), dbopt._matview_line($1)) ON CONFLICT (relation) DO UPDATE SET base = "
                "excluded.base, born = excluded.born, line = excluded.line", {partition, base});
}

void take_in_partitions() {
    const pg::as_owner writer(extension_owner());
    for (const pg::row &r : pg::query("SELECT b.base FROM dbopt._matview_base b JOIN pg_catalog.pg_class c ON c.oid = "
                                      "b.base WHERE c.relkind = 'p'")) {
        const Oid base = r.get<Oid>(0);
        for (Oid point : pg::capture_points(base)) {
            // What this command made or attached it has locked; others are none of its business, and may be locked
            // by somebody else.
            if (point == base || !pg::held_exclusively(point) || pg::has_capture(point, base))
                continue;
            // Whoever makes a partition is not to fail for the sake of a matview.
            if (const auto failure = pg::subtransaction([&] { take_in(point, base); }))
                pg::log("partition " + std::to_string(point) + " is not captured yet: " + failure->message());
        }
    }
}

std::string fingerprint_without_newcomers(Oid matview, const knowledge &k, const stored_state &s) {
    std::string list;
    for (const source &x : k.sources)
        list += (list.empty() ? "" : ",") + std::to_string(x.relation);
    std::vector<source> known = k.sources;
    {
        const pg::as_owner reader(extension_owner());
        for (const pg::row &r : pg::query("SELECT relation FROM dbopt._matview_born WHERE relation = ANY (('{' || $1 || "
                                          "'}')::oid[]) AND NOT pg_visible_in_snapshot(born, $2::text::pg_snapshot) AND "
                                          "line = dbopt._matview_line(relation)", {list, *s.snapshot}))
            std::erase_if(known, [&](const source &x) { return x.relation == r.get<Oid>(0); });
    }
    if (known.size() == k.sources.size())
        return {};
    return fingerprint_of(matview, known) + k.fingerprint.substr(k.fingerprint.find(' '));
}

bool came_and_went(Oid matview, const knowledge &k, const stored_state &s) {
    std::string list;
    bool partitioned = false;
    for (const source &x : k.sources) {
        list += (list.empty() ? "" : ",") + std::to_string(x.relation);
        partitioned |= x.kind == 'p';
    }
    if (!partitioned)
        return false;
    const pg::as_owner reader(extension_owner());
    return pg::scalar<bool>("SELECT EXISTS (SELECT FROM dbopt._matview_born n JOIN dbopt._matview_use u ON u.base = n.base AND "
                            "u.matview = $1 WHERE (NOT pg_visible_in_snapshot(n.born, $2::text::pg_snapshot) OR n.born::text = $3) "
                            "AND n.relation <> ALL (('{' || $4 || '}')::oid[]))",
                            {matview, *s.snapshot, s.own_xid.value_or(""), list})
        .value_or(true);
}

} // namespace dbopt::matview
