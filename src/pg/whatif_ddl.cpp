// CREATE INDEX as text: read into a specification (nothing is created), and plans as text.
#include "pg/catalog_text.hpp"
#include "pg/compat.hpp"
#include "pg/relation.hpp"
#include "pg/whatif_internal.hpp"

extern "C" {
#include "access/reloptions.h"
#include "catalog/catalog.h"
}

namespace dbopt::pg::whatif {

namespace {

// Set while plan_text runs.
const char *const *printed_names = nullptr;
int printed_count = 0;

const IndexStmt *parse_one(const std::string &ddl) {
    return call([&]() -> const IndexStmt * {
        List *raw = pg_parse_query(ddl.c_str());
        if (list_length(raw) != 1)
            ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
                            errmsg("expected exactly one CREATE INDEX statement, found %d statements",
                                   list_length(raw))));
        Node *stmt = linitial_node(RawStmt, raw)->stmt;
        if (!IsA(stmt, IndexStmt))
            ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
                            errmsg("expected a CREATE INDEX statement"),
                            errdetail("The text is: %s", ddl.c_str())));
        return reinterpret_cast<IndexStmt *>(stmt);
    });
}

AttrNumber column_number(Oid relation, const char *name) {
    const AttrNumber n = get_attnum(relation, name);
    if (n == InvalidAttrNumber)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                        errmsg("column \"%s\" of relation \"%s\" does not exist", name,
                               get_rel_name(relation))));
    if (n < 0)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("index creation on system columns is not supported"),
                        errdetail("\"%s\" is a system column.", name)));
    return n;
}

void refuse_system_columns(Node *node) {
    Bitmapset *used = nullptr;
    pull_varattnos(node, 1, &used);
    for (int i = -1; (i = bms_next_member(used, i)) >= 0;) {
        const int column = i + FirstLowInvalidHeapAttributeNumber;
        if (column < 0)
            ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                            errmsg("index creation on system columns is not supported")));
    }
}

// What DefineIndex refuses before it looks at the columns (src/backend/commands/indexcmds.c). The
// planner keeps arrays of INDEX_MAX_KEYS: an index that is too wide must never reach it.
void refuse_impossible(const IndexStmt *stmt, Oid relation, Oid method) {
    const IndexAmRoutine *am = GetIndexAmRoutineByAmId(method, false);
    const int keys = list_length(stmt->indexParams), others = list_length(stmt->indexIncludingParams);
    if (keys + others > INDEX_MAX_KEYS)
        ereport(ERROR, (errcode(ERRCODE_TOO_MANY_COLUMNS),
                        errmsg("cannot use more than %d columns in an index", INDEX_MAX_KEYS),
                        errdetail("The statement names %d columns.", keys + others)));
    auto refuse = [&](bool wanted, bool able, const char *what) {
        if (wanted && !able)
            ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                            errmsg("access method \"%s\" does not support %s", get_am_name(method), what)));
    };
    refuse(stmt->unique, am->amcanunique, "unique indexes");
    refuse(others > 0, am->amcaninclude, "included columns");
    refuse(keys > 1, am->amcanmulticol, "multicolumn indexes");
    for (int i = 0; i < keys; ++i) {
        const auto *e = static_cast<const IndexElem *>(list_nth(stmt->indexParams, i));
        refuse(e->ordering != SORTBY_DEFAULT, am->amcanorder, "ASC/DESC options");
        refuse(e->nulls_ordering != SORTBY_NULLS_DEFAULT, am->amcanorder, "NULLS FIRST/LAST options");
    }
    if (IsCatalogRelationOid(relation))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("permission denied: \"%s\" is a system catalog", get_rel_name(relation))));
    // Names and bounds of the storage parameters.
    index_reloptions(am->amoptions,
                     transformRelOptions(Datum{0}, stmt->options, nullptr, nullptr, false, false), true);
}

key read_key(const IndexElem *element, Oid relation, Oid method) {
    key k;
    Oid type;
    if (element->name != nullptr) {
        k.column = column_number(relation, element->name);
        type = get_atttype(relation, k.column);
    } else {
        k.expression = eval_const_expressions(nullptr, element->expr);
        fix_opfuncids(k.expression);
        refuse_system_columns(k.expression);
        if (contain_mutable_functions(k.expression))
            ereport(ERROR, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
                            errmsg("functions in index expression must be marked IMMUTABLE")));
        type = exprType(k.expression);
    }
    k.opclass = ResolveOpClass(element->opclass, type, get_am_name(method), method);
    if (element->collation != NIL || element->opclassopts != NIL)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("COLLATE and operator class options are not supported here"),
                        errhint("Run the CREATE INDEX yourself.")));
    k.descending = element->ordering == SORTBY_DESC;
    k.nulls_first = element->nulls_ordering == SORTBY_NULLS_DEFAULT
                        ? k.descending
                        : element->nulls_ordering == SORTBY_NULLS_FIRST;
    return k;
}

List *read_predicate(Node *where) {
    if (where == nullptr)
        return NIL;
    refuse_system_columns(where);
    if (contain_mutable_functions(where))
        ereport(ERROR, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
                        errmsg("functions in index predicate must be marked IMMUTABLE")));
    Node *folded = eval_const_expressions(nullptr, where);
    folded = reinterpret_cast<Node *>(canonicalize_qual(reinterpret_cast<Expr *>(folded), false));
    List *list = make_ands_implicit(reinterpret_cast<Expr *>(folded));
    fix_opfuncids(reinterpret_cast<Node *>(list));
    return list;
}

void read_options(const List *options, definition *out) {
    for (int i = 0; i < list_length(options); ++i) {
        DefElem *e = static_cast<DefElem *>(list_nth(options, i));
        const std::string_view name(e->defname);
        if (name == "fillfactor")
            out->fillfactor = call([&] { return defGetNumeric(e); });
        else if (name == "deduplicate_items")
            out->deduplicate = call([&] { return defGetBoolean(e); });
        else if (name == "pages_per_range")
            out->pages_per_range = call([&] { return defGetInt32(e); });
        else
            raise({.code = ERRCODE_FEATURE_NOT_SUPPORTED,
                   .message = "storage parameter \"" + std::string(name) + "\" is not supported here"});
    }
}

} // namespace

const char *hypothetical_name(Oid index) {
    if (index < first_hypothetical_oid ||
        index - first_hypothetical_oid >= static_cast<Oid>(printed_count))
        return nullptr;
    return printed_names[index - first_hypothetical_oid];
}

definition parse_definition(const std::string &ddl) {
    const IndexStmt *parsed = parse_one(ddl);
    definition out;
    const Oid relation = call([&] {
        return RangeVarGetRelid(parsed->relation, AccessShareLock, false);
    });
    const char kind = get_rel_relkind(relation);
    if (kind != RELKIND_RELATION && kind != RELKIND_MATVIEW && kind != RELKIND_PARTITIONED_TABLE)
        raise({.code = ERRCODE_WRONG_OBJECT_TYPE,
               .message = "cannot create an index on " + qualified_name(relation),
               .detail = "It is a " + kind_name(kind) + "."});
    if (kind == RELKIND_PARTITIONED_TABLE && !parsed->relation->inh)
        raise({.code = ERRCODE_FEATURE_NOT_SUPPORTED,
               .message = "ONLY is not supported here",
               .detail = qualified_name(relation) + " is partitioned: an index of the parent alone serves no query.",
               .hint = "Leave ONLY out: the index is then made partition by partition."});
    const IndexStmt *stmt = call([&] {
        return transformIndexStmt(relation, static_cast<IndexStmt *>(copyObjectImpl(parsed)),
                                  ddl.c_str());
    });
    out.spec.relation = relation;
    out.spec.method = call([&] { return get_index_am_oid(stmt->accessMethod, false); });
    out.spec.unique = stmt->unique;
    call([&] { refuse_impossible(stmt, relation, out.spec.method); });
    for (int i = 0; i < list_length(stmt->indexParams); ++i) {
        const auto *element = static_cast<IndexElem *>(list_nth(stmt->indexParams, i));
        key *k = &out.spec.keys.emplace_back();
        call([&] { *k = read_key(element, relation, out.spec.method); });
    }
    for (int i = 0; i < list_length(stmt->indexIncludingParams); ++i) {
        const auto *element = static_cast<IndexElem *>(list_nth(stmt->indexIncludingParams, i));
        const AttrNumber n = call([&] {
            if (element->name == nullptr)
                ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                                errmsg("expressions are not supported in included columns")));
            return column_number(relation, element->name);
        });
        out.spec.includes.push_back(n);
    }
    out.spec.predicate = call([&] { return read_predicate(stmt->whereClause); });
    read_options(stmt->options, &out);
    if (stmt->tableSpace != nullptr)
        raise({.code = ERRCODE_FEATURE_NOT_SUPPORTED, .message = "TABLESPACE is not supported here"});
    if (stmt->idxname != nullptr)
        out.name = stmt->idxname;
    return out;
}

namespace {
std::string key_text(const key &k, Oid relation) {
    std::string out = k.column != 0 ? quote_identifier(column_name(relation, k.column))
                                    : index_expression(relation, k.expression);
    if (OidIsValid(k.opclass) && !is_default_class(k.opclass))
        out += " " + opclass_name(k.opclass);
    if (k.descending)
        out += k.nulls_first ? " DESC" : " DESC NULLS LAST";
    else if (k.nulls_first)
        out += " NULLS FIRST";
    return out;
}
} // namespace

// Columns are named as the table of the definition names them; a partition has the same names.
std::string create_index_text(const definition &d, const std::string &name, const create_options &o) {
    const Oid table = d.spec.relation;
    std::string columns, includes, options;
    for (const key &k : d.spec.keys)
        columns += (columns.empty() ? "" : ", ") + key_text(k, table);
    for (const AttrNumber c : d.spec.includes)
        includes += (includes.empty() ? "" : ", ") + quote_identifier(column_name(table, c));
    auto option = [&](const std::string &text) { options += (options.empty() ? "" : ", ") + text; };
    if (d.fillfactor > 0)
        option("fillfactor = " + std::to_string(static_cast<int>(d.fillfactor)));
    if (!d.deduplicate)
        option("deduplicate_items = off");
    if (d.pages_per_range != 128)
        option("pages_per_range = " + std::to_string(d.pages_per_range));
    std::string out = d.spec.unique ? "CREATE UNIQUE INDEX " : "CREATE INDEX ";
    out += o.concurrently ? "CONCURRENTLY " : "";
    out += quote_identifier(name) + " ON " + (o.only ? "ONLY " : "") + qualified_name(o.relation);
    out += " USING " + method_name(d.spec.method) + " (" + columns + ")";
    out += includes.empty() ? "" : " INCLUDE (" + includes + ")";
    out += options.empty() ? "" : " WITH (" + options + ")";
    for (int i = 0; i < list_length(d.spec.predicate); ++i)
        out += (i == 0 ? " WHERE (" : " AND (") +
               expression_text(table, static_cast<Node *>(list_nth(d.spec.predicate, i))) + ")";
    return out;
}

expected_table table_of_definition(const std::string &ddl) {
    const IndexStmt *parsed = parse_one(ddl);
    return {parsed->relation->schemaname != nullptr ? parsed->relation->schemaname : "public",
            parsed->relation->relname};
}

std::string method_name(Oid method) {
    return call([&] { return get_am_name(method); });
}

std::string opclass_name(Oid opclass) {
    return call([&]() -> const char * {
        HeapTuple tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
        if (!HeapTupleIsValid(tuple))
            ereport(ERROR, (errmsg_internal("no operator class %u", opclass)));
        const auto *form = reinterpret_cast<Form_pg_opclass>(GETSTRUCT(tuple));
        const char *name = form->opcnamespace == PG_CATALOG_NAMESPACE
                               ? pstrdup(::quote_identifier(NameStr(form->opcname)))
                               : quote_qualified_identifier(
                                     get_namespace_name(form->opcnamespace), NameStr(form->opcname));
        ReleaseSysCache(tuple);
        return name;
    });
}

std::string engine::plan_text(int query, std::span<const int> indexes,
                              std::span<const std::string> names) {
    PlannedStmt *plan = run(query, indexes);
    std::vector<const char *> by_id(indexes_.size(), nullptr);
    for (size_t i = 0; i < indexes.size(); ++i)
        by_id[indexes[i]] = names[i].c_str();
    struct printing {
        ~printing() {
            printed_names = nullptr;
            printed_count = 0;
        }
    } const scope;
    printed_names = by_id.data();
    printed_count = static_cast<int>(by_id.size());
    const char *sql = queries_[query].text.c_str();
    const char *text = call([&] {
        MemoryContext old = MemoryContextSwitchTo(planning_);
        plan->jitFlags = 0; // EXPLAIN would generate code for nothing
        ExplainState *es = NewExplainState();
        es->costs = true;
        es->format = EXPLAIN_FORMAT_TEXT;
        ExplainBeginOutput(es);
        compat::explain_plan(plan, es, sql);
        ExplainEndOutput(es);
        MemoryContextSwitchTo(old);
        return es->str->data;
    });
    std::string out(text);
    while (!out.empty() && out.back() == '\n')
        out.pop_back();
    return out;
}

} // namespace dbopt::pg::whatif
