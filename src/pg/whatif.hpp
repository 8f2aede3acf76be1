// What-if planning: the real planner, shown indexes that do not exist.
//
//   whatif::engine e;
//   const int q = e.add_query("SELECT …");                  // parsed, analysed, rewritten once
//   const int i = e.add_index({.relation = …, .keys = {{.column = 2}}}, {.pages = …, .tuples = …});
//   const whatif::outcome o = e.plan(q, std::array{i});     // planned as often as needed
//
// The indexes are injected through get_relation_info_hook while `plan` runs, and only into the
// planner call that `plan` itself makes: a plan made meanwhile by a function that is being folded to
// a constant never sees them. They carry OIDs that no catalog knows; nothing of a what-if plan
// reaches the executor, the plan cache or the relcache. An engine lives inside one transaction.
// Idea: HypoPG (IndexOptInfo injection); parse once and plan in process instead of through EXPLAIN.
#pragma once
#include "pg/value.hpp"
#include <memory>

extern "C" {
#include "nodes/params.h"
#include "nodes/pathnodes.h"
#include "nodes/plannodes.h"
}

namespace dbopt::pg::whatif {

constexpr Oid first_hypothetical_oid = 0xFFFF0000u;
constexpr int max_indexes = 0xFFF0;

struct key {
    AttrNumber column = 0;  // 0: the expression below
    Node *expression = nullptr; // over varno 1, in memory that outlives the engine's use of it
    Oid opclass = InvalidOid;   // InvalidOid: the type's default
    bool descending = false;
    bool nulls_first = false;
};
struct index_spec {
    Oid relation = InvalidOid;
    Oid method = BTREE_AM_OID;
    std::vector<key> keys;
    std::vector<AttrNumber> includes;
    List *predicate = nullptr; // implicitly ANDed, over varno 1
    double share = -1; // of the rows that meet the predicate; negative: to be sampled
    bool unique = false;
};
struct index_shape {
    double pages = 1;
    double tuples = 0;
    int height = 0; // level of the root, b-tree only
};
struct outcome {
    double cost = 0;
    std::vector<int> used; // ids of the given indexes that the plan reads
    // The plan taken apart, if its query has been priced: where it reads a relation, and what else could
    // stand there (cheapest first; index -1: what is there without new indexes). The plan's own way is
    // among them, so cost - sum of the own ways is what the rest of the plan costs.
    struct option {
        int index;
        double cost;
    };
    struct leaf {
        double now; // the cost of the plan's own way
        std::vector<option> options;
    };
    std::vector<leaf> leaves;
    std::vector<int> needs; // of `used`, those that no leaf speaks for
    // What it may cost more, should the first few rows in an order not lie as evenly as the planner believes.
    double gamble = 0;
};

// How one query uses one relation, as the planner saw it after pulling up, folding and deriving.
enum class use_kind : uint8_t { equal, in_list, range, prefix, is_null, join, join_range, order, gin };
struct column_use {
    use_kind kind;
    bool alternative = false;  // one arm of an OR
    AttrNumber column = 0;     // 0: expression
    Node *expression = nullptr; // in the engine's memory, over varno 1
    Oid opclass = InvalidOid;  // when the default would not serve (text_pattern_ops, gin classes)
    int group = 0;             // join: the partner's range-table index; order: the sequence's number
    double selectivity = 1;
    bool descending = false;
    bool nulls_first = false;
};
struct relation_use {
    Oid relation = InvalidOid;
    double tuples = 0, rows = 0, pages = 0;
    bool whole_row = false;          // an index-only scan is impossible
    bool limited = false;            // the query wants the first few rows only
    std::vector<AttrNumber> needed;  // columns an index-only scan would have to return
    std::vector<column_use> uses;
    struct condition {
        Node *expression; // over varno 1
        double selectivity;
    };
    std::vector<condition> conditions; // all restrictions (for partial indexes)
};

struct priced_paths;

class engine {
  public:
    engine();
    ~engine();
    engine(const engine &) = delete;
    engine &operator=(const engine &) = delete;

    // Exactly one SELECT, INSERT, UPDATE, DELETE or MERGE; $n parameters are allowed and planned
    // generically unless `parameters` gives values (then they are folded in, as in a custom plan).
    // PREPARE, DECLARE CURSOR, EXPLAIN, CREATE TABLE AS and COPY stand for the query inside them.
    // Raises the server's own error for bad text, missing tables and so on.
    struct bound {
        Oid type = InvalidOid;
        std::optional<std::string> text; // nothing: NULL
    };
    int add_query(const std::string &text, const std::vector<bound> &parameters = {});
    void forget_last() { queries_.pop_back(); } // after a query that could not be planned
    int query_count() const { return static_cast<int>(queries_.size()); }
    int add_index(const index_spec &spec, const index_shape &shape);
    void reshape(int index, const index_shape &shape);

    outcome plan(int query, std::span<const int> indexes);
    // Asks the planner once what reading each relation costs with each of these indexes alone. From then on
    // plans of the query are taken apart. Returns, for every purpose that one of them can serve in a plan,
    // those that can, best first: of a set, the planner needs to see no more than the first of each.
    std::vector<std::vector<int>> price(int query, std::span<const int> indexes);
    // Plans without hypothetical indexes and tells how each relation is used.
    std::pair<double, std::vector<relation_use>> inspect(int query);
    // The plan as EXPLAIN prints it.
    std::string plan_text(int query, std::span<const int> indexes, std::span<const std::string> names);
    // What a data-changing statement changes. relation InvalidOid: it changes nothing, or only deletes.
    struct change {
        Oid relation = InvalidOid;
        bool inserts = false;
        std::vector<AttrNumber> columns; // of an UPDATE
    };
    change change_of(int query) const;
    CmdType command(int query) const { return queries_[query].tree->commandType; }
    int64_t query_id(int query) const { return queries_[query].id; }
    Query *tree(int query) const { return queries_[query].tree; }
    const std::string &text(int query) const { return queries_[query].text; }
    // Plans from now on as if this real index (with its partitions' parts) were not there.
    void hide(Oid index) { hidden_ = index; }
    int64_t plans_made() const { return plans_; }
    MemoryContext context() const { return context_; }

  private:
    struct prices;
    struct parsed {
        Query *tree;
        std::string text;
        int64_t id;
        ParamListInfo parameters;
        std::shared_ptr<prices> priced;
    };
    struct leaf;
    enum class purpose { plan, inspect, price };
    PlannedStmt *run(int query, std::span<const int> indexes, purpose why = purpose::plan);
    void take_apart(const parsed &q, outcome *out);
    void build_template(const index_spec &spec, Oid relation, const index_shape &shape, leaf *out);

    MemoryContext context_; // everything that lives as long as the engine
    MemoryContext planning_; // reset after every plan
    std::vector<parsed> queries_;
    std::vector<std::vector<leaf>> indexes_;
    int64_t plans_ = 0;
    Oid hidden_ = InvalidOid;
    // What the last plan left in the planning context.
    List *collected_ = nullptr;
    priced_paths *priced_ = nullptr;
    PlannerInfo *top_ = nullptr;
};

// From _PG_init. The hooks do nothing but call the previous one until an engine plans.
void install_hooks();

// One CREATE INDEX statement, parsed; nothing is created. The relation is locked ACCESS SHARE.
struct definition {
    index_spec spec;
    std::string name;
    double fillfactor = 0; // 0: the method's default
    bool deduplicate = true;
    int pages_per_range = 128;
};
definition parse_definition(const std::string &ddl);
// The definition as text again, built from what was read and nothing else.
struct create_options {
    bool concurrently = false;
    bool only = false;      // ON ONLY, for the parent of a partitioned table
    Oid relation = InvalidOid; // the table or one of its partitions
};
std::string create_index_text(const definition &d, const std::string &name, const create_options &o);
// Which table a CREATE INDEX is about; the table need not exist. Schema: as written, or "public".
struct expected_table {
    std::string schema, name;
};
expected_table table_of_definition(const std::string &ddl);
// The access method's name.
std::string method_name(Oid method);
std::string opclass_name(Oid opclass);

} // namespace dbopt::pg::whatif
