// Inside the reader of view queries: what view_query.cpp, view_aggregates.cpp and view_functions.cpp
// share. Not for rooms.
#pragma once
#include "pg/compat.hpp"
#include "pg/view_query.hpp"
#include <map>

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

struct reader {
    Query *q = nullptr;
    core::view_form form;
    std::vector<std::string> names;          // columns of the synthetic relation, in order
    std::map<column_use, int> place;         // column of a relation → position there
    std::vector<Node *> key_nodes, aggregates;
    std::map<int, Oid> bases;
    bool final_pass = false;                 // keys and aggregates become columns as well

    void read(Oid matview);
    std::unique_ptr<core::join_node> tree(Node *n);
    std::unique_ptr<core::join_node> leaf(int relation);
    void add_conditions(core::join_node &n, Node *quals);
    void push(core::join_node &n, Node *conjunct, std::vector<std::string> *rest);
    std::vector<int> relations_of(Node *n);
    std::string sql(Node *n);
    void collect(Node *n);
    void check_type(Oid type, Oid collation, const std::string &what);
    int key_of(Node *n) const;
    int add_argument(const std::string &text, Node *expr, Oid type);
    int add_slot(core::slot::kind what, int argument);
    void read_aggregate(Aggref *a, int number);
    void read_output();
    std::string slot_name(int s) const { return "s" + std::to_string(s + 1); }
};

} // namespace dbopt::pg::views
