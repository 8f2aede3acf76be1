// The candidates of a workload: every index worth pricing, once, with its size and its DDL. Internal
// to the advisor.
#pragma once
#include "advisor/advisor.hpp"
#include "core/index_candidates.hpp"
#include "pg/index_sample.hpp"
#include <map>
#include <set>

namespace dbopt::advisor {

class universe {
  public:
    universe(pg::whatif::engine &engine, const suggest_options &options);

    // Adds the candidates that serve one query; remembers which they are.
    // Every query's conditions are noted before the first is added: only what recurs may become the
    // predicate of a partial index.
    void note(const std::vector<pg::whatif::relation_use> &uses);
    void add_query(int query, const std::vector<pg::whatif::relation_use> &uses);
    // Prices them all and hands them to the engine. Returns how many there are.
    int finish();

    struct entry {
        core::index_candidate shape;
        pg::whatif::index_spec spec;
        pg::whatif::index_shape size;
        double bytes = 0;
        int engine_id = -1;
    };
    const entry &operator[](int i) const { return entries_[i]; }
    int size() const { return static_cast<int>(entries_.size()); }
    const std::vector<int> &own(int query) const { return own_[query]; }
    // Candidates of other queries whose first column this query restricts, joins or sorts by.
    std::vector<int> shared(int query) const;
    // Of `from`, those that offer this query its order and leave its conditions to luck: see gambles() in
    // core/index_candidates.cpp. They are no help to it.
    std::vector<int> gamblers(int query, const std::vector<int> &from) const;
    std::vector<int> prefixes(int index) const;
    // Against a budget: lists of search keys may be a little longer than a sample shows.
    double bytes_at_most(int index) const { return entries_[index].bytes * (entries_[index].shape.method == 0 ? 1.0 : 1.01); }
    double build_ms(int index);
    std::string ddl(int index);
    std::string columns_text(int index) const;
    // Cost of keeping the index up to date over the observed time, in the planner's unit.
    double upkeep(int index);
    // Takes note of a recurring statement that changed so many rows.
    void add_writes(int query, double rows);
    std::string explain_use(int index, int query) const;
    pg::whatif::size_model &sizes() { return sizes_; }

  private:
    struct existing {
        std::vector<core::index_key> keys;
        bool plain = false; // valid, no predicate
        unsigned method = 0;
    };
    using whatif_condition = pg::whatif::relation_use::condition;
    struct relation_facts {
        bool eligible = false;
        double pages = 0, tuples = 0;
        double inserts = 0;            // rows that recurring statements of the workload inserted
        std::map<int, double> updates; // rows they updated, by column
        double updated = 0;            // rows they updated, whatever the columns
        std::vector<existing> indexes;
        std::vector<Node *> expressions; // column -1 - n of a candidate
        std::vector<whatif_condition> predicates; // by number
        struct comparison {
            Node *condition;
            int queries;
        };
        std::map<int, std::vector<comparison>> compared; // column = constant, by column
        std::map<int, bool> sortable, coverable;
    };
    relation_facts &facts(Oid relation);
    void load_existing(Oid relation, relation_facts *out);
    void propose_others(const pg::whatif::relation_use &use, const core::relation_usage &u,
                        relation_facts &f, std::set<core::index_candidate> *out);
    void propose_partial(const pg::whatif::relation_use &use, const core::relation_usage &u,
                         relation_facts &f, std::set<core::index_candidate> *out);
    bool allowed(const char *method) const;
    bool recurs(const relation_facts &f, int column, Node *condition) const;
    int expression_number(relation_facts &f, Node *expression);
    bool sortable(Oid relation, relation_facts &f, int column);
    bool coverable(Oid relation, relation_facts &f, int column);
    bool exists_already(const relation_facts &f, const core::index_candidate &c) const;
    void note_luck(int query, const core::relation_usage &u);
    core::relation_usage translate(const pg::whatif::relation_use &use, relation_facts &f);
    pg::whatif::index_spec specify(const core::index_candidate &c) const;
    std::string free_name(int index);

    pg::whatif::engine &engine_;
    const suggest_options &options_;
    pg::whatif::size_model sizes_;
    std::map<Oid, relation_facts> relations_;
    std::map<core::index_candidate, int> numbers_;
    std::vector<entry> entries_;
    std::vector<std::vector<int>> own_;
    struct lead {
        Oid relation;
        int column;
        auto operator<=>(const lead &) const = default;
    };
    std::vector<std::map<lead, std::string>> leads_; // per query: what each column does there
    std::vector<std::set<lead>> lucky_; // per query: columns whose order alone would be a gamble
    std::set<std::string> names_;
};

} // namespace dbopt::advisor
