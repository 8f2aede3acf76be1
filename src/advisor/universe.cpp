#include "advisor/universe.hpp"
#include "core/index_size.hpp"
#include "pg/catalog_text.hpp"
#include "pg/query.hpp"
#include "pg/relation.hpp"
#include <cmath>

namespace dbopt::advisor {

namespace whatif = pg::whatif;

universe::universe(whatif::engine &engine, const suggest_options &options)
    : engine_(engine), options_(options), sizes_(engine.context()) {}

universe::relation_facts &universe::facts(Oid relation) {
    auto [it, fresh] = relations_.try_emplace(relation);
    relation_facts &f = it->second;
    if (!fresh)
        return f;
    const pg::relation_info info = pg::get_relation(relation);
    f.eligible = info.persistence != 't' && !pg::is_catalog(info) &&
                 (info.kind == 'r' || info.kind == 'm' || info.kind == 'p');
    if (!f.eligible)
        return f;
    f.pages = sizes_.pages(relation);
    f.tuples = sizes_.tuples(relation);
    f.eligible = f.pages > 4; // an index cannot beat reading four pages
    load_existing(relation, &f);
    return f;
}

void universe::load_existing(Oid relation, relation_facts *out) {
    for (const pg::row &r : pg::query(
             "SELECT i.indkey::int2[]::int8[], i.indoption::int2[]::int8[], i.indnkeyatts::int8,"
             " i.indisvalid AND i.indpred IS NULL AS plain,"
             " ARRAY(SELECT CASE WHEN o.opcdefault THEN 0 ELSE o.oid END::int8"
             "   FROM unnest(i.indclass::oid[]) WITH ORDINALITY AS u(class, n)"
             "   JOIN pg_catalog.pg_opclass AS o ON o.oid = u.class ORDER BY u.n), c.relam"
             " FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid"
             " WHERE i.indrelid = $1 AND i.indislive",
             {relation})) {
        const auto columns = r.get<std::vector<int64_t>>(0);
        const auto flags = r.get<std::vector<int64_t>>(1);
        const auto classes = r.get<std::vector<int64_t>>(4);
        existing e;
        e.plain = r.get<bool>(3);
        e.method = r.get<Oid>(5) == BTREE_AM_OID ? 0 : r.get<Oid>(5);
        for (int64_t i = 0; i < r.get<int64_t>(2); ++i) {
            // An expression matches no candidate by number.
            const int column = columns[i] != 0 ? static_cast<int>(columns[i]) : 1 << 20;
            e.keys.push_back({column, (flags[i] & 1) != 0, (flags[i] & 2) != 0,
                              static_cast<unsigned>(classes[i])});
        }
        out->indexes.push_back(std::move(e));
    }
}

int universe::expression_number(relation_facts &f, Node *expression) {
    for (size_t i = 0; i < f.expressions.size(); ++i)
        if (pg::same_expression(f.expressions[i], expression))
            return -1 - static_cast<int>(i);
    f.expressions.push_back(expression);
    return -static_cast<int>(f.expressions.size());
}

bool universe::sortable(Oid relation, relation_facts &f, int column) {
    if (column <= 0)
        return true;
    auto [it, fresh] = f.sortable.try_emplace(column, false);
    if (fresh)
        it->second = pg::has_btree_class(relation, static_cast<AttrNumber>(column)) &&
                     sizes_.widest(relation, static_cast<AttrNumber>(column)) < 2000;
    return it->second;
}

// Documents, lists and long texts are not worth carrying along for an index-only scan.
bool universe::coverable(Oid relation, relation_facts &f, int column) {
    auto [it, fresh] = f.coverable.try_emplace(column, false);
    if (fresh)
        it->second = pg::is_scalar_column(relation, static_cast<AttrNumber>(column)) &&
                     sizes_.widest(relation, static_cast<AttrNumber>(column)) <= 200;
    return it->second;
}

core::relation_usage universe::translate(const whatif::relation_use &use, relation_facts &f) {
    core::relation_usage out;
    out.relation = use.relation;
    out.index_only = !use.whole_row;
    out.limited = use.limited;
    for (const AttrNumber n : use.needed)
        out.needed.push_back(n);
    using from = whatif::use_kind;
    for (const whatif::column_use &u : use.uses) {
        if (u.kind == from::gin) {
            out.searched = true;
            continue;
        }
        core::usage to;
        to.column = u.column != 0 ? u.column : expression_number(f, u.expression);
        to.opclass = u.opclass;
        to.group = u.group;
        to.selectivity = u.selectivity;
        to.alternative = u.alternative;
        to.descending = u.descending;
        to.nulls_first = u.nulls_first;
        to.exact = u.kind == from::equal || u.kind == from::is_null;
        switch (u.kind) {
        case from::equal:
        case from::in_list:
        case from::is_null: to.what = core::usage::equal; break;
        case from::join: to.what = core::usage::join; break;
        case from::order: to.what = core::usage::order; break;
        default: to.what = core::usage::range;
        }
        out.uses.push_back(to);
    }
    return out;
}

bool universe::exists_already(const relation_facts &f, const core::index_candidate &c) const {
    if (!c.includes.empty() || c.predicate >= 0)
        return false;
    for (const existing &e : f.indexes)
        if (e.plain && e.method == c.method && core::covered_by(c.keys, e.keys))
            return true;
    return false;
}

namespace {
const char *role_of(whatif::use_kind kind) {
    switch (kind) {
    case whatif::use_kind::equal: return "equality";
    case whatif::use_kind::in_list: return "IN list";
    case whatif::use_kind::is_null: return "IS NULL";
    case whatif::use_kind::join:
    case whatif::use_kind::join_range: return "join";
    case whatif::use_kind::order: return "order";
    case whatif::use_kind::prefix: return "LIKE prefix";
    default: return "range";
    }
}
} // namespace

void universe::add_query(int query, const std::vector<whatif::relation_use> &uses) {
    own_.resize(std::max<size_t>(own_.size(), query + 1));
    leads_.resize(own_.size());
    lucky_.resize(own_.size());
    std::set<core::index_candidate> found;
    for (const whatif::relation_use &use : uses) {
        relation_facts &f = facts(use.relation);
        if (!f.eligible)
            continue;
        const core::relation_usage u = translate(use, f);
        note_luck(query, u);
        for (size_t i = 0, n = 0; i < use.uses.size(); ++i)
            if (use.uses[i].kind != whatif::use_kind::gin)
                leads_[query].try_emplace({use.relation, u.uses[n++].column}, role_of(use.uses[i].kind));
        core::candidate_limits limits;
        limits.width = options_.max_width;
        limits.per_relation = uses.size() > 6 ? 60 : uses.size() > 3 ? 100 : 160;
        limits.sortable = [&](int column) { return sortable(use.relation, f, column); };
        limits.coverable = [&](int column) { return coverable(use.relation, f, column); };
        if (allowed("btree")) {
            core::propose_btrees(u, limits, &found);
            propose_partial(use, u, f, &found);
        }
        propose_others(use, u, f, &found);
    }
    for (const core::index_candidate &c : found) {
        if (exists_already(relations_[c.relation], c))
            continue;
        auto [it, fresh] = numbers_.try_emplace(c, size());
        if (fresh)
            entries_.push_back({.shape = c, .spec = {}, .size = {}});
        own_[query].push_back(it->second);
    }
}

bool universe::allowed(const char *method) const {
    return std::find(options_.methods.begin(), options_.methods.end(), method) != options_.methods.end();
}

// Inverted indexes for containment, full text and letters anywhere; block ranges for big tables that
// lie in the order of a column that is asked for by range.
void universe::propose_others(const whatif::relation_use &use, const core::relation_usage &u,
                              relation_facts &f, std::set<core::index_candidate> *out) {
    size_t translated = 0;
    for (const whatif::column_use &c : use.uses) {
        if (c.kind == whatif::use_kind::gin) {
            if (!allowed("gin"))
                continue;
            core::index_candidate gin{.relation = use.relation, .method = GIN_AM_OID, .keys = {}, .includes = {}};
            const int column = c.column != 0 ? c.column : expression_number(f, c.expression);
            gin.keys.push_back({column, false, false,
                                pg::is_default_class(c.opclass) ? Oid{InvalidOid} : c.opclass});
            leads_.back().try_emplace({use.relation, column}, "containment or search");
            out->insert(std::move(gin));
            continue;
        }
        const core::usage &t = u.uses[translated++];
        if (!allowed("brin") || t.what != core::usage::range || t.column <= 0 || f.pages < 1000 ||
            std::abs(sizes_.statistics(use.relation, static_cast<AttrNumber>(t.column)).correlation) < 0.9 ||
            !pg::has_class(use.relation, static_cast<AttrNumber>(t.column), BRIN_AM_OID))
            continue;
        core::index_candidate brin{.relation = use.relation, .method = BRIN_AM_OID, .keys = {}, .includes = {}};
        brin.keys.push_back({t.column, false, false, 0});
        out->insert(std::move(brin));
    }
}

void universe::note(const std::vector<whatif::relation_use> &uses) {
    for (const whatif::relation_use &use : uses) {
        relation_facts &f = facts(use.relation);
        for (const auto &[condition, selectivity] : use.conditions) {
            const pg::condition_shape shape = pg::describe_condition(condition);
            if (shape.column == 0 || !shape.compares)
                continue;
            auto &seen = f.compared[shape.column];
            const auto same = std::find_if(seen.begin(), seen.end(), [&](const auto &c) {
                return pg::same_expression(c.condition, condition);
            });
            if (same != seen.end())
                ++same->queries;
            else
                seen.push_back({condition, 1});
        }
    }
}

// A constant that one query happens to carry is its parameter (a tenant, a category), not a state of
// the rows: it must stand in two queries at least. Of an observed statement only one text is kept, so
// there no other constant may have been seen on the column either.
bool universe::recurs(const relation_facts &f, int column, Node *condition) const {
    const auto seen = f.compared.find(column);
    if (seen == f.compared.end() || (options_.observed && seen->second.size() > 1))
        return false;
    return std::any_of(seen->second.begin(), seen->second.end(), [&](const auto &c) {
        return c.queries > 1 && pg::same_expression(c.condition, condition);
    });
}

// A condition with a constant that only a small part of the rows meets, and that is about one of few
// values (a state, a flag, a NULL), can stand in the index's WHERE instead of in its key.
void universe::propose_partial(const whatif::relation_use &use, const core::relation_usage &u,
                               relation_facts &f, std::set<core::index_candidate> *out) {
    for (const auto &[condition, selectivity] : use.conditions) {
        const pg::condition_shape shape = pg::describe_condition(condition);
        if (shape.column == 0 ||
            (shape.compares && (sizes_.statistics(use.relation, shape.column).distinct > 10 ||
                                !recurs(f, shape.column, condition))))
            continue;
        if (selectivity > 0.3)
            continue;
        size_t number = 0;
        while (number < f.predicates.size() && !pg::same_expression(f.predicates[number].expression, condition))
            ++number;
        if (number == f.predicates.size())
            f.predicates.push_back({condition, selectivity});
        core::relation_usage rest = u;
        rest.index_only = false;
        std::erase_if(rest.uses, [&](const core::usage &x) { return x.column == shape.column; });
        std::set<core::index_candidate> found;
        core::candidate_limits limits;
        limits.width = std::min(2, options_.max_width);
        limits.per_relation = 12;
        limits.sortable = [&](int column) { return sortable(use.relation, f, column); };
        limits.coverable = [&](int column) { return coverable(use.relation, f, column); };
        core::propose_btrees(rest, limits, &found);
        if (found.empty() && sortable(use.relation, f, shape.column))
            found.insert({.relation = use.relation, .keys = {{shape.column, false, false, 0}}, .includes = {}});
        for (core::index_candidate c : found) {
            c.predicate = static_cast<int>(number);
            out->insert(std::move(c));
        }
    }
}

whatif::index_spec universe::specify(const core::index_candidate &c) const {
    whatif::index_spec spec;
    spec.relation = c.relation;
    const relation_facts &f = relations_.at(c.relation);
    for (const core::index_key &k : c.keys) {
        whatif::key to;
        if (k.column > 0)
            to.column = static_cast<AttrNumber>(k.column);
        else
            to.expression = f.expressions[-1 - k.column];
        to.opclass = k.opclass;
        to.descending = k.descending;
        to.nulls_first = k.nulls_first;
        spec.keys.push_back(to);
    }
    for (const int column : c.includes)
        spec.includes.push_back(static_cast<AttrNumber>(column));
    if (c.method != 0)
        spec.method = c.method;
    if (c.predicate >= 0) {
        spec.predicate = pg::make_list(f.predicates[c.predicate].expression, engine_.context());
        spec.share = f.predicates[c.predicate].selectivity;
    }
    return spec;
}

int universe::finish() {
    for (entry &e : entries_) {
        e.spec = specify(e.shape);
        e.size = sizes_.shape(e.spec);
        e.bytes = e.size.pages * 8192.0;
        e.engine_id = engine_.add_index(e.spec, e.size);
    }
    return size();
}

std::vector<int> universe::shared(int query) const {
    const std::set<int> mine(own_[query].begin(), own_[query].end());
    std::vector<int> out;
    for (int i = 0; i < size(); ++i) {
        const core::index_candidate &c = entries_[i].shape;
        if (!mine.contains(i) && leads_[query].contains({c.relation, c.keys[0].column}))
            out.push_back(i);
    }
    return out;
}

void universe::note_luck(int query, const core::relation_usage &u) {
    std::set<int> exact, groups;
    for (const core::usage &x : u.uses)
        if (x.exact && !x.alternative)
            exact.insert(x.column);
    if (!u.limited || (exact.empty() && !u.searched))
        return;
    for (const core::usage &x : u.uses)
        if (x.what == core::usage::order && groups.insert(x.group).second && !exact.contains(x.column))
            lucky_[query].insert({u.relation, x.column});
}

std::vector<int> universe::gamblers(int query, const std::vector<int> &from) const {
    std::vector<int> out;
    for (const int i : from) {
        const core::index_candidate &c = entries_[i].shape;
        if (c.method == 0 && lucky_[query].contains({c.relation, c.keys[0].column}))
            out.push_back(i);
    }
    return out;
}

std::vector<int> universe::prefixes(int index) const {
    std::vector<int> out;
    core::index_candidate c = entries_[index].shape;
    c.includes.clear();
    while (c.keys.size() > 1) {
        c.keys.pop_back();
        if (const auto it = numbers_.find(c); it != numbers_.end())
            out.push_back(it->second);
    }
    return out;
}

double universe::build_ms(int index) {
    const entry &e = entries_[index];
    return core::build_ms(sizes_.pages(e.spec.relation), e.size.tuples,
                          static_cast<double>(e.shape.width()), e.size.pages);
}

void universe::add_writes(int query, double rows) {
    const auto change = engine_.change_of(query);
    relation_facts *f = OidIsValid(change.relation) ? &facts(change.relation) : nullptr;
    if (f == nullptr)
        return;
    if (change.inserts)
        f->inserts += rows;
    f->updated += change.inserts ? 0 : rows;
    for (const AttrNumber column : change.columns)
        f->updates[column] += rows;
}

// One entry costs about the descent and a part of a page write. An update of an indexed column is never
// HOT: it writes an entry here and in every other index. Other updates write one when their page is full.
double universe::upkeep(int index) {
    const entry &e = entries_[index];
    const relation_facts &f = relations_.at(e.spec.relation);
    double touched = 0;
    for (const core::index_key &k : e.shape.keys)
        if (const auto it = f.updates.find(k.column); it != f.updates.end())
            touched = std::max(touched, it->second);
    const double share = e.spec.predicate != nullptr && f.tuples > 0 ? e.size.tuples / f.tuples : 1;
    const double per_entry = e.spec.method == BRIN_AM_OID  ? 0.002
                             : e.spec.method == GIN_AM_OID ? 1.0
                                                           : 0.1 + 0.02 * e.size.height;
    const double entries = f.inserts + 2 * touched + 0.1 * std::max(0.0, f.updated - touched);
    return entries * share * per_entry;
}

} // namespace dbopt::advisor
