// Inside the reader of view queries: what view_query.cpp, view_aggregates.cpp and view_functions.cpp
// share. Not for rooms.
#pragma once
#include "pg/compat.hpp"
#include "pg/view_query.hpp"
#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

extern "C" {
#include "access/transam.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "utils/ruleutils.h"
}

namespace dbopt::pg::views {

struct refused {
    std::string why;
};
[[noreturn]] inline void refuse(const std::string &why) { throw refused{why}; }

// The walkers' callback type differs between versions.
using visitor = bool (*)(Node *, void *);
inline bool walk(Node *n, visitor f, void *context) {
#if PG_VERSION_NUM >= 160000
    return expression_tree_walker(n, f, context);
#else
    return expression_tree_walker(n, (bool (*)())(void *)f, context);
#endif
}
inline bool walk_query(Query *q, visitor f, void *context) {
#if PG_VERSION_NUM >= 160000
    return query_tree_walker(q, f, context, QTW_EXAMINE_RTES_BEFORE);
#else
    return query_tree_walker(q, (bool (*)())(void *)f, context, QTW_EXAMINE_RTES_BEFORE);
#endif
}
inline Node *mutate(Node *n, Node *(*f)(Node *, void *), void *context) {
#if PG_VERSION_NUM >= 160000
    return expression_tree_mutator(n, f, context);
#else
    return expression_tree_mutator(n, (Node * (*)())(void *) f, context);
#endif
}

Node *flatten(Query *q, Node *n);
Query *stored_query(Oid view);
std::string sql_type(Oid type, int32 typmod, Oid collation);

struct column_use {
    int relation, attribute;
    bool operator<(const column_use &o) const {
        return std::pair(relation, attribute) < std::pair(o.relation, o.attribute);
    }
};

// What all blocks of one view share.
struct whole_view {
    int blocks = 0;
    bool order_shows = false;
    std::vector<Oid> expanding; // views, from the outside in
};

// Reads one query block. A block below another (subquery, WITH, view, arm of a UNION) becomes one
// relation of the outer block, whose columns bear the outer block's names for them.
struct reader {
    whole_view *all = nullptr;
    reader *outer = nullptr;                 // where its WITH names are looked up
    int block = 0;
    Query *q = nullptr;
    core::view_form form;
    std::vector<std::string> names;          // columns of the synthetic relation, in order
    std::map<column_use, int> place;         // column of a relation → position there
    std::vector<Node *> key_nodes, aggregates;
    std::map<int, Oid> bases;                // relations of this block; 0: not a table
    bool final_pass = false;                 // keys and aggregates become columns as well
    bool packable = true;                    // the counting state fits packed counters
    int virtuals = 1000;                     // relations made up for EXISTS and IN

    reader(whole_view *whole, reader *out) : all(whole), outer(out), block(whole->blocks++) {}
    using node = std::unique_ptr<core::join_node>;
    void read(Oid matview);
    void check_block() const;
    void prepare();
    node tree(Node *n);
    node leaf(int relation);
    node table(RangeTblEntry *rte, int relation);
    void add_conditions(core::join_node &n, Node *quals);
    bool add_equality(core::join_node &n, Node *conjunct, const std::vector<int> &left,
                      const std::vector<int> &right, std::string *why);
    node full_join(node first, node second, Node *quals);
    void push(core::join_node &n, Node *conjunct, std::vector<std::string> *rest);
    std::vector<int> relations_of(Node *n);
    std::string sql(Node *n);
    std::string alias_of(const column_use &c) const;
    void collect(Node *n);
    int add_column(const column_use &c);
    void check_type(Oid type, Oid collation, const std::string &what);
    void check_inputs(const core::join_node &n);
    int key_of(Node *n) const;
    int add_argument(const std::string &text, Node *expr, Oid type);
    int add_slot(core::slot::kind what, int argument);
    void read_aggregate(Aggref *a, int number);
    void read_output(Oid matview);
    void read_bag(Oid matview);
    void take_out_late_join(); // view_late.cpp
    std::string slot_name(int s) const { return "s" + std::to_string(s + 1); }

    // view_blocks.cpp: a query as one relation. Column i of its output (from 1) is called `wanted`[i].
    using renaming = std::vector<std::pair<int, std::string>>;
    node as_relation(Query *sub, reader *scope, const renaming &wanted, const std::string &empty);
    node whole_block(const renaming &wanted, const std::string &empty);
    node set_operation(Node *n);
    node grouped_block();
    std::string block_text();
    std::vector<Node *> block_keys();
    void check_functions(Node *n);
    void check_dependent();
    // view_sublinks.cpp: EXISTS and IN in WHERE.
    struct sublink;
    sublink take_sublink(Node *conjunct);
    void part_conditions(sublink &s);
    node partner_rows(sublink &s);
    void add_sublink(node &tree, Node *conjunct);
};

std::vector<Node *> conjuncts(Node *quals);
bool has_sublink(Node *n);
bool within(const std::vector<int> &some, const std::vector<int> &all);
Node *rename_columns(Node *n, void *context);
bool find_dependent(Node *n, void *context);
// Whether the order of the input rows shows in the result of a built-in aggregate or window function.
bool order_shows_in(Aggref *a);
bool order_shows_in(WindowFunc *w, Query *q);

} // namespace dbopt::pg::views
