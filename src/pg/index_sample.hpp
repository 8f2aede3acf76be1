// Index sizes from a small sample of a table's pages and its statistics; see core/index_size.hpp.
#pragma once
#include "core/group_sizes.hpp"
#include "pg/whatif.hpp"
#include <map>

namespace dbopt::pg::whatif {

// Bytes of a value as a tuple stores it (at most 2000 of a toasted one), how it is aligned, and a hash of it.
void measure(Datum value, const FormData_pg_attribute *a, int32_t *width, uint8_t *alignment, uint32_t *hash);
// Whether an expression calls only functions that PostgreSQL itself or a superuser put there.
bool is_trusted(Node *expression);

class size_model {
  public:
    explicit size_model(MemoryContext keep) : keep_(keep) {}
    // The shape an index would have if it were built now.
    index_shape shape(const definition &d);
    index_shape shape(const index_spec &spec) { return shape(definition{.spec = spec, .name = {}}); }
    // Share of rows in the sample that satisfy an index predicate.
    double fraction(Oid relation, List *predicate);
    double tuples(Oid relation) { return sample_of(relation).tuples; }
    double pages(Oid relation) { return sample_of(relation).pages; }
    // Statistics of one column.
    struct column_statistics {
        double distinct = 0; // of the whole table
        double null_fraction = 0;
        double width = 0;
        double correlation = 0;
        bool known = false;
    };
    column_statistics statistics(Oid relation, AttrNumber column);
    int widest(Oid relation, AttrNumber column); // bytes, in the sample

  private:
    struct column {
        std::vector<int32_t> width; // -1: NULL
        std::vector<uint8_t> alignment;
        std::vector<uint32_t> hash;
        Oid type = InvalidOid;
    };
    struct sample {
        double pages = 0, tuples = 0;
        std::vector<HeapTuple> rows;
        std::vector<int> page_of_row;
        int sampled_pages = 0;
        std::map<AttrNumber, column> columns;
    };
    // The deep one only for what few rows do not show: how columns depend on each other.
    enum depth { shallow, deep };
    sample &sample_of(Oid relation, depth how = shallow);
    void read(Oid relation, depth how, sample *out);
    const column &column_of(Oid relation, sample &s, AttrNumber number);
    column expression_column(Oid relation, sample &s, Node *expression);
    // How many different keys the whole table has, and how rows fall to them (index_distinct.cpp).
    core::repetition repetition_of(const index_spec &spec);
    double distinct_column(Oid relation, AttrNumber number, std::vector<double> *sizes = nullptr);
    double distinct_expression(Oid relation, Node *expression);
    double distinct_together(const std::vector<const column *> &columns, const std::vector<AttrNumber> &numbers,
                             Oid relation, double least);
    void spread(Oid relation, const std::vector<const column *> &columns, core::repetition *out);
    static uint64_t key_hash(const std::vector<const column *> &columns, size_t row);
    double collisions(Oid relation, AttrNumber number);
    index_shape of_leaves(const definition &d);
    index_shape btree(const definition &d, double tuples);
    index_shape gin(const definition &d, double tuples);

    MemoryContext keep_;
    std::map<std::pair<Oid, depth>, sample> samples_;
    std::map<std::pair<Oid, std::vector<AttrNumber>>, core::repetition> known_; // by sorted columns
    std::map<std::pair<Oid, AttrNumber>, double> collisions_;
};

} // namespace dbopt::pg::whatif
