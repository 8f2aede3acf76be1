// LEFT JOIN from a table by its unique key, grouped by that key: the table need not take part in counting.
#include "pg/view_internal.hpp"

extern "C" {
#include "catalog/pg_index.h"
}

namespace dbopt::pg::views {

using core::join_node;

// No two rows have the same value in the column, and none has NULL, at any time.
static bool is_unique(Oid table, int attribute) {
    return call([&] {
        Relation r = table_open(table, AccessShareLock);
        bool found = false;
        const Form_pg_attribute a = TupleDescAttr(RelationGetDescr(r), attribute - 1);
        List *indexes = a->attnotnull ? RelationGetIndexList(r) : NIL;
        for (int i = 0; i < list_length(indexes) && !found; ++i) {
            Relation index = index_open(list_nth_oid(indexes, i), AccessShareLock);
            const Form_pg_index f = index->rd_index;
            found = f->indisunique && f->indimmediate && f->indisvalid && f->indnkeyatts == 1 &&
                    f->indkey.values[0] == attribute && RelationGetIndexPredicate(index) == NIL;
            index_close(index, AccessShareLock);
        }
        table_close(r, NoLock);
        return found;
    });
}

void reader::take_out_late_join() {
    join_node &n = *form.root;
    if (n.what != join_node::kind::left || n.first->what != join_node::kind::leaf || n.equal.size() != 1 ||
        !n.first_only.empty() || !form.filters.empty())
        return;
    core::late_join l;
    for (size_t i = 0; i < n.first->columns.size(); ++i)
        if (n.first->columns[i].second.name == n.equal[0].first) {
            l.key = n.first->columns[i].second;
            l.attribute = n.first->attributes[i];
        }
    const std::vector<core::typed> columns = n.second->all_columns();
    const auto partner = std::find_if(columns.begin(), columns.end(),
                                      [&](const core::typed &t) { return t.name == n.equal[0].second; });
    if (l.attribute <= 0 || partner == columns.end() || partner->type != l.key.type)
        return;
    l.partner = partner->name;
    while (l.position < form.identifying && form.keys[l.position].first != l.key.name)
        ++l.position;
    if (l.position == form.identifying || form.key_output[l.position] < 0 || !is_unique(n.first->base, l.attribute))
        return;
    for (Node *k : key_nodes)
        if (!within(relations_of(k), n.first->relations))
            return;
    for (Node *a : aggregates)
        if (!within(relations_of(a), n.second->relations))
            return;
    auto rows = std::make_unique<join_node>();
    rows->what = join_node::kind::project;
    for (const core::typed &t : columns)
        rows->shown.push_back({t.name, t});
    rows->filters = n.second_only;
    rows->filters.push_back(l.partner + " IS NOT NULL");
    rows->first = std::move(n.second);
    l.table = std::move(n.first);
    form.root = std::move(rows);
    form.late = std::move(l);
}

} // namespace dbopt::pg::views
