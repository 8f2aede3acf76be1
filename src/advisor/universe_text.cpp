// What an index of the universe is called, how it is made, and what a query does with it: text for people.
#include "advisor/universe.hpp"
#include "pg/catalog_text.hpp"
#include "pg/relation.hpp"

namespace dbopt::advisor {

namespace whatif = pg::whatif;

std::string universe::free_name(int index) {
    const core::index_candidate &c = entries_[index].shape;
    std::string base = pg::get_relation(c.relation).name;
    for (const core::index_key &k : c.keys)
        base += "_" + (k.column > 0 ? pg::column_name(c.relation, static_cast<AttrNumber>(k.column))
                                    : pg::expression_label(relations_.at(c.relation).expressions[-1 - k.column]));
    for (int n = 0;; ++n) {
        const std::string tail = n == 0 ? "_idx" : "_idx" + std::to_string(n);
        std::string name = pg::clip_identifier(base, 63 - tail.size()) + tail;
        if (names_.contains(name) || pg::relation_exists_beside(c.relation, name))
            continue;
        names_.insert(name);
        return name;
    }
}

// All that follows the table's name.
std::string universe::columns_text(int index) const {
    const entry &e = entries_[index];
    std::string columns;
    for (const whatif::key &k : e.spec.keys) {
        columns += columns.empty() ? "" : ", ";
        columns += k.column != 0 ? pg::quote_identifier(pg::column_name(e.spec.relation, k.column))
                                 : pg::index_expression(e.spec.relation, k.expression);
        if (OidIsValid(k.opclass))
            columns += " " + whatif::opclass_name(k.opclass);
        if (k.descending)
            columns += k.nulls_first ? " DESC" : " DESC NULLS LAST";
        else if (k.nulls_first)
            columns += " NULLS FIRST";
    }
    std::string text;
    if (e.spec.method != BTREE_AM_OID)
        text += " USING " + whatif::method_name(e.spec.method);
    text += " (" + columns + ")";
    std::string includes;
    for (const AttrNumber c : e.spec.includes)
        includes += (includes.empty() ? "" : ", ") + pg::quote_identifier(pg::column_name(e.spec.relation, c));
    if (!includes.empty())
        text += " INCLUDE (" + includes + ")";
    if (e.shape.predicate >= 0)
        text += " WHERE " + pg::expression_text(e.spec.relation,
                                                relations_.at(e.spec.relation).predicates[e.shape.predicate].expression);
    return text;
}

std::string universe::ddl(int index) {
    return "CREATE INDEX " + pg::quote_identifier(free_name(index)) + " ON " +
           pg::qualified_name(entries_[index].spec.relation) + columns_text(index);
}

std::string universe::explain_use(int index, int query) const {
    const core::index_candidate &c = entries_[index].shape;
    std::string out;
    for (const core::index_key &k : c.keys) {
        const auto it = leads_[query].find({c.relation, k.column});
        if (it == leads_[query].end())
            continue;
        out += out.empty() ? "" : ", ";
        out += it->second + " on " +
               (k.column > 0 ? pg::column_name(c.relation, static_cast<AttrNumber>(k.column))
                             : std::string("an expression"));
    }
    return out.empty() ? "the columns it reads" : out;
}

} // namespace dbopt::advisor
