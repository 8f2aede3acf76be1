// Counting states: rows of a query folded in memory, added to packed counters, touched groups told.
//
//   counting c(form, now);
//   c.open(stores);                    // or c.begin() for empty tables
//   c.consume("SELECT k1, x1, w …");   // folded as they come from the executor
//   c.add_to(stores, "nx");            // relation nx: k1 …, n, s1 … of every group that changed, or that
//                                      // a row with w = 0 asks for
//
// stores[0] holds the groups, stores[1 + f] the values of family f: distinct arguments of one type share
// their entries, so that COUNT(DISTINCT x) and COUNT(DISTINCT CASE … THEN x END) need one look-up.
// Keys of plain fixed-length types that fit 16 bytes are kept as they are; others as 128 bits of hashes under two
// secret seeds, of the bytes that tell values apart.
#pragma once
#include "core/packed_counts.hpp"
#include "core/view_form.hpp"
#include "pg/count_store.hpp"

struct BufFile;

namespace dbopt::pg {

struct count_shape {
    std::vector<int> family;   // of each argument; -1: not counted as distinct
    std::vector<int> position; // of the argument's counter among its family's
    std::vector<int> sizes;    // counters of each family
};
count_shape shape_of(const core::view_form &f);

struct count_columns; // how the columns of the query become keys and numbers

class counting {
  public:
    counting(const core::view_form &f, frozen &now);
    ~counting();
    counting(const counting &) = delete;
    counting &operator=(const counting &) = delete;

    void begin(); // new seeds
    void open(const std::vector<Oid> &stores);
    // `kept`: the keys of groups are needed again.
    void consume(const std::string &sql, bool kept);
    void add_to(const std::vector<Oid> &stores, const std::string &name);
    // Into empty tables that have no index yet.
    void fill(const std::vector<Oid> &stores);

  private:
    friend struct count_receiver;
    struct family {
        core::count_table<int64_t> values;
        std::vector<uint32_t> owners; // group of each value
        BufFile **spilled = nullptr;  // by part; while filling only
    };
    // One row, its keys and numbers worked out. False when memory is short.
    bool fold() noexcept;
    void fold_row();
    void start_tables();
    void prepare(TupleDesc desc);
    core::packed_layout group_layout() const;
    core::packed_layout value_layout(size_t f) const;
    count_header check(count_store &s, const core::packed_layout &l);
    void turned(size_t f, uint32_t group, const std::vector<core::wide> &before, const std::vector<core::wide> &after);
    void add_values(Oid store, size_t f);
    void add_groups(Oid store, const std::string &name);
    void tell(named_store &to, uint32_t group, const std::vector<core::wide> &counters);
    TupleDesc told() const;
    // count_fill.cpp
    void spill_when_large();
    void spill(family &f);
    void read_part(family &f, uint32_t part);
    int64_t append_values(count_store &s, size_t f, uint32_t buckets);
    void fill_values(Oid store, size_t f);
    void fill_groups(Oid store);

    const core::view_form &form_;
    frozen &now_;
    count_shape shape_;
    uint64_t seeds_[2] = {0, 0};
    count_columns *columns_ = nullptr;
    bool kept_ = false;
    MemoryContext home_ = nullptr;
    std::optional<core::count_table<core::wide>> groups_;
    uint32_t group_ = 0; // of the row at hand
    std::vector<uint32_t> asked_; // groups that rows of weight 0 ask for
    std::vector<family> families_;
};

} // namespace dbopt::pg
