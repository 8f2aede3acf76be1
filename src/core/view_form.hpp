// The delta form of a matview's query: a join tree, keys, aggregates, output; or why there is none.
//
// A row of the joined relations is a *core row*. The form says how core rows become the matview: kept
// as they are (bag), or grouped by keys with aggregates that can be counted up and down, or grouped
// with aggregates that need their groups recomputed. Column v2_3 is column 3 of range table entry 2.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace dbopt::core {

struct typed {
    std::string name, type; // type as SQL, with COLLATE where it is not the default
};

// One node of the tree below a view. Joins show the columns of both sides; a leaf, a projection, a UNION
// ALL and a keyed node show columns of their own, and `conditions` of those are over what they show.
// `equal` pairs an expression of the left side with one of the right.
struct join_node {
    enum class kind { leaf, inner, left, project, append, keyed };
    kind what = kind::leaf;
    std::vector<int> relations; // range table indexes below, of the query this node belongs to
    // leaf
    unsigned base = 0;          // OID of the relation
    std::string table;          // as FROM wants it
    std::vector<std::pair<std::string, typed>> columns; // column of the table → name and type here
    std::vector<int> attributes;                        // its attribute numbers, parallel
    // joins: both; projection: the first; UNION ALL: both; keyed: the first, perhaps both
    std::unique_ptr<join_node> first, second;
    std::vector<std::string> conditions; // all of them, as SQL
    std::vector<std::pair<std::string, std::string>> equal;
    std::vector<std::string> first_only, second_only;
    // Projection: expression over the first's columns → column; its rows pass `filters`. Others: the
    // names alone count; UNION ALL takes both sides by these names.
    std::vector<std::pair<std::string, typed>> shown;
    std::vector<std::string> filters;
    // Keyed: any query over its inputs (dbopt_in1, dbopt_in2) whose rows for a key depend on the input
    // rows with that key alone: groups, windows, DISTINCT, UNION and kin, EXISTS, FULL JOIN.
    std::string text;
    std::vector<std::string> first_keys, second_keys;
    bool is_join() const { return what == kind::inner || what == kind::left; }
    std::vector<typed> all_columns() const;
};

// Column of the state of a group, summed over core rows.
struct slot {
    enum class kind { count, sum, truths, distinct };
    kind what = kind::count;
    int argument = 0; // index into view_form::arguments
};

struct argument {
    std::string sql; // over core columns; NULL where the aggregate ignores the row
    std::string type;
    bool numeric = false; // NaN and infinities must be looked for
    int scale = 0;        // digits behind the point, if it is numeric and summed
};

// A table joined by its unique key to the rows that are counted, which does nothing but show that key and
// columns of its own: t LEFT JOIN … ON partner = t.key … GROUP BY t.key. Its groups are counted by `partner`
// alone, and it is looked at when the groups are written: no row of it is joined to any row that changed.
struct late_join {
    std::unique_ptr<join_node> table; // a leaf
    typed key;                        // its column
    int attribute = 0;                // the same in the table itself
    std::string partner;              // column of the rows that are counted
    size_t position = 0;              // of the key among view_form::keys
};

struct view_form {
    enum class kind { bag, counted, recomputed };
    kind what = kind::bag;
    std::unique_ptr<join_node> root;
    std::vector<std::string> filters;    // WHERE, as far as it was not pushed down
    std::vector<std::pair<std::string, typed>> keys; // expression over core columns → k1 …
    std::vector<int> key_output;         // output column that shows the key, -1 if none does
    size_t identifying = 0;              // the first so many keys tell groups apart
    std::vector<argument> arguments;     // x1 …
    std::vector<slot> slots;             // columns s1 … of the state
    std::vector<std::string> results;    // a1 …: value of each aggregate from slots
    std::string having;                  // over k and a (counted) or over core columns (recomputed)
    std::vector<std::string> output;     // same
    std::vector<typed> target;           // columns of the matview
    // The order of rows shows in the result (array_agg without ORDER BY, float sums, row_number): groups
    // that changes touch are computed anew, and two computations may differ in the order.
    bool order_shows = false;
    // Counted: the state fits packed counters (core/packed_counts.hpp), kept by pg/count_state.hpp.
    bool packed = false;
    std::optional<late_join> late; // then root is what it is joined to; packed only
    // The keys by which core rows are counted.
    size_t counted_keys() const { return late ? 1 : keys.size(); }
};

// Statements over named relations d<base OID> (changes: columns c<attribute>, w), see delta_sql.cpp.
// `changed` tells which bases have changes.
std::string current_sql(const join_node &n);
std::string core_delta_sql(const view_form &f, const std::vector<unsigned> &changed);

// SELECT k1 …, x1 … of the rows as they are.
std::string core_rows_sql(const view_form &f);
// k1 …, n, s1 …, alive: groups of relation nt (k1, n, s1 …: counted by partner) with the table of f.late.
std::string late_groups_sql(const view_form &f);

// Digest of what a counting state is made of: another form cannot go on with it.
std::string signature(const view_form &f);

// a.k1 = b.k1 AND …; columns that may hold NULL on both sides compare null-safely and by hash.
std::string match_sql(const std::vector<std::pair<std::string, std::string>> &pairs,
                      const std::vector<bool> &nulls);

} // namespace dbopt::core
