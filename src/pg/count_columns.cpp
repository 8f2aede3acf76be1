#include "pg/count_columns.hpp"

extern "C" {
#include "common/hashfn.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/typcache.h"
}

namespace dbopt::pg {

namespace {

// Equal values of these types are equal bytes.
bool is_plain(Oid type) {
    switch (type) {
    case INT2OID:
    case INT4OID:
    case INT8OID:
    case OIDOID:
    case DATEOID:
    case TIMEOID:
    case TIMESTAMPOID:
    case TIMESTAMPTZOID:
    case BOOLOID:
    case CHAROID:
        return true;
    default:
        return type_is_enum(type);
    }
}

// Types whose own hash sees every byte that tells values apart. Most do not, under no seed: int8 and all
// times are folded to 32 bits, numeric has no sign, arrays no dimensions, jsonb no brackets that close.
Oid hash_function(Oid type) {
    switch (type) {
    case TEXTOID:
    case VARCHAROID:
    case BPCHAROID:
    case NAMEOID:
    case BYTEAOID:
    case UUIDOID:
    case FLOAT4OID:
    case FLOAT8OID:
    case INETOID:
    case CIDROID:
    case MACADDROID:
    case MACADDR8OID:
        return lookup_type_cache(type, TYPECACHE_HASH_EXTENDED_PROC)->hash_extended_proc;
    default:
        return InvalidOid;
    }
}

uint64 hash_part(key_part &p, Datum value, uint64 seed) {
    if (p.plain)
        return hash_bytes_extended(reinterpret_cast<const unsigned char *>(&value), p.length, seed); // little endian
    if (!p.numeric)
        return DatumGetUInt64(FunctionCall2Coll(&p.hash, p.collation, value, UInt64GetDatum(seed)));
    const char *digits = numeric_normalize(DatumGetNumeric(value)); // 1.0 and 1.00 are "1"
    return hash_bytes_extended(reinterpret_cast<const unsigned char *>(digits), static_cast<int>(strlen(digits)), seed);
}

} // namespace

bool can_be_key(Oid type) {
    const Oid base = getBaseType(type);
    return is_plain(base) || base == NUMERICOID || OidIsValid(hash_function(base));
}

key_shape make_key_shape(TupleDesc desc, const int *columns, int count) {
    key_shape s;
    s.columns = count;
    s.parts = static_cast<key_part *>(palloc0(sizeof(key_part) * (count + 1)));
    for (int i = 0; i < count; ++i) {
        const Form_pg_attribute a = TupleDescAttr(desc, columns[i]);
        const Oid type = getBaseType(a->atttypid);
        s.parts[i].column = columns[i];
        s.parts[i].length = a->attlen;
        s.parts[i].collation = a->attcollation;
        s.exact = s.exact && is_plain(type) && count <= 8;
        s.bytes += s.exact ? a->attlen : 0;
        s.parts[i].plain = is_plain(type);
        s.parts[i].numeric = type == NUMERICOID;
        if (s.parts[i].plain || s.parts[i].numeric)
            continue;
        const Oid hash = hash_function(type);
        if (!OidIsValid(hash))
            elog(ERROR, "type %u has no hash function", type);
        fmgr_info(hash, &s.parts[i].hash);
    }
    if (s.bytes > 16 || !s.exact) {
        s.exact = false;
        s.bytes = 16;
    }
    return s;
}

void write_key(const key_shape &s, TupleTableSlot *row, const uint64_t *seeds, char *to) {
    if (s.exact) {
        unsigned char null = 0;
        char *at = to + 1;
        for (int i = 0; i < s.columns; ++i) {
            const key_part &p = s.parts[i];
            const bool none = row->tts_isnull[p.column];
            if (none)
                null |= static_cast<unsigned char>(1u << i);
            const Datum d = none ? 0 : row->tts_values[p.column];
            memcpy(at, &d, static_cast<size_t>(p.length)); // the low bytes; little endian
            at += p.length;
        }
        *to = static_cast<char>(null);
        return;
    }
    uint64 h[2] = {seeds[0], seeds[1]};
    for (int i = 0; i < s.columns; ++i) {
        key_part &p = s.parts[i];
        for (int n = 0; n < 2; ++n)
            h[n] = hash_combine64(h[n], row->tts_isnull[p.column]
                                            ? seeds[n] + 1
                                            : hash_part(p, row->tts_values[p.column], seeds[n]));
    }
    memcpy(to, h, 16);
}

Datum power_of_ten(int scale) {
    int64 power = 1;
    for (int i = 0; i < scale; ++i)
        power *= 10;
    return NumericGetDatum(int64_to_numeric(power));
}

int64 scaled_number(Oid type, Datum value, Datum power) {
    switch (type) {
    case INT2OID:
        return DatumGetInt16(value);
    case INT4OID:
        return DatumGetInt32(value);
    case INT8OID:
        return DatumGetInt64(value);
    default: {
        const Datum n = DirectFunctionCall2(numeric_mul, value, power);
        const int64 whole = DatumGetInt64(DirectFunctionCall1(numeric_int8, n));
        if (!DatumGetBool(DirectFunctionCall2(numeric_eq, n, NumericGetDatum(int64_to_numeric(whole)))))
            elog(ERROR, "a number has more digits behind the point than its type");
        return whole;
    }
    }
}

Datum sum_as_numeric(int64 high, uint64 low, int scale) {
    const bool small = high == (static_cast<int64>(low) < 0 ? -1 : 0);
    if (small)
        return NumericGetDatum(scale == 0 ? int64_to_numeric(static_cast<int64>(low))
                                          : int64_div_fast_to_numeric(static_cast<int64>(low), scale));
    // high * 2^64 + low, divided by 10^scale
    const Datum two32 = NumericGetDatum(int64_to_numeric(int64{1} << 32));
    Datum n = NumericGetDatum(int64_to_numeric(high));
    for (const uint64 part : {low >> 32, low & 0xffffffffu})
        n = DirectFunctionCall2(numeric_add, DirectFunctionCall2(numeric_mul, n, two32),
                                NumericGetDatum(int64_to_numeric(static_cast<int64>(part))));
    return scale == 0 ? n
                      : DirectFunctionCall2(numeric_mul, n, NumericGetDatum(int64_div_fast_to_numeric(1, scale)));
}

} // namespace dbopt::pg
