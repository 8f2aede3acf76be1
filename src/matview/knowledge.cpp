#include "matview/knowledge.hpp"
#include "matview/incremental.hpp"
#include "pg/capture_trigger.hpp"
#include "pg/catalog_watch.hpp"
#include "pg/query.hpp"
#include "pg/security.hpp"
#include "pg/view_query.hpp"

namespace dbopt::matview {

namespace {

std::string obstacle(const std::vector<unsigned> &bases, Oid owner) {
    if (bases.empty())
        return "changes are not captured";
    for (unsigned base : bases) {
        if (!pg::find_relation(base))
            return "a base is gone";
        if (auto why = unfit(base, owner))
            return *why;
        if (!is_captured(base))
            return "the triggers of dbopt on " + pg::qualified_name(base) + " are not all there and enabled";
    }
    return {};
}

void look(Oid matview, knowledge &k) {
    const uint64_t before = pg::relation_messages();
    k.sources = sources_of(matview);
    for (const source &s : k.sources)
        pg::watch_relation(s.relation);
    if (pg::relation_messages() != before) {
        k.sources = sources_of(matview); // what came before the watch began is in it
        for (const source &s : k.sources)
            pg::watch_relation(s.relation);
    }
    k.fingerprint = fingerprint_of(matview, k.sources);
    k.unstable = unstable_function(matview);
    const Oid owner = pg::owner_of(matview);
    {
        const pg::as_owner reader(extension_owner());
        for (const pg::row &r :
             pg::query("SELECT u.base, b.log, (SELECT coalesce(string_agg(', ' || quote_ident(attname), '' ORDER BY "
                       "attnum), '') FROM pg_attribute WHERE attrelid = b.log AND attnum > 3 AND NOT attisdropped) "
                       "FROM dbopt._matview_use u JOIN dbopt._matview_base b USING (base) WHERE u.matview = $1 "
                       "ORDER BY 1", {matview})) {
            k.bases.push_back(r.get<Oid>(0));
            pg::watch_relation(r.get<Oid>(1));
            k.log_columns[r.get<Oid>(0)] = r.get<std::string>(2);
        }
    }
    k.refusal = obstacle(k.bases, owner);
    if (!k.refusal.empty())
        return;
    const pg::as_owner reader(owner);
    pg::read_view v = pg::read_matview(matview);
    k.refusal = v.refusal;
    k.form = std::move(v.form);
    if (k.form)
        k.fingerprint += " " + core::signature(*k.form);
}

} // namespace

bool still_holds(const knowledge &k) {
    return k.as_of == pg::catalog_changes() && k.settings == pg::content_settings();
}

static std::map<Oid, std::shared_ptr<const knowledge>> &kept() {
    static auto *all = new std::map<Oid, std::shared_ptr<const knowledge>>;
    return *all;
}

std::shared_ptr<const knowledge> recall(Oid matview) {
    const auto at = kept().find(matview);
    return at != kept().end() && still_holds(*at->second) ? at->second : nullptr;
}

std::shared_ptr<const knowledge> know(Oid matview) {
    if (auto k = recall(matview))
        return k;
    if (kept().size() > 1000)
        kept().clear();
    auto k = std::make_shared<knowledge>();
    // Watched before it is looked at: what changes meanwhile is counted.
    pg::watch_relation(matview);
    k->as_of = pg::catalog_changes();
    k->settings = pg::content_settings();
    look(matview, *k);
    kept()[matview] = k;
    return k;
}

} // namespace dbopt::matview
