// Inside pg/count_state: columns of a row as keys of packed counters and as whole numbers.
#pragma once
#include "pg/server.hpp"

namespace dbopt::pg {

struct key_part {
    int column;
    int16 length;
    Oid collation;
    FmgrInfo hash;
};

// Some columns as one key: a byte of null flags and the values, or 16 bytes of hashes.
struct key_shape {
    int columns = 0, bytes = 1;
    bool exact = true;
    key_part *parts = nullptr;
};

// Everything here is called inside pg::call and owns nothing.
key_shape make_key_shape(TupleDesc desc, const int *columns, int count);
void write_key(const key_shape &s, TupleTableSlot *row, const uint64_t *seeds, char *to);
// A number of an integer type, or numeric with `scale` digits behind the point times 10^scale.
int64 scaled_number(Oid type, Datum value, Datum power);
Datum power_of_ten(int scale);
// A sum of such numbers as numeric with `scale` digits behind the point.
Datum sum_as_numeric(int64 high, uint64 low, int scale);
// Whether values of the type can be keys at all.
bool can_be_key(Oid type);

} // namespace dbopt::pg
