#include "pg/value.hpp"

extern "C" {
#include "catalog/pg_collation.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/regproc.h"
}

namespace dbopt::pg {

Oid parameter_type(const value &v) {
    struct visitor {
        Oid operator()(std::monostate) const { return TEXTOID; }
        Oid operator()(bool) const { return BOOLOID; }
        Oid operator()(int64_t) const { return INT8OID; }
        Oid operator()(double) const { return FLOAT8OID; }
        Oid operator()(const std::string &) const { return TEXTOID; }
        Oid operator()(Oid) const { return OIDOID; }
        Oid operator()(timestamptz) const { return TIMESTAMPTZOID; }
        Oid operator()(const interval &) const { return INTERVALOID; }
        Oid operator()(const raw &r) const { return r.type; }
        Oid operator()(const std::vector<std::string> &) const { return TEXTARRAYOID; }
        Oid operator()(const std::vector<int64_t> &) const { return INT8ARRAYOID; }
    };
    return std::visit(visitor{}, v.v);
}

namespace {

Datum input(const std::string &s, Oid type) {
    return call([&] {
        Oid function, element;
        getTypeInputInfo(type, &function, &element);
        return OidInputFunctionCall(function, const_cast<char *>(s.c_str()), element, -1);
    });
}

Datum text_datum(std::string_view s) {
    return call([&] { return PointerGetDatum(cstring_to_text_with_len(s.data(), s.size())); });
}

Datum integer_datum(int64_t i, Oid type) {
    switch (type) {
    case INT2OID: return Int16GetDatum(static_cast<int16_t>(i));
    case INT4OID: return Int32GetDatum(static_cast<int32_t>(i));
    case INT8OID: return Int64GetDatum(i);
    case OIDOID:
    case REGCLASSOID: return ObjectIdGetDatum(static_cast<Oid>(i));
    case FLOAT8OID: return Float8GetDatum(static_cast<double>(i));
    case NUMERICOID: return call([&] { return NumericGetDatum(int64_to_numeric(i)); });
    default: return input(std::to_string(i), type);
    }
}

Datum double_datum(double d, Oid type) {
    if (type == FLOAT8OID)
        return Float8GetDatum(d);
    if (type == NUMERICOID)
        return call([&] { return DirectFunctionCall1(float8_numeric, Float8GetDatum(d)); });
    if (type == FLOAT4OID)
        return Float4GetDatum(static_cast<float>(d));
    return integer_datum(static_cast<int64_t>(d), type);
}

Datum array_datum(const std::vector<std::string> &a) {
    return call([&] {
        Datum *d = static_cast<Datum *>(palloc(sizeof(Datum) * (a.size() + 1)));
        for (size_t i = 0; i < a.size(); ++i)
            d[i] = PointerGetDatum(cstring_to_text_with_len(a[i].data(), a[i].size()));
        return PointerGetDatum(
            construct_array(d, static_cast<int>(a.size()), TEXTOID, -1, false, TYPALIGN_INT));
    });
}

Datum array_datum(const std::vector<int64_t> &a) {
    return call([&] {
        Datum *d = static_cast<Datum *>(palloc(sizeof(Datum) * (a.size() + 1)));
        for (size_t i = 0; i < a.size(); ++i)
            d[i] = Int64GetDatum(a[i]);
        return PointerGetDatum(construct_array(d, static_cast<int>(a.size()), INT8OID, 8,
                                               FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
    });
}

[[noreturn]] void unreadable(Oid type, const char *wanted) {
    raise({.code = ERRCODE_DATATYPE_MISMATCH,
           .message = "cannot read a value of type " + std::to_string(type) + " as " + wanted});
}

} // namespace

Datum to_datum(const value &v, Oid type) {
    struct visitor {
        Oid type;
        Datum operator()(std::monostate) const { return 0; }
        Datum operator()(bool b) const {
            return type == BOOLOID ? BoolGetDatum(b) : input(b ? "t" : "f", type);
        }
        Datum operator()(int64_t i) const { return integer_datum(i, type); }
        Datum operator()(double d) const { return double_datum(d, type); }
        Datum operator()(const std::string &s) const {
            return type == TEXTOID ? text_datum(s) : input(s, type);
        }
        Datum operator()(Oid o) const {
            if (type == TEXTOID)
                return text_datum(std::to_string(o));
            return type == INT8OID ? Int64GetDatum(o) : ObjectIdGetDatum(o);
        }
        Datum operator()(timestamptz t) const {
            return type == TIMESTAMPTZOID ? TimestampTzGetDatum(t.us) : input(to_text(t), type);
        }
        Datum operator()(const interval &i) const {
            if (type != INTERVALOID)
                return input(to_text(i), type);
            return call([&] {
                Interval *out = static_cast<Interval *>(palloc(sizeof(Interval)));
                out->time = i.us;
                out->day = i.days;
                out->month = i.months;
                return IntervalPGetDatum(out);
            });
        }
        Datum operator()(const raw &r) const { return r.datum; }
        Datum operator()(const std::vector<std::string> &a) const { return array_datum(a); }
        Datum operator()(const std::vector<int64_t> &a) const { return array_datum(a); }
    };
    return std::visit(visitor{type}, v.v);
}

template <> bool from_datum<bool>(Datum d, Oid type) {
    if (type != BOOLOID)
        unreadable(type, "boolean");
    return DatumGetBool(d);
}

template <> int64_t from_datum<int64_t>(Datum d, Oid type) {
    switch (type) {
    case INT2OID: return DatumGetInt16(d);
    case INT4OID: return DatumGetInt32(d);
    case TIMEOID: // µs since midnight
    case INT8OID: return DatumGetInt64(d);
    case XIDOID:
    case OIDOID:
    case REGCLASSOID:
    case REGPROCOID:
    case REGTYPEOID: return DatumGetObjectId(d);
    case CHAROID: return DatumGetChar(d);
    case FLOAT8OID: return static_cast<int64_t>(DatumGetFloat8(d));
    case NUMERICOID:
        return call([&] { return DatumGetInt64(DirectFunctionCall1(numeric_int8, d)); });
    default: unreadable(type, "integer");
    }
}
template <> int16_t from_datum<int16_t>(Datum d, Oid type) {
    return static_cast<int16_t>(from_datum<int64_t>(d, type));
}
template <> int32_t from_datum<int32_t>(Datum d, Oid type) {
    return static_cast<int32_t>(from_datum<int64_t>(d, type));
}
template <> Oid from_datum<Oid>(Datum d, Oid type) {
    return static_cast<Oid>(from_datum<int64_t>(d, type));
}
template <> double from_datum<double>(Datum d, Oid type) {
    switch (type) {
    case FLOAT8OID: return DatumGetFloat8(d);
    case FLOAT4OID: return DatumGetFloat4(d);
    case NUMERICOID:
        return call([&] { return DatumGetFloat8(DirectFunctionCall1(numeric_float8, d)); });
    default: return static_cast<double>(from_datum<int64_t>(d, type));
    }
}

template <> std::string from_datum<std::string>(Datum d, Oid type) {
    if (type == TEXTOID || type == VARCHAROID) {
        text *t = call([&] { return DatumGetTextPP(d); });
        std::string s(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
        if (reinterpret_cast<Pointer>(t) != DatumGetPointer(d))
            pfree(t);
        return s;
    }
    if (type == NAMEOID)
        return NameStr(*DatumGetName(d));
    if (type == CHAROID)
        return std::string(1, DatumGetChar(d));
    return to_text(d, type);
}

template <> timestamptz from_datum<timestamptz>(Datum d, Oid type) {
    if (type == TIMESTAMPTZOID)
        return {DatumGetTimestampTz(d)};
    if (type == TIMESTAMPOID)
        return {call([&] { return DatumGetTimestampTz(DirectFunctionCall1(timestamp_timestamptz, d)); })};
    if (type == DATEOID)
        return {call([&] { return DatumGetTimestampTz(DirectFunctionCall1(date_timestamptz, d)); })};
    unreadable(type, "timestamptz");
}
template <> interval from_datum<interval>(Datum d, Oid type) {
    if (type != INTERVALOID)
        unreadable(type, "interval");
    const Interval *i = DatumGetIntervalP(d);
    return {.us = i->time, .days = i->day, .months = i->month};
}

namespace {
struct elements {
    Datum *datums;
    bool *nulls;
    int count;
    Oid type;
};
elements deconstruct(Datum d) {
    return call([&] {
        ArrayType *array = DatumGetArrayTypeP(d);
        elements e{};
        e.type = ARR_ELEMTYPE(array);
        int16 length;
        bool by_value;
        char align;
        get_typlenbyvalalign(e.type, &length, &by_value, &align);
        deconstruct_array(array, e.type, length, by_value, align, &e.datums, &e.nulls, &e.count);
        return e;
    });
}
template <class T> std::vector<T> read_array(Datum d, const char *what) {
    const elements e = deconstruct(d);
    std::vector<T> out;
    out.reserve(e.count);
    for (int i = 0; i < e.count; ++i) {
        if (e.nulls[i])
            raise({.code = ERRCODE_NULL_VALUE_NOT_ALLOWED,
                   .message = std::string("NULL is not allowed in this array of ") + what,
                   .hint = "Remove the NULL element."});
        out.push_back(from_datum<T>(e.datums[i], e.type));
    }
    return out;
}
} // namespace

template <> std::vector<std::string> from_datum<std::vector<std::string>>(Datum d, Oid) {
    return read_array<std::string>(d, "text");
}
template <> std::vector<int64_t> from_datum<std::vector<int64_t>>(Datum d, Oid) {
    return read_array<int64_t>(d, "integers");
}
template <> std::vector<double> from_datum<std::vector<double>>(Datum d, Oid) {
    return read_array<double>(d, "numbers");
}
template <> std::vector<Oid> from_datum<std::vector<Oid>>(Datum d, Oid) {
    return read_array<Oid>(d, "objects");
}

std::string to_text(Datum d, Oid type) {
    char *s = call([&] {
        Oid function;
        bool varlena;
        getTypeOutputInfo(type, &function, &varlena);
        return OidOutputFunctionCall(function, d);
    });
    std::string out(s);
    pfree(s);
    return out;
}

std::string to_text(timestamptz t) {
    char buffer[MAXDATELEN + 1];
    call([&] {
        if (TIMESTAMP_NOT_FINITE(t.us)) {
            EncodeSpecialTimestamp(t.us, buffer);
            return;
        }
        int zone;
        pg_tm tm;
        fsec_t fraction;
        const char *name;
        if (timestamp2tm(t.us, &zone, &tm, &fraction, &name, nullptr) != 0)
            ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
                            errmsg("timestamp out of range")));
        EncodeDateTime(&tm, fraction, true, zone, name, USE_ISO_DATES, buffer);
    });
    return buffer;
}

std::string to_text(const interval &i) {
    char *s = call([&] {
        Interval in;
        in.time = i.us;
        in.day = i.days;
        in.month = i.months;
        return DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(&in)));
    });
    std::string out(s);
    pfree(s);
    return out;
}

std::string qualified_name(Oid relation) {
    char *s = call([&]() -> char * {
        char *name = get_rel_name(relation);
        if (name == nullptr)
            return psprintf("%u", relation);
        return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), name);
    });
    std::string out(s);
    pfree(s);
    return out;
}

std::string quote_identifier(std::string_view name) {
    const std::string copy(name);
    return call([&] { return ::quote_identifier(copy.c_str()); });
}

std::string quote_literal(std::string_view text) {
    const std::string copy(text);
    return call([&] { return quote_literal_cstr(copy.c_str()); });
}

std::string format_bytes(int64_t bytes) {
    return from_datum<std::string>(
        call([&] { return DirectFunctionCall1(pg_size_pretty, Int64GetDatum(bytes)); }), TEXTOID);
}

timestamptz now() { return {GetCurrentTransactionStartTimestamp()}; }
timestamptz clock() { return {GetCurrentTimestamp()}; }

} // namespace dbopt::pg
