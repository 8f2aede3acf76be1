// SQL from C++ (through SPI), with typed rows.
//
//   for (const pg::row &r : pg::query("SELECT oid, relname FROM pg_class WHERE relkind = $1", {"r"}))
//       use(r.get<Oid>(0), r.get<std::string>(1));
//   const int64_t n = pg::execute("UPDATE …", {…});
//   const std::optional<int64_t> x = pg::scalar<int64_t>("SELECT …");
//
// Works in functions, and in workers inside a pg::transaction. Each call is its own SPI connection;
// the rows outlive it. An error leaves as pg::error; going on after it needs pg::subtransaction.
// Parameters have the types of pg::value (int64, float8, text, oid, timestamptz, interval, arrays):
// cast in the SQL text where another type is meant, e.g. $1::regclass.
#pragma once
#include "pg/value.hpp"

namespace dbopt::pg {

class row {
  public:
    row(TupleDesc desc, HeapTuple tuple) : desc_(desc), tuple_(tuple) {}
    bool null(int column) const;
    // Raises 22004 naming the column when it is NULL.
    template <class T> T get(int column) const {
        return from_datum<T>(required(column), TupleDescAttr(desc_, column)->atttypid);
    }
    template <class T> std::optional<T> optional(int column) const {
        if (null(column))
            return std::nullopt;
        return get<T>(column);
    }
    template <class T> T get_or(int column, T otherwise) const {
        return null(column) ? otherwise : get<T>(column);
    }
    Datum datum(int column) const; // valid as long as the result lives
    HeapTuple tuple() const { return tuple_; }

  private:
    Datum required(int column) const;
    TupleDesc desc_;
    HeapTuple tuple_;
};

class result {
  public:
    result(MemoryContext home, SPITupleTable *table, uint64_t processed)
        : home_(home), table_(table), processed_(processed) {}
    result(result &&o) noexcept
        : home_(std::exchange(o.home_, nullptr)), table_(std::exchange(o.table_, nullptr)),
          processed_(o.processed_) {}
    result(const result &) = delete;
    result &operator=(const result &) = delete;
    ~result();

    size_t size() const { return table_ != nullptr ? table_->numvals : 0; }
    bool empty() const { return size() == 0; }
    uint64_t processed() const { return processed_; } // rows returned or affected
    row operator[](size_t i) const { return {table_->tupdesc, table_->vals[i]}; }
    TupleDesc desc() const { return table_ != nullptr ? table_->tupdesc : nullptr; }

    struct iterator {
        const result *of;
        size_t at;
        row operator*() const { return (*of)[at]; }
        iterator &operator++() {
            ++at;
            return *this;
        }
        bool operator!=(const iterator &o) const { return at != o.at; }
    };
    iterator begin() const { return {this, 0}; }
    iterator end() const { return {this, size()}; }

  private:
    MemoryContext home_;
    SPITupleTable *table_;
    uint64_t processed_;
};

// limit 0: all rows. The text is one statement; parameters are $1 …
result query(std::string_view sql, const std::vector<value> &parameters = {}, int64_t limit = 0);
int64_t execute(std::string_view sql, const std::vector<value> &parameters = {});
template <class T>
std::optional<T> scalar(std::string_view sql, const std::vector<value> &parameters = {}) {
    const result r = query(sql, parameters, 1);
    return r.empty() ? std::nullopt : r[0].template optional<T>(0);
}

// A statement that is planned once and kept for the session. Make it static only as a pointer.
class statement {
  public:
    statement(std::string_view sql, std::vector<Oid> types);
    result run(const std::vector<value> &parameters, int64_t limit = 0) const;

  private:
    SPIPlanPtr plan_;
    std::vector<Oid> types_;
};

} // namespace dbopt::pg
