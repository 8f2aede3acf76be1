#include "advisor/builds.hpp"
#include "advisor/advisor.hpp"
#include "advisor/gain.hpp"
#include "core/hold.hpp"
#include "core/index_size.hpp"
#include "pg/advisory.hpp"
#include "pg/catalog_text.hpp"
#include "pg/hold.hpp"
#include "pg/index_sample.hpp"
#include "pg/machine.hpp"
#include "pg/caller_query.hpp"
#include "pg/fixed_path.hpp"
#include "pg/queue.hpp"
#include "pg/relation.hpp"
#include "pg/security.hpp"
#include "pg/settings.hpp"
#include "pg/transaction.hpp"
#include <map>
#include <set>

namespace dbopt::advisor {

namespace {

constexpr Oid superuser = BOOTSTRAP_SUPERUSERID;
constexpr int level_lock_ms = 2000, attach_lock_ms = 200;
int watch_seconds = 3600; // read by dbopt._index_watch_begin

// A build that waits in the queue has been promised its name.
bool promised(const std::string &schema, const std::string &index) {
    const pg::as_owner as(superuser); // the table of builds is not the caller's to read
    return pg::scalar<bool>("SELECT EXISTS (SELECT FROM dbopt._index_build WHERE status = 'building' AND index_schema = $1"
                            " AND index_name = $2)",
                            {schema, index})
        .value_or(false);
}

std::string free_index_name(const pg::whatif::definition &d, const std::string &schema) {
    if (!d.name.empty()) {
        if (pg::relation_exists_beside(d.spec.relation, d.name))
            pg::raise({.code = ERRCODE_DUPLICATE_TABLE,
                       .message = "relation \"" + d.name + "\" already exists",
                       .hint = "Give the index another name, or none."});
        if (promised(schema, d.name))
            pg::raise({.code = ERRCODE_DUPLICATE_TABLE,
                       .message = "another index with the name \"" + d.name + "\" is about to be built",
                       .hint = "Give the index another name, or none; dbopt.index_builds shows the builds."});
        return d.name;
    }
    std::string base = pg::get_relation(d.spec.relation).name;
    for (const pg::whatif::key &k : d.spec.keys)
        base += "_" + (k.column != 0 ? pg::column_name(d.spec.relation, k.column)
                                     : pg::expression_label(k.expression));
    for (int n = 0;; ++n) {
        const std::string tail = n == 0 ? "_idx" : "_idx" + std::to_string(n);
        const std::string name = pg::clip_identifier(base, 63 - tail.size()) + tail;
        if (!pg::relation_exists_beside(d.spec.relation, name) && !promised(schema, name))
            return name;
    }
}

// The run that is building this very index already, if any: asked for twice, it is built once.
std::optional<int64_t> same_build(const pg::whatif::definition &d, bool partitioned) {
    std::vector<std::pair<std::string, std::string>> open; // command, name
    std::vector<int64_t> runs;
    {
        const pg::as_owner as(superuser);
        for (const pg::row &r : pg::query("SELECT command, index_name, run_id FROM dbopt._index_build WHERE status = 'building'"
                                          " AND relation = $1 AND parent_id IS NULL ORDER BY build_id",
                                          {d.spec.relation})) {
            open.emplace_back(r.get<std::string>(0), r.get<std::string>(1));
            runs.push_back(r.get<int64_t>(2));
        }
    }
    for (size_t i = 0; i < open.size(); ++i)
        if ((d.name.empty() || d.name == open[i].second) &&
            open[i].first == pg::whatif::create_index_text(d, open[i].second, {.concurrently = !partitioned, .only = partitioned,
                                                                               .relation = d.spec.relation}))
            return runs[i];
    return std::nullopt;
}

struct names {
    std::string index, schema;
};

struct prospect {
    double pages = 0, ms = 0;      // of the index
    double delay_seconds = 0;      // until the window opens
};

// A build writes its sort runs and then the index; without room for both it fails near its end, and
// fills the disk for everybody on the way.
void check_disk(const pg::whatif::definition &d, double pages) {
    const auto path = pg::scalar<std::string>(
        "SELECT CASE s.spcname WHEN 'pg_default' THEN '.' ELSE 'pg_tblspc/' || s.oid END FROM pg_catalog.pg_class c, "
        "pg_catalog.pg_database d, pg_catalog.pg_tablespace s WHERE c.oid = $1 AND d.datname = "
        "pg_catalog.current_database() AND s.oid = coalesce(nullif(c.reltablespace, 0), d.dattablespace)",
        {d.spec.relation});
    const auto disk = pg::read_filesystem(path.value_or("."));
    const double needed = pages * 8192 * 2.2;
    if (disk && needed > static_cast<double>(disk->free))
        pg::raise({.code = ERRCODE_DISK_FULL,
                   .message = "there is no room to build the index",
                   .detail = "Building it takes about " + std::to_string(static_cast<int64_t>(needed / 1048576)) +
                             " MB, " + std::to_string(disk->free / 1048576) + " MB are free.",
                   .hint = "Free some space first; dbopt.index_size(ddl) tells the size."});
}

double until_window(const build_options &o) {
    if (!o.window_start && !o.window_end)
        return 0;
    if (!o.window_start || !o.window_end)
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
                   .message = "window_start and window_end belong together",
                   .hint = "Give both, or none."});
    return pg::scalar<double>(
               "SELECT CASE WHEN (s < e AND n >= s AND n < e) OR (s > e AND (n >= s OR n < e)) OR s = e THEN 0"
               " ELSE extract(epoch FROM s - n + CASE WHEN s < n THEN interval '1 day' ELSE interval '0' END) END::float8"
               " FROM (SELECT time '0:00' + $1 * interval '1 microsecond' AS s,"
               " time '0:00' + $2 * interval '1 microsecond' AS e, localtime AS n) AS t",
               {*o.window_start, *o.window_end})
        .value_or(0);
}

int64_t record(const pg::whatif::definition &d, const names &n, const std::string &command, bool verify,
               int64_t run, std::optional<int64_t> parent, const prospect &p) {
    const Oid requester = pg::caller();
    const pg::as_owner as(superuser);
    return pg::scalar<int64_t>(
               "INSERT INTO dbopt._index_build (run_id, parent_id, relation, index_schema, index_name,"
               " command, verify, requested_by, estimated_bytes, estimated_ms)"
               " VALUES ($1, $2::bigint, $3, $4, $5, $6, $7, $8, $9, round($10::numeric, 1)) RETURNING build_id",
               {run, parent, d.spec.relation, n.schema, n.index, command, verify, requester,
                static_cast<int64_t>(p.pages * 8192), p.ms})
        .value();
}

int64_t enqueue_build(const pg::whatif::definition &d, const names &n, const std::string &command,
                      double delay) {
    // Two concurrent builds on one table wait for each other: the dispatcher runs them one by one.
    return pg::enqueue({.area = "advisor",
                        .command = command,
                        .object = d.spec.relation,
                        .cleanup = "SELECT dbopt._index_build_cleanup(" + std::to_string(d.spec.relation) + ", " +
                                   pg::quote_literal(n.schema) + ", " + pg::quote_literal(n.index) + ")",
                        .delay_seconds = delay,
                        .retry_class = "database"});
}

struct piece {
    Oid relation, above;
    bool leaf;
    names index;
};

// table_index, with room for both in 63 bytes; free in the table's schema and not `taken` by another piece.
names free_piece_name(Oid relation, const std::string &table, const std::string &schema, const std::string &index,
                      std::set<std::pair<std::string, std::string>> *taken) {
    for (int n = 0;; ++n) {
        const std::string tail = "_" + pg::clip_identifier(index, 30) + (n == 0 ? "" : std::to_string(n));
        const std::string name = pg::clip_identifier(table, 63 - tail.size()) + tail;
        if (!pg::relation_exists_beside(relation, name) && !promised(schema, name) && taken->emplace(schema, name).second)
            return {.index = name, .schema = schema};
    }
}

// The tree from its root down, with a name for each one's index.
std::vector<piece> pieces_of(Oid root, const names &n) {
    std::vector<piece> out;
    std::set<std::pair<std::string, std::string>> taken{{n.schema, n.index}};
    for (const pg::row &r : pg::query(
             "SELECT t.relid::oid, coalesce(t.parentrelid::oid, 0::oid), c.relkind = 'p', c.relkind = 'f', c.relname::text, s.nspname::text"
             " FROM pg_catalog.pg_partition_tree($1) AS t JOIN pg_catalog.pg_class AS c ON c.oid = t.relid"
             " JOIN pg_catalog.pg_namespace AS s ON s.oid = c.relnamespace ORDER BY t.level, t.relid",
             {root})) {
        const Oid relation = r.get<Oid>(0);
        piece p{.relation = relation, .above = r.get<Oid>(1), .leaf = !r.get<bool>(2), .index = n};
        if (relation != root)
            p.index = free_piece_name(relation, r.get<std::string>(4), r.get<std::string>(5), n.index, &taken);
        if (r.get<bool>(3))
            pg::raise({.code = ERRCODE_WRONG_OBJECT_TYPE,
                       .message = "cannot build an index on " + pg::qualified_name(root) + " partition by partition",
                       .detail = "Its partition " + pg::qualified_name(p.relation) + " is a foreign table.",
                       .hint = "Build an index on each local partition instead."});
        out.push_back(std::move(p));
    }
    return out;
}

// The indexes of the partitioned levels at once (they are empty; SHARE on each, waited for briefly), then
// one build per leaf; background() attaches them from below.
int64_t apply_partitioned(const pg::whatif::definition &d, const names &n, bool verify, const prospect &p) {
    const std::vector<piece> pieces = pieces_of(d.spec.relation, n);
    auto define = [&](const piece &part) {
        return pg::whatif::create_index_text(
            d, part.index.index, {.concurrently = part.leaf, .only = !part.leaf, .relation = part.relation});
    };
    auto of = [&](const piece &part) {
        pg::whatif::definition own = d;
        own.spec.relation = part.relation;
        return own;
    };
    pg::wait_for_locks(level_lock_ms);
    for (const piece &part : pieces)
        if (!part.leaf)
            pg::query_of_caller(define(part));
    std::map<Oid, int64_t> runs, builds;
    int64_t first = 0;
    for (const piece &part : pieces)
        if (part.leaf) {
            runs[part.relation] = enqueue_build(of(part), part.index, define(part), p.delay_seconds);
            first = first == 0 ? runs[part.relation] : first;
        }
    if (first == 0) { // no partitions: the index is there, and no run made it
        const int64_t build = record(d, n, define(pieces.front()), false, 0, std::nullopt, p);
        const pg::as_owner as(superuser);
        pg::execute("UPDATE dbopt._index_build SET run_id = -build_id, status = 'built', finished_at = clock_timestamp()"
                    " WHERE build_id = $1",
                    {build});
        return -build;
    }
    for (const piece &part : pieces) {
        const auto above = builds.find(part.above);
        const bool root = part.relation == d.spec.relation;
        builds[part.relation] =
            record(of(part), part.index, define(part), root && verify, part.leaf ? runs[part.relation] : first,
                   root || above == builds.end() ? std::nullopt : std::optional(above->second), root ? p : prospect{});
    }
    return first;
}

} // namespace

void define_settings() {
    pg::define_int({.name = "dbopt.index_watch",
                    .description = "How long the statements that a new index serves are measured before it is kept for good.",
                    .variable = &watch_seconds, .value = 3600, .low = 1, .high = 2'592'000,
                    .in = pg::unit::s});
}

int64_t apply(const std::string &ddl, const build_options &o) {
    const pg::whatif::definition d = pg::whatif::parse_definition(ddl);
    // The commands run elsewhere: their names are written in full. A lock timeout set below ends here, too.
    const pg::fixed_path names_in_full;
    pg::require_owner(d.spec.relation);
    const pg::relation_info table = pg::get_relation(d.spec.relation);
    if (table.persistence == 't' || pg::is_catalog(table))
        pg::raise({.code = ERRCODE_WRONG_OBJECT_TYPE,
                   .message = "cannot build an index on " + table.qualified() + " in the background",
                   .hint = "Run the CREATE INDEX yourself."});
    if (const auto run = same_build(d, table.kind == 'p')) {
        pg::notice("this index is being built already", "See dbopt.index_builds; its run is " + std::to_string(*run) + ".");
        return *run;
    }
    const names n{.index = free_index_name(d, table.schema), .schema = table.schema};
    // A unique index is a rule, whatever the workload gains from it.
    const bool verify = o.verify && !d.spec.unique;
    const pg::whatif::engine home;
    pg::whatif::size_model sizes(home.context());
    const pg::whatif::index_shape size = sizes.shape(d);
    check_disk(d, size.pages);
    const double columns = static_cast<double>(d.spec.keys.size() + d.spec.includes.size());
    const prospect p{.pages = size.pages,
                     .ms = core::build_ms(sizes.pages(d.spec.relation), size.tuples, columns, size.pages),
                     .delay_seconds = until_window(o)};
    int64_t run;
    if (table.kind == 'p') {
        run = apply_partitioned(d, n, verify, p);
    } else {
        const std::string command = pg::whatif::create_index_text(
            d, n.index, {.concurrently = true, .only = false, .relation = d.spec.relation});
        run = enqueue_build(d, n, command, p.delay_seconds);
        record(d, n, command, verify, run, std::nullopt, p);
    }
    if (o.expectation) {
        const pg::as_owner as(superuser);
        pg::execute("UPDATE dbopt.index_expected SET run_id = $2, tried_at = clock_timestamp()"
                    " WHERE expected_id = $1",
                    {*o.expectation, run});
    }
    if (!pg::workers_available())
        pg::notice("the build is queued, but no dbopt worker serves this database now",
                   "dbopt must be in shared_preload_libraries for queued work to be done.");
    return run;
}

int64_t enqueue_drop(const std::string &qualified, Oid run_as) {
    // A partitioned index cannot be dropped concurrently: at once then, or later, but nobody queues for long.
    const bool tree = pg::scalar<bool>("SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS c"
                                       " WHERE c.oid = pg_catalog.to_regclass($1) AND c.relkind = 'I')",
                                       {qualified})
                          .value();
    return pg::enqueue({.area = "advisor",
                        .command = (tree ? "DROP INDEX IF EXISTS " : "DROP INDEX CONCURRENTLY IF EXISTS ") + qualified,
                        .run_as = run_as,
                        .retry_class = "database",
                        .settings = tree ? std::vector<std::string>{"lock_timeout=200ms"} : std::vector<std::string>{}});
}

void expect(const std::string &ddl) {
    const pg::whatif::expected_table target = pg::whatif::table_of_definition(ddl);
    const Oid requester = pg::caller();
    const pg::as_owner as(superuser);
    pg::execute("INSERT INTO dbopt.index_expected (ddl, table_schema, table_name, owner) VALUES ($1, $2, $3, $4)"
                " ON CONFLICT (ddl) DO NOTHING",
                {ddl, target.schema, target.name, requester});
}

namespace {

void finish(int64_t build, const std::string &status, const std::string &detail, double before = 0,
            double after = 0) {
    pg::execute("UPDATE dbopt._index_build SET status = $2, detail = $3, finished_at = clock_timestamp(),"
                " cost_before = nullif($4, 0), cost_after = nullif($5, 0) WHERE build_id = $1",
                {build, status, detail, before, after});
}

std::string percent(double before, double after) {
    char text[64];
    snprintf(text, sizeof text, "%.1f", before > 0 ? 100 * (before - after) / before : 0);
    return text;
}

void verify_build(int64_t build, Oid index, const std::string &qualified, Oid requester) {
    const workload_gain g = gain_of_index(index);
    if (g.statements == 0) {
        finish(build, "kept", "built; no observed statement reads its table, so its gain is not known yet");
        return;
    }
    if (g.cost_with < g.cost_without * 0.999) {
        finish(build, "kept", "the observed statements on its table cost " +
                                  percent(g.cost_without, g.cost_with) + " % less with it",
               g.cost_without, g.cost_with);
        pg::execute("SELECT dbopt._index_watch_begin($1, $2)", {build, g.gaining});
        return;
    }
    enqueue_drop(qualified, requester);
    finish(build, "dropped", "none of the " + std::to_string(g.statements) +
                                 " observed statements on its table is planned cheaper with it",
           g.cost_without, g.cost_with);
}

// One build to its next state. Returns whether there was one.
void advance(const pg::row &r) {
    const auto build = r.get<int64_t>(0);
    const auto state = pg::find_run(r.get_or<int64_t>(1, 0));
    const std::string qualified = pg::quote_identifier(r.get<std::string>(3)) + "." +
                                  pg::quote_identifier(r.get<std::string>(4));
    const Oid requester = r.get<Oid>(6);
    // A partitioned level has no run of its own: whether its index is valid is all that counts.
    const bool level = r.get_or<bool>(9, false);
    if (!level && state && !state->over())
        return;
    if (!level && state && state->status != "done") { // a retry is a run of its own
        const auto next = pg::scalar<int64_t>(
            "SELECT max(run_id) FROM dbopt.run WHERE run_id > $1 AND area = 'advisor' AND command = $2",
            {r.get<int64_t>(1), r.get<std::string>(8)});
        if (next) {
            pg::execute("UPDATE dbopt._index_build SET run_id = $2 WHERE run_id = $1", {r.get<int64_t>(1), *next});
            pg::execute("UPDATE dbopt.index_expected SET run_id = $2 WHERE run_id = $1",
                        {r.get<int64_t>(1), *next});
            return;
        }
    }
    if (!level && (!state || state->status != "done")) {
        finish(build, "failed", state ? state->message : "the run is gone from the queue's history");
        return;
    }
    const Oid index = pg::scalar<Oid>("SELECT i.indexrelid FROM pg_catalog.pg_index AS i"
                                      " WHERE i.indexrelid = pg_catalog.to_regclass($1) AND i.indisvalid",
                                      {qualified})
                          .value_or(InvalidOid);
    if (!OidIsValid(index)) {
        finish(build, "failed", "the index is not there, or not valid");
        return;
    }
    pg::execute("UPDATE dbopt._index_build SET index_oid = $2 WHERE build_id = $1", {build, index});
    if (!r.null(7)) { // a leaf of a partitioned index
        // ACCESS EXCLUSIVE on the leaf's index: whoever plans on the leaf queues behind the one who waits for it.
        pg::wait_for_locks(attach_lock_ms);
        {
            const pg::as_owner as(requester);
            pg::execute("ALTER INDEX " + r.get<std::string>(7) + " ATTACH PARTITION " + qualified);
        }
        finish(build, "built", "attached to " + r.get<std::string>(7));
    } else if (r.get<bool>(5)) {
        verify_build(build, index, qualified, requester);
    } else {
        finish(build, "built", "");
    }
}

// Each in a transaction of its own: no lock of one is held while another is looked at.
void advance_all() {
    std::vector<int64_t> open;
    {
        pg::transaction work;
        for (const pg::row &r : pg::query("SELECT b.build_id FROM dbopt._index_build AS b WHERE b.status = 'building'"
                                          // a parent waits for its leaves
                                          " AND NOT EXISTS (SELECT FROM dbopt._index_build AS l WHERE l.parent_id = b.build_id"
                                          " AND l.status = 'building') ORDER BY b.build_id LIMIT 100"))
            open.push_back(r.get<int64_t>(0));
        work.commit();
    }
    for (const int64_t build : open) {
        pg::transaction work;
        const auto failed = pg::subtransaction([&] {
            for (const pg::row &r : pg::query(
                     "SELECT b.build_id, b.run_id, b.relation, b.index_schema, b.index_name, b.verify, b.requested_by::oid,"
                     " (SELECT pg_catalog.quote_ident(p.index_schema) || '.' || pg_catalog.quote_ident(p.index_name)"
                     "  FROM dbopt._index_build AS p WHERE p.build_id = b.parent_id), b.command,"
                     " EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = b.relation AND c.relkind = 'p')"
                     " FROM dbopt._index_build AS b WHERE b.build_id = $1",
                     {build}))
                advance(r);
        });
        if (failed && failed->sqlstate() != "55P03" && failed->sqlstate() != "40P01") // busy: the next round tries again
            finish(build, "failed", failed->message());
        work.commit();
    }
}

void build_expected() {
    const pg::result due = pg::query(
        "SELECT e.expected_id, e.ddl, e.owner::oid FROM dbopt._index_expected_missing AS e"
        " WHERE NOT e.building AND (e.tried_at IS NULL OR e.tried_at < clock_timestamp() - interval '5 min')"
        " AND pg_catalog.to_regclass(pg_catalog.quote_ident(e.table_schema) || '.' || pg_catalog.quote_ident(e.table_name))"
        " IS NOT NULL LIMIT 10");
    for (const pg::row &r : due) {
        const auto id = r.get<int64_t>(0);
        const auto ddl = r.get<std::string>(1);
        const auto failed = pg::subtransaction([&] {
            const pg::as_owner as(r.get<Oid>(2));
            pg::set_local("search_path", "\"$user\", public, pg_temp");
            apply(ddl, {.verify = false, .window_start = {}, .window_end = {}, .expectation = id});
        });
        pg::execute("UPDATE dbopt.index_expected SET tried_at = clock_timestamp(), problem = $2 WHERE expected_id = $1",
                    {id, failed ? pg::value(failed->message()) : pg::value(nullptr)});
    }
}

// Drops what brought nothing, unless an old backup seems to run or unusually many would go at once: then
// the indexes stay, as a hold, until a person drops them. A paused room's rounds do not come here, and its
// queued drops rest.
void drop_useless() {
    const pg::result useless = pg::query("SELECT build, index, owner, verdict, watched_until_us, own,"
                                         " (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
                                         " FROM dbopt._index_watch_end()");
    const int at_once = static_cast<int>(useless.size());
    for (const pg::row &r : useless) {
        const auto index = r.get<std::string>(1);
        core::hold_question q;
        q.last_success_us = r.get<int64_t>(4);
        q.clock_us = r.get<int64_t>(6);
        q.retiring = at_once;
        q.of = r.get<int32_t>(5);
        q.what = "indexes";
        if (const std::string why = core::retirement_hold(q); !why.empty()) {
            pg::note_hold("advisor", index, "drop", why + "; " + r.get<std::string>(3));
            continue;
        }
        pg::release_hold("advisor", index);
        enqueue_drop(index, r.get<Oid>(2));
        pg::execute("UPDATE dbopt._index_build SET status = 'dropped', detail = $2, calls_since = 0 WHERE build_id = $1",
                    {r.get<int64_t>(0), r.get<std::string>(3)});
    }
}

} // namespace

void background() {
    advance_all();
    pg::transaction work;
    build_expected();
    drop_useless();
    work.commit();
}

} // namespace dbopt::advisor
