// Values between C++ and Datum, by the type the server says it wants.
//
// pg::value is a small tagged value for parameters and result columns. Reading: from_datum<T>.
// Lengths of time: pg::interval; instants: pg::timestamptz (µs since 2000-01-01 UTC, as the server).
#pragma once
#include "pg/error.hpp"
#include <variant>

namespace dbopt::pg {

struct timestamptz {
    TimestampTz us = 0;
    auto operator<=>(const timestamptz &) const = default;
};
struct interval {
    int64_t us = 0;
    int32_t days = 0;
    int32_t months = 0;
    // Seconds with a month of 30 days, as EXTRACT(epoch) but without its 365.25-day years.
    double seconds() const { return us / 1e6 + 86400.0 * (days + 30.0 * months); }
};
// An already converted Datum of exactly the type that is wanted.
struct raw {
    Datum datum;
    Oid type = InvalidOid; // needed for parameters only
};
// A relation, type … OID that should go out as regclass/oid.
using oid = Oid;

struct value {
    using storage = std::variant<std::monostate, bool, int64_t, double, std::string, Oid, timestamptz,
                                 interval, raw, std::vector<std::string>, std::vector<int64_t>>;
    storage v;

    value() = default;
    value(std::nullptr_t) {}
    value(std::nullopt_t) {}
    value(bool b) : v(b) {}
    value(int16_t i) : v(int64_t{i}) {}
    value(int32_t i) : v(int64_t{i}) {}
    value(int64_t i) : v(i) {}
    value(long long i) : v(int64_t{i}) {}
    value(uint64_t i) : v(static_cast<int64_t>(i)) {}
    value(double d) : v(d) {}
    value(const char *s) : v(std::string(s)) {}
    value(std::string_view s) : v(std::string(s)) {}
    value(std::string s) : v(std::move(s)) {}
    value(Oid o) : v(o) {}
    value(timestamptz t) : v(t) {}
    value(interval i) : v(i) {}
    value(raw r) : v(r) {}
    value(std::vector<std::string> a) : v(std::move(a)) {}
    value(std::vector<int64_t> a) : v(std::move(a)) {}
    template <class T> value(const std::optional<T> &o) {
        if (o)
            v = value(*o).v;
    }
    bool is_null() const { return std::holds_alternative<std::monostate>(v); }
};

// The type a value has as a query parameter.
Oid parameter_type(const value &v);
// Converts to a Datum of `type` in the current memory context; throws pg::error when it cannot.
Datum to_datum(const value &v, Oid type);

// Reads a non-null Datum of `type` as T.
template <class T> T from_datum(Datum d, Oid type);
template <> bool from_datum<bool>(Datum, Oid);
template <> int16_t from_datum<int16_t>(Datum, Oid);
template <> int32_t from_datum<int32_t>(Datum, Oid);
template <> int64_t from_datum<int64_t>(Datum, Oid);
template <> Oid from_datum<Oid>(Datum, Oid);
template <> double from_datum<double>(Datum, Oid);
template <> std::string from_datum<std::string>(Datum, Oid); // any type, by its output function
template <> timestamptz from_datum<timestamptz>(Datum, Oid);
template <> interval from_datum<interval>(Datum, Oid);
template <> std::vector<std::string> from_datum<std::vector<std::string>>(Datum, Oid);
template <> std::vector<int64_t> from_datum<std::vector<int64_t>>(Datum, Oid);
template <> std::vector<double> from_datum<std::vector<double>>(Datum, Oid);
template <> std::vector<Oid> from_datum<std::vector<Oid>>(Datum, Oid);

// Text forms that the server itself would print (ISO dates regardless of DateStyle).
std::string to_text(timestamptz t);
std::string to_text(const interval &i);
std::string to_text(Datum d, Oid type);
// Name of a relation as it must be written now: quoted, schema-qualified always.
std::string qualified_name(Oid relation);
std::string quote_identifier(std::string_view name);
std::string quote_literal(std::string_view text);
std::string format_bytes(int64_t bytes); // as pg_size_pretty

timestamptz now();           // start of the transaction
timestamptz clock();         // this moment

} // namespace dbopt::pg
