// Deltas of joins as SQL. Z-sets: every change row carries a weight w; a row that came counts +1, one
// that went -1. With A, B after the change and dA, dB the changes:
//   d(A ⋈ B) = dA ⋈ B + A ⋈ dB - dA ⋈ dB
//   d(A ⟕ B) = dA ⟕ B + F(A) - F(dA),  F(X) = X ⋈ dB + null-extended rows of X whose key found its
//              first partner (-1) or lost its last one (+1)
// Only states after the change are read, so there is no old snapshot to keep.
#include "core/view_form.hpp"
#include <algorithm>

namespace dbopt::core {

std::vector<typed> join_node::all_columns() const {
    std::vector<typed> out;
    if (what == kind::leaf) {
        for (const auto &c : columns)
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
    const bool left = n.what == join_node::kind::left;
    return "SELECT * FROM (" + current_sql(*n.first) + ") a " + (left ? "LEFT JOIN (" : "JOIN (") +
           current_sql(*n.second) + ") b ON " + all_of(n.conditions);
}

std::string core_delta_sql(const view_form &f, const std::vector<unsigned> &changed) {
    builder b{changed, {}, 0};
    const std::string root = b.delta(*f.root);
    std::string list;
    for (size_t i = 0; i < f.keys.size(); ++i)
        list += f.keys[i].first + " AS k" + std::to_string(i + 1) + ", ";
    for (size_t i = 0; i < f.arguments.size(); ++i)
        list += f.arguments[i].sql + " AS x" + std::to_string(i + 1) + ", ";
    return b.ctes + " SELECT " + list + "w FROM " + root + " WHERE " + all_of(f.filters);
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
