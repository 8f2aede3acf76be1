// SQL entry points: arguments in, one value or rows out.
//
//   DBOPT_FUNCTION(dbopt_example) {            // exported as C function dbopt_example
//       const Oid relation = args.get<Oid>(0); // raises 22004 with the argument's name if it is NULL
//       pg::rows out(args, {.limit = 0});      // set-returning: materialized rows
//       out.add(relation, 42, "text", std::nullopt);
//       return out.done();                     // or: return args.result(value);
//   }
// The SQL declaration must not be STRICT if the function tells NULL arguments apart.
#pragma once
#include "pg/value.hpp"

namespace dbopt::pg {

class arguments {
  public:
    explicit arguments(FunctionCallInfo call_info) : info_(call_info) {}

    int count() const { return info_->nargs; }
    bool null(int n) const { return n >= info_->nargs || info_->args[n].isnull; }
    Oid type(int n) const { return get_fn_expr_argtype(info_->flinfo, n); }
    template <class T> T get(int n) const {
        if (null(n))
            missing(n);
        return from_datum<T>(info_->args[n].value, declared(n));
    }
    template <class T> std::optional<T> optional(int n) const {
        if (null(n))
            return std::nullopt;
        return from_datum<T>(info_->args[n].value, declared(n));
    }
    template <class T> T get_or(int n, T otherwise) const { return null(n) ? otherwise : get<T>(n); }
    Datum datum(int n) const { return info_->args[n].value; }

    // A scalar, converted to the function's declared result type.
    Datum result(const value &v) const;
    Datum nothing() const { return Datum{0}; } // for RETURNS void
    // One row of a function with OUT parameters that does not return a set.
    Datum record(std::vector<value> row) const;
    // True inside CALL outside of a transaction block: only then may the function commit.
    bool may_commit() const;
    FunctionCallInfo info() const { return info_; }

  private:
    [[noreturn]] void missing(int n) const;
    Oid declared(int n) const;
    FunctionCallInfo info_;
};

// Rows of a set-returning function, materialized in a tuplestore (spills to disk past work_mem).
class rows {
  public:
    explicit rows(const arguments &args);
    template <class... V> void add(V &&...v) { add_row({value(std::forward<V>(v))...}); }
    void add_row(const std::vector<value> &row);
    int64_t count() const { return count_; }
    Datum done() const { return Datum{0}; }

  private:
    ReturnSetInfo *set_;
    int64_t count_ = 0;
    MemoryContext scratch_;
};

} // namespace dbopt::pg

// Declares, exports and wraps a SQL-callable function; its body follows as a block that sees `args`.
#define DBOPT_FUNCTION(name)                                                                       \
    static Datum name##_body(const dbopt::pg::arguments &args);                                    \
    extern "C" {                                                                                   \
    PG_FUNCTION_INFO_V1(name);                                                                     \
    PGDLLEXPORT Datum name(PG_FUNCTION_ARGS);                                                      \
    }                                                                                              \
    Datum name(PG_FUNCTION_ARGS) {                                                                 \
        return dbopt::pg::boundary([&] { return name##_body(dbopt::pg::arguments(fcinfo)); });     \
    }                                                                                              \
    static Datum name##_body([[maybe_unused]] const dbopt::pg::arguments &args)

#define DBOPT_VERSION "1.0"
