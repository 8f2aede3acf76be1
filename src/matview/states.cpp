// Counting states: tables that hold groups and multisets; made after a full refresh.
#include "matview/incremental.hpp"
#include "pg/capture_trigger.hpp"
#include "pg/count_state.hpp"
#include "pg/query.hpp"
#include "pg/security.hpp"
#include "pg/transaction.hpp"

namespace dbopt::matview {

using core::slot;
using core::view_form;

static std::string num(size_t i) { return std::to_string(i + 1); }

void increment::load_stores() {
    const pg::as_owner reader(extension_owner());
    stores_ = {InvalidOid, std::vector<Oid>(form_->arguments.size(), InvalidOid), {}};
    if (form_->packed)
        stores_.packed.resize(1 + pg::shape_of(*form_).sizes.size());
    static const auto *find = new pg::statement("SELECT slot, store FROM dbopt._matview_store WHERE matview = $1", {OIDOID});
    const pg::result found = find->run({matview_});
    for (const pg::row &r : found) {
        const int at = r.get<int32_t>(0);
        if (form_->packed && at < static_cast<int>(stores_.packed.size()))
            stores_.packed[at] = r.get<Oid>(1);
        else if (at == 0)
            stores_.groups = r.get<Oid>(1);
        else if (at <= static_cast<int>(stores_.multisets.size()))
            stores_.multisets[at - 1] = r.get<Oid>(1);
    }
}

void increment::drop_stores() {
    const pg::as_owner writer(extension_owner());
    for (const pg::row &r : pg::query("SELECT store FROM dbopt._matview_store WHERE matview = $1", {matview_}))
        if (pg::find_relation(r.get<Oid>(0)))
            pg::drop_member(r.get<Oid>(0));
    pg::execute("DELETE FROM dbopt._matview_store WHERE matview = $1", {matview_});
}

void increment::create_stores() {
    const pg::as_owner writer(extension_owner());
    const std::string grantee = pg::quote_identifier(pg::role_name(owner_));
    const auto create = [&](int at, const std::string &columns) {
        const std::string name = "dbopt.matview_state_" + std::to_string(matview_) + "_" + std::to_string(at);
        // Half of a page is for new versions of the rows in it, which then need no index entry.
        pg::execute("CREATE UNLOGGED TABLE " + name + " (" + columns + ") WITH (fillfactor = " +
                    (form_->packed ? "50" : "90") + ")");
        if (form_->packed) // nobody but the library reads it
            pg::execute("ALTER TABLE " + name + " ALTER COLUMN data SET STORAGE PLAIN, ALTER COLUMN data SET STATISTICS 0");
        else
            pg::execute("GRANT SELECT ON " + name + " TO " + grantee);
        const Oid table = pg::scalar<Oid>("SELECT $1::regclass::oid", {name}).value_or(InvalidOid);
        pg::make_member(table);
        pg::execute("INSERT INTO dbopt._matview_store VALUES ($1, $2::int, $3)", {matview_, at, table});
    };
    for (size_t at = 0; form_->packed && at <= pg::shape_of(*form_).sizes.size(); ++at)
        create(static_cast<int>(at), "bucket int4 NOT NULL, data bytea NOT NULL");
    if (form_->packed)
        return;
    std::string keys;
    for (const auto &k : form_->keys)
        keys += k.second.name + " " + k.second.type + ", ";
    std::string columns = keys + "n int8";
    std::vector<bool> needed(form_->arguments.size());
    for (size_t s = 0; s < form_->slots.size(); ++s) {
        columns += ", s" + num(s) + (form_->slots[s].what == slot::kind::sum ? " numeric" : " int8");
        if (form_->slots[s].what == slot::kind::distinct)
            needed[form_->slots[s].argument] = true;
    }
    create(0, columns);
    for (size_t i = 0; i < needed.size(); ++i)
        if (needed[i])
            create(static_cast<int>(i) + 1, keys + "x " + form_->arguments[i].type + ", n int8");
}

void increment::index_stores() {
    const pg::as_owner writer(extension_owner());
    for (Oid table : stores_.packed)
        pg::execute("CREATE UNIQUE INDEX ON " + pg::qualified_name(table) + " (bucket)");
    if (form_->packed)
        return;
    std::string keys = key_list("");
    if (!keys.empty())
        pg::execute("CREATE INDEX ON " + pg::qualified_name(stores_.groups) + " (" +
                    keys.substr(0, keys.size() - 2) + ")");
    pg::execute("ANALYZE " + pg::qualified_name(stores_.groups));
    for (Oid m : stores_.multisets)
        if (m != InvalidOid) {
            pg::execute("CREATE INDEX ON " + pg::qualified_name(m) + " (" + keys + "x)");
            pg::execute("ANALYZE " + pg::qualified_name(m));
        }
}

// The rows that are counted, as they are now.
static std::string core_rows(const view_form &f) {
    std::string where = "true";
    for (const std::string &c : f.filters)
        where += " AND (" + c + ")";
    return " FROM (" + core::current_sql(*f.root) + ") c WHERE " + where;
}

void increment::build_packed(pg::frozen &now) {
    pg::counting c(*form_, now);
    c.begin();
    {
        const pg::as_owner owner(owner_);
        c.consume(core::core_rows_sql(*form_), false);
    }
    c.fill(stores_.packed);
}

void increment::build_tables(pg::frozen &now) {
    std::string keys, numbers, sums;
    for (size_t k = 0; k < form_->keys.size(); ++k) {
        keys += form_->keys[k].first + " AS k" + num(k) + ", ";
        numbers += (k > 0 ? ", " : "") + num(k);
    }
    for (const slot &t : form_->slots) {
        const std::string x = "(" + form_->arguments[t.argument].sql + ")";
        sums += t.what == slot::kind::count    ? ", count(" + x + ")"
                : t.what == slot::kind::sum    ? ", coalesce(sum(" + x + "::numeric), 0)"
                : t.what == slot::kind::truths ? ", count(*) FILTER (WHERE " + x + ")"
                                               : ", count(DISTINCT " + x + ")";
    }
    const std::string core = core_rows(*form_);
    const pg::as_owner owner(owner_);
    for (const core::argument &a : form_->arguments)
        if (a.numeric)
            expect_none(now, "SELECT count(*)" + core + " AND (" + a.sql + ") IN ('NaN', 'Infinity', '-Infinity')",
                        "NaN or an infinity cannot be summed back");
    now.load(stores_.groups, "SELECT " + keys + "count(*)" + sums + core + (numbers.empty() ? "" : " GROUP BY " + numbers));
    for (size_t i = 0; i < form_->arguments.size(); ++i)
        if (stores_.multisets[i] != InvalidOid)
            now.load(stores_.multisets[i], "SELECT " + keys + form_->arguments[i].sql + " AS x, count(*)" + core +
                                               " AND (" + form_->arguments[i].sql + ") IS NOT NULL GROUP BY " +
                                               (numbers.empty() ? "1" : numbers + ", " + num(form_->keys.size())));
}

std::optional<int64_t> increment::rebuild(pg::frozen &now) {
    if (!captured_)
        return std::nullopt;
    const std::optional<pg::error> failure = pg::subtransaction([&] {
        drop_stores();
        if (form_->what != view_form::kind::counted)
            return;
        create_stores();
        load_stores();
        now.advance();
        if (form_->packed)
            build_packed(now);
        else
            build_tables(now);
    });
    if (failure) {
        pg::log("counting state of " + name_ + " could not be built: " + failure->message());
        return std::nullopt;
    }
    if (form_->what == view_form::kind::counted)
        index_stores();
    const pg::as_owner writer(extension_owner());
    return pg::scalar<int64_t>(
        "INSERT INTO dbopt._matview_alive AS a VALUES ($1, (extract(epoch FROM clock_timestamp()) * "
        "1000000)::bigint) ON CONFLICT (matview) DO UPDATE SET epoch = excluded.epoch RETURNING epoch",
        {matview_});
}

} // namespace dbopt::matview
