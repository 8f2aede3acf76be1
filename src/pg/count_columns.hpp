// Inside pg/count_state: columns of a row as keys of packed counters and as whole numbers.
#pragma once
#include "pg/server.hpp"

namespace dbopt::pg {

struct key_part {
    int column;
    int16 length;
    bool plain, numeric; // hashed here; others by their type
    Oid collation;
    FmgrInfo hash;
};

// Some columns as one key: a byte of null flags and the values, or 16 bytes of hashes.
struct key_shape {
    int columns = 0, bytes = 1;
    bool exact = true;
    key_part *parts = nullptr;
};

// What the columns of the query at hand are, and the row at hand.
struct count_columns {
    TupleDesc desc;
    int keys, arguments;
    key_shape group;
    key_shape *value;    // of each argument, its family's; bytes = 0 where none is
    Oid *number_type;    // of each argument
    Datum *power;
    // The row at hand.
    int64 weight;
    char group_key[16];
    char (*value_key)[16];
    bool *present, *truth;
    int64 *number;
    // Keys of the groups, in order of their numbers.
    bool kept;
    Datum *key_values;
    bool *key_nulls;
    bool *key_living; // the image is of a row that came; one that went may be the last of its kind
    size_t key_room, key_count;
    MemoryContext scratch, home;
    int rows; // since scratch was emptied
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
