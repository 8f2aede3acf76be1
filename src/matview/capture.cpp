// Which relations are captured for whom: triggers and logs come and go with the matviews.
#include "matview/incremental.hpp"
#include "pg/capture_trigger.hpp"
#include "pg/catalog_watch.hpp"
#include "pg/query.hpp"
#include "pg/security.hpp"
#include "pg/transaction.hpp"
#include "pg/view_query.hpp"
#include <map>
#include <set>

namespace dbopt::matview {

static int own_refreshes = 0;
own_refresh::own_refresh() { ++own_refreshes; }
own_refresh::~own_refresh() { --own_refreshes; }
bool own_refresh::active() { return own_refreshes > 0; }

std::optional<std::string> unstable_function(Oid matview) {
    std::vector<Oid> views{matview};
    for (const source &s : sources_of(matview))
        if (s.kind == 'v')
            views.push_back(s.relation);
    for (Oid v : views)
        if (auto f = pg::changing_function(v))
            return f;
    return std::nullopt;
}

std::vector<std::string> key_columns(Oid matview) { return pg::grouping_columns(matview); }

// `info` is the relation `base` or a partition of it.
static std::optional<std::string> unfit_table(const pg::relation_info &info, Oid base, Oid owner) {
    if (info.row_security)
        return info.qualified() + " has row-level security";
    if (info.persistence != RELPERSISTENCE_PERMANENT)
        return info.qualified() + " is temporary or unlogged";
    if (info.kind != RELKIND_RELATION && info.kind != RELKIND_PARTITIONED_TABLE)
        return info.qualified() + " is a " + pg::kind_name(info.kind);
    const pg::as_owner reader(extension_owner());
    if (info.oid == base) {
        const auto may = [&](const char *what) {
            return pg::scalar<bool>("SELECT has_table_privilege($1::oid, $2::oid, $3) OR ($3 = 'SELECT' AND "
                                    "has_any_column_privilege($1::oid, $2::oid, $3))", {owner, base, what})
                .value_or(false);
        };
        if (!may("TRIGGER"))
            return "the owner of the matview has no TRIGGER right on " + info.qualified();
        if (!may("SELECT"))
            return "the owner of the matview reads " + info.qualified() + " through a view only";
    }
    if (pg::scalar<bool>("SELECT EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid = $1)", {info.oid})
            .value_or(false))
        return info.qualified() + " is written by a subscription, which fires no statement triggers";
    return std::nullopt;
}

std::optional<std::string> unfit(Oid base, Oid owner) {
    const pg::relation_info info = pg::get_relation(base);
    if (info.kind == RELKIND_MATVIEW)
        return std::nullopt; // its refreshes write its log
    if (info.kind == RELKIND_PARTITIONED_TABLE)
        for (Oid part : pg::capture_points(base))
            if (auto why = part == base ? std::nullopt : unfit_table(pg::get_relation(part), base, owner))
                return why;
    return unfit_table(info, base, owner);
}

bool is_captured(Oid base) {
    for (Oid point : pg::capture_points(base))
        if (!pg::has_capture(point, base))
            return false;
    return true;
}

bool capture_complete(Oid matview) {
    const pg::as_owner reader(extension_owner());
    for (const pg::row &r : pg::query("SELECT base FROM dbopt._matview_use WHERE matview = $1", {matview}))
        if (!pg::find_relation(r.get<Oid>(0)) || !is_captured(r.get<Oid>(0)))
            return false;
    return true;
}

namespace {

// Columns that the join tree reads, per base.
void collect(const core::join_node &n, std::map<unsigned, std::set<int>> &out) {
    if (n.what == core::join_node::kind::leaf) {
        out[n.base];
        for (int a : n.attributes)
            if (a > 0)
                out[n.base].insert(a);
        return;
    }
    collect(*n.first, out);
    if (n.second != nullptr)
        collect(*n.second, out);
}

std::map<unsigned, std::set<int>> columns_read(const core::view_form &f) {
    std::map<unsigned, std::set<int>> out;
    collect(*f.root, out);
    if (f.late)
        collect(*f.late->table, out);
    return out;
}

// Columns of the base that the log must hold: these, and those that it holds already.
std::set<int> with_kept(Oid base, std::set<int> columns) {
    for (const pg::row &r : pg::query(
             "SELECT a.attnum::int FROM pg_attribute l JOIN pg_attribute a ON 'c' || a.attnum = l.attname "
             "WHERE l.attrelid = $1::regclass AND l.attnum > 3 AND NOT l.attisdropped AND a.attrelid = $2 "
             "AND a.attnum > 0 AND NOT a.attisdropped", {log_name(base), base}))
        columns.insert(r.get<int32_t>(0));
    return columns;
}

// Whether the log cannot get these columns by ADD COLUMN. One that it holds may have had another type
// when it was made; and a new column of a domain would run the domain's default and checks, code of
// whoever made the domain, with the rights of the extension's owner. CREATE TABLE runs neither.
bool must_be_made_anew(Oid base, const std::set<int> &columns) {
    std::string list;
    for (int c : columns)
        list += (list.empty() ? "" : ",") + std::to_string(c);
    return pg::scalar<bool>(
               "SELECT EXISTS (SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attribute l "
               "ON l.attrelid = $1::regclass AND l.attname = 'c' || a.attnum WHERE a.attrelid = $2 AND a.attnum = ANY "
               "(('{' || $3 || '}')::int2[]) AND CASE WHEN l.attrelid IS NULL THEN t.typtype = 'd' ELSE (l.atttypid, "
               "l.atttypmod, l.attcollation) <> (a.atttypid, a.atttypmod, a.attcollation) END)",
               {log_name(base), base, list})
        .value_or(true);
}

// The log with at least these columns, and the triggers. Acts as the extension's owner. False: all was there.
bool capture(Oid base, std::set<int> columns) {
    const pg::as_owner writer(extension_owner());
    bool exists = pg::scalar<bool>("SELECT to_regclass($1) IS NOT NULL", {log_name(base)}).value_or(false);
    if (exists && must_be_made_anew(base, columns)) {
        // The triggers are made anew with it: that alone makes the next refresh of all its readers full.
        columns = with_kept(base, std::move(columns));
        pg::drop_member(pg::scalar<Oid>("SELECT $1::regclass::oid", {log_name(base)}).value_or(InvalidOid));
        exists = false;
    }
    std::string list;
    bool made = !exists;
    for (int c : columns) {
        const std::optional<std::string> type = pg::scalar<std::string>(
            "SELECT format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attcollation <> 0 AND a.attcollation <> "
            "t.typcollation THEN format(' COLLATE %I.%I', n.nspname, l.collname) ELSE '' END FROM pg_attribute a "
            "JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_collation l ON l.oid = a.attcollation LEFT JOIN "
            "pg_namespace n ON n.oid = l.collnamespace WHERE a.attrelid = $1 AND a.attnum = $2",
            {base, static_cast<int64_t>(c)});
        const std::string name = "c" + std::to_string(c);
        if (!exists)
            list += ", " + name + " " + type.value_or("text");
        else if (!pg::scalar<bool>("SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = $1::regclass AND "
                                   "attname = $2)", {log_name(base), name}).value_or(false)) {
            pg::execute("ALTER TABLE " + log_name(base) + " ADD COLUMN " + name + " " +
                        type.value_or("text"));
            made = true;
        }
    }
    if (!exists) {
        pg::execute("CREATE UNLOGGED TABLE " + log_name(base) + " (xid xid8 NOT NULL, cid int8 NOT NULL, w int8 NOT NULL" + list + ")");
        const Oid log = pg::scalar<Oid>("SELECT $1::regclass::oid", {log_name(base)}).value_or(InvalidOid);
        pg::make_member(log);
        pg::execute("INSERT INTO dbopt._matview_base VALUES ($1, $2, '{}') ON CONFLICT (base) DO UPDATE SET log = "
                    "excluded.log", {base, log});
    }
    // ANALYZE of a range calls its subtype_diff, code of whoever made the type, with the rights of the
    // log's owner. Nobody needs statistics of a log.
    for (int c : columns)
        pg::execute("ALTER TABLE " + log_name(base) + " ALTER COLUMN c" + std::to_string(c) + " SET STATISTICS 0");
    if (pg::get_relation(base).kind == RELKIND_MATVIEW)
        return made;
    // Triggers that a dump brought back name the log of another database.
    for (Oid point : pg::capture_points(base))
        if (!exists || !pg::has_capture(point, base)) {
            pg::remove_capture(point);
            pg::install_capture(point, base);
            made = true;
        }
    return made;
}

// The matview's uses are these bases already.
bool is_user_of(Oid matview, const std::map<unsigned, std::set<int>> &bases) {
    std::set<unsigned> known;
    for (const pg::row &r : pg::query("SELECT base FROM dbopt._matview_use WHERE matview = $1", {matview}))
        known.insert(r.get<Oid>(0));
    return known.size() == bases.size() &&
           std::all_of(bases.begin(), bases.end(), [&](const auto &b) { return known.contains(b.first); });
}

pg::read_view read_as_owner(Oid matview) {
    const pg::as_owner owner(pg::owner_of(matview));
    return pg::read_matview(matview);
}

} // namespace

void forget_capture(Oid matview) {
    {
        const pg::as_owner reader(extension_owner());
        if (!pg::scalar<bool>("SELECT EXISTS (SELECT FROM dbopt._matview_use WHERE matview = $1) OR EXISTS (SELECT FROM "
                              "dbopt._matview_store WHERE matview = $1)", {matview}).value_or(true))
            return;
    }
    if (pg::find_relation(matview))
        pg::announce_change(matview);
    drop_states(matview);
    release_unused();
}

void arrange_capture(Oid matview, const std::string &mode, std::vector<manage_row> &out) {
    if (mode == "full" || mode == "concurrent")
        return forget_capture(matview);
    const pg::read_view v = read_as_owner(matview);
    if (!v.form) {
        forget_capture(matview);
        out.push_back({"capture", "skipped", "incremental is not possible: " + v.refusal});
        return;
    }
    const std::map<unsigned, std::set<int>> bases = columns_read(*v.form);
    std::string names;
    for (const auto &b : bases) {
        if (auto why = unfit(b.first, pg::owner_of(matview))) {
            forget_capture(matview);
            out.push_back({"capture", "skipped", "incremental is not possible: " + *why});
            return;
        }
        names += (names.empty() ? "" : ", ") + pg::qualified_name(b.first);
    }
    bool made = false;
    for (const auto &b : bases) {
        const std::string table = pg::qualified_name(b.first);
        for (Oid point : pg::capture_points(b.first))
            if (!pg::try_lock(point, ShareRowExclusiveLock, 1000LL * config.lock_wait_s)) {
                out.push_back({"capture", "failed", table + " is busy: its triggers were not created"});
                return;
            }
        if (auto failure = pg::subtransaction([&] { made = capture(b.first, b.second) || made; })) {
            out.push_back({"capture", "failed", table + ": " + failure->message()});
            return;
        }
    }
    const pg::as_owner writer(extension_owner());
    if (!made && is_user_of(matview, bases)) {
        out.push_back({"capture", "skipped", "changes of " + names + " are captured already"});
        return;
    }
    // First: this session itself hears of it when the next command ends.
    pg::announce_change(matview);
    pg::execute("DELETE FROM dbopt._matview_use WHERE matview = $1", {matview});
    for (const auto &b : bases)
        pg::execute("INSERT INTO dbopt._matview_use VALUES ($1, $2, '{}')", {matview, static_cast<Oid>(b.first)});
    out.push_back({"capture", "done", "changes of " + names + " are captured; the next refresh is a full one"});
}

void explain_incremental(Oid matview, const std::string &mode, std::vector<finding> &out) {
    const pg::read_view v = read_as_owner(matview);
    if (!v.form) {
        out.push_back({"incremental", "no", v.refusal, std::nullopt});
        return;
    }
    const std::map<unsigned, std::set<int>> bases = columns_read(*v.form);
    for (const auto &b : bases)
        if (auto why = unfit(b.first, pg::owner_of(matview))) {
            out.push_back({"incremental", "no", *why, std::nullopt});
            return;
        }
    using kind = core::view_form::kind;
    const std::string how = v.form->what == kind::bag       ? "changed rows are found by their content"
                            : v.form->what == kind::counted ? "groups are counted up and down from changes"
                                                            : "groups that changes touch are computed anew";
    const stored_state s = load_state(matview);
    if (s.incremental_off)
        out.push_back({"incremental", "off", *s.incremental_off, std::nullopt});
    else
        out.push_back({"incremental", mode == "full" || mode == "concurrent" ? "possible" : "yes", how,
                       mode.empty() ? std::optional("SELECT dbopt.matview_manage(" +
                                                    pg::quote_literal(pg::qualified_name(matview)) + ")")
                                    : std::nullopt});
}

} // namespace dbopt::matview
