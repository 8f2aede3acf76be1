// Small catalog questions whose answers are names or yes/no, for building and comparing DDL.
#pragma once
#include "pg/value.hpp"

struct Node;

namespace dbopt::pg {

std::string column_name(Oid relation, AttrNumber column); // unquoted
bool has_btree_class(Oid relation, AttrNumber column);
// The expression (over varno 1) as it must stand in CREATE INDEX, with its parentheses.
std::string index_expression(Oid relation, Node *expression);
std::string expression_text(Oid relation, Node *expression);
bool same_expression(const Node *a, const Node *b);
// At most `bytes` bytes, cut between characters of the database's encoding.
std::string clip_identifier(const std::string &name, size_t bytes);
// Whether the relation's schema has a relation of that name already.
bool relation_exists_beside(Oid relation, const std::string &name);

} // namespace dbopt::pg
