// Small catalog questions whose answers are names or yes/no, for building and comparing DDL.
#pragma once
#include "pg/value.hpp"

struct Node;
struct List;

namespace dbopt::pg {

std::string column_name(Oid relation, AttrNumber column); // unquoted
bool has_class(Oid relation, AttrNumber column, Oid method); // a default operator class
bool is_default_class(Oid opclass);
bool is_scalar_column(Oid relation, AttrNumber column); // no array, document or composite
inline bool has_btree_class(Oid relation, AttrNumber column) {
    return has_class(relation, column, BTREE_AM_OID);
}
// A restriction that an index's WHERE could hold: column = constant, a flag, IS [NOT] NULL, without
// parameters. column 0: it is none of these.
struct condition_shape {
    AttrNumber column = 0;
    bool compares = false; // with a constant
};
condition_shape describe_condition(Node *condition);
List *make_list(Node *one, MemoryContext home);
// The expression (over varno 1) as it must stand in CREATE INDEX, with its parentheses.
std::string index_expression(Oid relation, Node *expression);
// Whether an expression holds a constant that another call of its statement need not share: not a text (a key of a
// document, a unit, a format) nor one of the steady ones, or one of the passing ones.
bool has_passing_constant(Node *expression, const std::vector<std::string> &steady,
                          const std::vector<std::string> &passing);
// The partitioned tables above a partition.
std::vector<Oid> partitioned_above(Oid relation);
// A word for an index's name: the outermost function's name, or "expr".
std::string expression_label(Node *expression);
std::string expression_text(Oid relation, Node *expression);
bool same_expression(const Node *a, const Node *b);
// At most `bytes` bytes, cut between characters of the database's encoding.
std::string clip_identifier(const std::string &name, size_t bytes);
// Whether the relation's schema has a relation of that name already.
bool relation_exists_beside(Oid relation, const std::string &name);

} // namespace dbopt::pg
