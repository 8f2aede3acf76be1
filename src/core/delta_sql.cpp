// Deltas of joins as SQL. Z-sets: every change row carries a weight w; a row that came counts +1, one
// that went -1. With A, B after the change and dA, dB the changes:
//   d(A ⋈ B) = dA ⋈ B + A ⋈ dB - dA ⋈ dB
//   d(A ⟕ B) = dA ⟕ B + F(A) - F(dA),  F(X) = X ⋈ dB + null-extended rows of X whose key found its
//              first partner (-1) or lost its last one (+1)
// Anything else whose rows follow from the input rows with the same key (join_node::kind::keyed):
//   d(Q(A)) = Q(A restricted to keys in dA) - Q(the same before),  before = restricted A - dA
// Only states after the change are read, so there is no old snapshot to keep.
#include "core/view_form.hpp"
#include <algorithm>
#include <cstdint>

namespace dbopt::core {

std::vector<typed> join_node::all_columns() const {
    std::vector<typed> out;
    if (what == kind::leaf) {
        for (const auto &c : columns)
            out.push_back(c.second);
        return out;
    }
    if (!is_join()) {
        for (const auto &c : shown)
            out.push_back(c.second);
        return out;
    }
    out = first->all_columns();
    for (typed &t : second->all_columns())
        out.push_back(std::move(t));
    return out;
}

namespace {

std::string all_of(const std::vector<std::string> &conditions) {
    std::string out;
    for (const std::string &c : conditions)
        out += (out.empty() ? "(" : " AND (") + c + ")";
    return out.empty() ? "true" : out;
}

std::string names(const join_node &n, const std::string &prefix = "") {
    std::string out;
    for (const typed &t : n.all_columns())
        out += (out.empty() ? "" : ", ") + prefix + t.name;
    return out;
}

std::string nulls(const join_node &n) {
    std::string out;
    for (const typed &t : n.all_columns())
        out += (out.empty() ? "" : ", ") + std::string("NULL::") + t.type + " AS " + t.name;
    return out;
}

std::string key_names(size_t count, const std::string &prefix) {
    std::string out;
    for (size_t i = 0; i < count; ++i)
        out += (i > 0 ? ", " : "") + prefix + "k" + std::to_string(i + 1);
    return out;
}

// Equal values that are not the same value (1.0 and 1.00, -0 and 0, 1 day and 24 hours).
bool has_equal_forms(const std::string &type) {
    return type.find("numeric") != type.npos || type.find("double") != type.npos ||
           type.find("real") != type.npos || type.find("interval") != type.npos;
}

std::string rendered(const join_node &n, const std::string &first, const std::string &second) {
    return "WITH dbopt_in1 AS (" + first + ")" +
           (n.second == nullptr ? "" : ", dbopt_in2 AS (" + second + ")") + " " + n.text;
}

struct builder {
    const std::vector<unsigned> &changed;
    std::string ctes;
    int next = 0;

    std::string add(const std::string &sql) {
        const std::string name = "n" + std::to_string(++next);
        ctes += (ctes.empty() ? "WITH " : ", ") + name + " AS (" + sql + ")";
        return name;
    }
    bool has(unsigned base) const {
        return std::find(changed.begin(), changed.end(), base) != changed.end();
    }

    std::string leaf(const join_node &n) {
        if (!has(n.base))
            return {};
        std::string list;
        for (size_t i = 0; i < n.columns.size(); ++i)
            list += n.attributes[i] == 0
                        ? "true AS " + n.columns[i].second.name + ", "
                        : "c" + std::to_string(n.attributes[i]) + " AS " + n.columns[i].second.name + ", ";
        return add("SELECT * FROM (SELECT " + list + "w FROM d" + std::to_string(n.base) +
                   ") x WHERE " + all_of(n.conditions));
    }

    std::string inner(const join_node &n) {
        const std::string a = delta(*n.first), b = delta(*n.second);
        const std::string where = " WHERE " + all_of(n.conditions);
        const std::string list = "SELECT " + names(n) + ", ";
        std::vector<std::string> terms;
        if (!a.empty())
            terms.push_back(list + "a.w FROM " + a + " a, (" + current_sql(*n.second) + ") b" + where);
        if (!b.empty())
            terms.push_back(list + "b.w FROM (" + current_sql(*n.first) + ") a, " + b + " b" + where);
        if (!a.empty() && !b.empty())
            terms.push_back(list + "-(a.w * b.w) FROM " + a + " a, " + b + " b" + where);
        return unite(terms);
    }

    std::string left(const join_node &n) {
        const std::string a = delta(*n.first), b = delta(*n.second);
        const std::string where = " WHERE " + all_of(n.conditions);
        const std::string list = "SELECT " + names(n) + ", ";
        std::vector<std::string> terms;
        if (!a.empty())
            terms.push_back(list + "a.w FROM " + a + " a LEFT JOIN (" + current_sql(*n.second) +
                            ") b ON " + all_of(n.conditions));
        if (!b.empty()) {
            const std::string flips = flip(n, b);
            std::string on = all_of(n.first_only);
            for (size_t i = 0; i < n.equal.size(); ++i)
                on += " AND " + n.equal[i].first + " = f.k" + std::to_string(i + 1);
            const std::string extended = "SELECT " + names(*n.first) + ", " + nulls(*n.second) + ", ";
            terms.push_back(list + "b.w FROM (" + current_sql(*n.first) + ") a, " + b + " b" + where);
            terms.push_back(extended + "f.f FROM (" + current_sql(*n.first) + ") a, " + flips +
                            " f WHERE " + on);
            if (!a.empty()) {
                terms.push_back(list + "-(a.w * b.w) FROM " + a + " a, " + b + " b" + where);
                terms.push_back(extended + "-(a.w * f.f) FROM " + a + " a, " + flips + " f WHERE " + on);
            }
        }
        return unite(terms);
    }

    // Keys of the nullable side whose number of partners went from or to zero. LIMIT bounds the count:
    // with s more than before, exactly s now means none before.
    std::string flip(const join_node &n, const std::string &b) {
        std::string keys, group, match, known;
        for (size_t i = 0; i < n.equal.size(); ++i) {
            const std::string k = "k" + std::to_string(i + 1), e = "(" + n.equal[i].second + ")";
            keys += e + " AS " + k + ", ";
            group += (i > 0 ? ", " : "") + std::to_string(i + 1);
            match += " AND " + e + " = g." + k;
            known += " AND " + e + " IS NOT NULL";
        }
        const std::string only = all_of(n.second_only);
        const std::string partners = "FROM (" + current_sql(*n.second) + ") b WHERE " + only + match;
        return add("SELECT g.*, CASE WHEN s < 0 THEN 1 ELSE -1 END::int8 AS f FROM (SELECT " + keys +
                   "sum(w)::int8 AS s FROM " + b + " WHERE " + only + known + " GROUP BY " + group +
                   " HAVING sum(w) <> 0) g WHERE CASE WHEN s < 0 THEN NOT EXISTS (SELECT " + partners +
                   ") ELSE (SELECT count(*) FROM (SELECT " + partners + " LIMIT g.s + 1) z) = s END");
    }

    std::string project(const join_node &n) {
        const std::string a = delta(*n.first);
        if (a.empty())
            return {};
        std::string list;
        for (const auto &c : n.shown)
            list += c.first + " AS " + c.second.name + ", ";
        return add("SELECT * FROM (SELECT " + list + "w FROM " + a + " WHERE " + all_of(n.filters) +
                   ") x WHERE " + all_of(n.conditions));
    }

    std::string append(const join_node &n) {
        std::vector<std::string> terms;
        for (const join_node *side : {n.first.get(), n.second.get()})
            if (const std::string d = delta(*side); !d.empty())
                terms.push_back("SELECT " + names(n) + ", w FROM " + d + " WHERE " + all_of(n.conditions));
        return unite(terms);
    }

    // Rows of a side whose key is among the affected. Equality first, for indexes and hashes; rows with
    // NULL in their key come in a second branch, which runs only if there is such a key.
    std::string restricted(const join_node &side, const std::vector<std::string> &keys, const std::string &k) {
        std::string equal, same, mine, is_null, none;
        for (size_t i = 0; i < keys.size(); ++i) {
            const std::string name = "k.k" + std::to_string(i + 1), e = "(" + keys[i] + ")";
            equal += (i > 0 ? " AND " : "") + e + " = " + name;
            same += " AND " + e + " IS NOT DISTINCT FROM " + name;
            mine += (i > 0 ? ", " : "") + e;
            is_null += (i > 0 ? " OR " : "") + e + " IS NULL";
            none += (i > 0 ? " OR k" : "k") + std::to_string(i + 1) + " IS NULL";
        }
        const std::string rows = "SELECT " + names(side) + " FROM (" + current_sql(side) + ") c JOIN " + k + " k ON ";
        return add(rows + equal + " UNION ALL " + rows + "hash_record_extended(ROW(" + mine +
                   "), 0) = hash_record_extended(ROW(" + key_names(keys.size(), "k.") + "), 0)" + same +
                   " WHERE (" + is_null + ") AND (SELECT bool_or(" + none + ") FROM " + k + ")");
    }

    // What `now` was before the changes. A negative count would say that the log does not fit: it fails.
    std::string before(const join_node &side, const std::string &now, const std::string &d) {
        std::string forms, numbers;
        size_t n = 0;
        for (const typed &t : side.all_columns()) {
            numbers += (n++ > 0 ? ", " : "") + t.name;
            if (has_equal_forms(t.type))
                forms += ", " + t.name + "::text";
        }
        return add("SELECT " + names(side) + " FROM (SELECT " + names(side) + ", sum(w)::int8 AS w FROM (SELECT " +
                   names(side) + ", 1::int8 AS w FROM " + now + " UNION ALL SELECT " + names(side) + ", -w FROM " +
                   d + ") u GROUP BY " + numbers + forms +
                   " HAVING sum(w) <> 0) z, generate_series(1, z.w / (z.w > 0)::int) AS times");
    }

    std::string keyed(const join_node &n) {
        const std::string a = delta(*n.first), b = n.second == nullptr ? "" : delta(*n.second);
        if (a.empty() && b.empty())
            return {};
        const auto keys_of = [&](const std::vector<std::string> &keys, const std::string &from) {
            std::string out;
            for (size_t i = 0; i < keys.size(); ++i)
                out += (i > 0 ? ", (" : "SELECT (") + keys[i] + ") AS k" + std::to_string(i + 1);
            return out + " FROM " + from;
        };
        std::string affected;
        if (!a.empty())
            affected = keys_of(n.first_keys, a);
        if (!b.empty())
            affected += (a.empty() ? "" : " UNION ALL ") + keys_of(n.second_keys, b);
        const std::string k = add("SELECT DISTINCT * FROM (" + affected + ") x");
        const std::string now1 = restricted(*n.first, n.first_keys, k);
        const std::string old1 = a.empty() ? now1 : before(*n.first, now1, a);
        std::string now2, old2;
        if (n.second != nullptr) {
            now2 = restricted(*n.second, n.second_keys, k);
            old2 = b.empty() ? now2 : before(*n.second, now2, b);
        }
        const auto side = [&](const std::string &one, const std::string &two, const char *weight) {
            return "SELECT " + names(n) + ", " + weight + "::int8 AS w FROM (" +
                   rendered(n, "SELECT * FROM " + one, "SELECT * FROM " + two) + ") x WHERE " + all_of(n.conditions);
        };
        return unite({side(now1, now2, "1"), side(old1, old2, "-1")});
    }

    std::string unite(const std::vector<std::string> &terms) {
        if (terms.empty())
            return {};
        std::string sql;
        for (const std::string &t : terms)
            sql += (sql.empty() ? "" : " UNION ALL ") + t;
        return add(sql);
    }

    std::string delta(const join_node &n) {
        switch (n.what) {
        case join_node::kind::leaf: return leaf(n);
        case join_node::kind::inner: return inner(n);
        case join_node::kind::left: return left(n);
        case join_node::kind::project: return project(n);
        case join_node::kind::append: return append(n);
        case join_node::kind::keyed: return keyed(n);
        }
        return {};
    }
};

} // namespace

std::string current_sql(const join_node &n) {
    if (n.what == join_node::kind::leaf) {
        std::string list;
        for (size_t i = 0; i < n.columns.size(); ++i)
            list += (i > 0 ? ", " : "") +
                    (n.attributes[i] == 0 ? std::string("true") : n.columns[i].first) + " AS " +
                    n.columns[i].second.name;
        return "SELECT * FROM (SELECT " + list + " FROM " + n.table + ") x WHERE " + all_of(n.conditions);
    }
    const std::string where = ") x WHERE " + all_of(n.conditions);
    if (n.what == join_node::kind::project) {
        std::string list;
        for (const auto &c : n.shown)
            list += (list.empty() ? "" : ", ") + c.first + " AS " + c.second.name;
        return "SELECT * FROM (SELECT " + list + " FROM (" + current_sql(*n.first) + ") x WHERE " +
               all_of(n.filters) + where;
    }
    if (n.what == join_node::kind::append)
        return "SELECT * FROM (SELECT " + names(n) + " FROM (" + current_sql(*n.first) + ") a UNION ALL SELECT " +
               names(n) + " FROM (" + current_sql(*n.second) + ") b" + where;
    if (n.what == join_node::kind::keyed)
        return "SELECT " + names(n) + " FROM (" +
               rendered(n, current_sql(*n.first), n.second == nullptr ? "" : current_sql(*n.second)) + where;
    const bool left = n.what == join_node::kind::left;
    return "SELECT * FROM (" + current_sql(*n.first) + ") a " + (left ? "LEFT JOIN (" : "JOIN (") +
           current_sql(*n.second) + ") b ON " + all_of(n.conditions);
}

// k1 …, x1 … over core columns.
static std::string core_columns(const view_form &f) {
    std::string list;
    if (f.late)
        list = f.late->partner + " AS k1, ";
    for (size_t i = 0; i < f.keys.size() && !f.late; ++i)
        list += f.keys[i].first + " AS k" + std::to_string(i + 1) + ", ";
    for (size_t i = 0; i < f.arguments.size(); ++i)
        list += f.arguments[i].sql + " AS x" + std::to_string(i + 1) + ", ";
    return list;
}

std::string core_delta_sql(const view_form &f, const std::vector<unsigned> &changed) {
    builder b{changed, {}, 0};
    const std::string root = b.delta(*f.root);
    std::string sql;
    if (!root.empty())
        sql = "SELECT " + core_columns(f) + "w FROM " + root + " WHERE " + all_of(f.filters);
    if (f.late && b.has(f.late->table->base)) {
        // The groups of rows that came, went or changed are written again, counted or not.
        std::string none;
        for (const argument &a : f.arguments)
            none += "NULL::" + a.type + ", ";
        sql += (sql.empty() ? "SELECT c" : " UNION ALL SELECT c") + std::to_string(f.late->attribute) + " AS k1, " +
               none + "0::int8 FROM d" + std::to_string(f.late->table->base);
    }
    return b.ctes + " " + sql;
}

std::string core_rows_sql(const view_form &f) {
    return "SELECT " + core_columns(f) + "1::int8 AS w FROM (" + current_sql(*f.root) + ") c WHERE " + all_of(f.filters);
}

std::string late_groups_sql(const view_form &f) {
    const late_join &l = *f.late;
    std::string keys, shown, counted, none, row;
    for (size_t k = 0; k < f.keys.size(); ++k) {
        const std::string name = "k" + std::to_string(k + 1);
        keys += (k == l.position ? "coalesce(d.dk, t.k1) AS " + name : "d." + name) + ", ";
        shown += f.keys[k].first + " AS " + name + ", ";
    }
    for (size_t s = 0; s < f.slots.size(); ++s) {
        const std::string name = "s" + std::to_string(s + 1), x = "(" + f.arguments[f.slots[s].argument].sql + ")";
        counted += ", CASE WHEN t.n > 0 THEN t." + name + " ELSE z." + name + " END AS " + name;
        none += (s > 0 ? ", " : "") +
                (f.slots[s].what == slot::kind::sum      ? "coalesce(" + x + "::numeric, 0)"
                 : f.slots[s].what == slot::kind::truths ? "(" + x + " IS TRUE)::int::int8"
                                                         : "(" + x + " IS NOT NULL)::int::int8") +
                " AS " + name;
    }
    for (const typed &c : f.root->all_columns())
        row += (row.empty() ? "" : ", ") + std::string("NULL::") + c.type + " AS " + c.name;
    // A row without partners is joined to a row of NULLs, as in the view's own query.
    return "SELECT " + keys + "CASE WHEN t.n > 0 THEN t.n ELSE 1 END AS n" + counted + ", d.found IS NOT NULL AS alive "
           "FROM nt t LEFT JOIN (SELECT " + shown + l.key.name + " AS dk, true AS found FROM (" + current_sql(*l.table) +
           ") c) d ON d.dk = t.k1" +
           (none.empty() ? "" : " CROSS JOIN (SELECT " + none + " FROM (SELECT " + row + ") r) z");
}

std::string signature(const view_form &f) {
    std::string all = f.packed ? "packed3" : "tables";
    const auto add = [&](const std::string &part) { all += '\n' + part; };
    for (const auto &k : f.keys)
        add(k.first + " " + k.second.type);
    for (const argument &a : f.arguments)
        add(a.sql + " " + a.type + " " + std::to_string(a.scale));
    for (const slot &s : f.slots)
        add(std::to_string(static_cast<int>(s.what)) + " " + std::to_string(s.argument));
    if (f.late)
        add("late " + f.late->partner + " " + f.late->key.type);
    uint64_t h = 14695981039346656037u; // FNV-1a
    for (const char c : all)
        h = (h ^ static_cast<unsigned char>(c)) * 1099511628211u;
    return std::to_string(h);
}

std::string match_sql(const std::vector<std::pair<std::string, std::string>> &pairs,
                      const std::vector<bool> &null) {
    std::string out, one, other;
    bool any = false;
    for (size_t i = 0; i < pairs.size(); ++i) {
        out += (i > 0 ? " AND " : "") + pairs[i].first + (null[i] ? " IS NOT DISTINCT FROM " : " = ") +
               pairs[i].second;
        one += (i > 0 ? ", " : "") + pairs[i].first;
        other += (i > 0 ? ", " : "") + pairs[i].second;
        any = any || null[i];
    }
    if (pairs.empty())
        return "true";
    if (std::all_of(null.begin(), null.end(), [](bool n) { return n; }))
        out += " AND hash_record_extended(ROW(" + one + "), 0) = hash_record_extended(ROW(" + other + "), 0)";
    return out;
}

} // namespace dbopt::core
