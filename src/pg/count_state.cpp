#include "pg/count_state.hpp"
#include "pg/count_columns.hpp"

extern "C" {
#include "storage/buffile.h"
#include "utils/datum.h"
#include "utils/numeric.h"
#include "utils/tuplestore.h"
}

namespace dbopt::pg {

using core::slot;
using core::wide;

// What the executor writes to.
struct count_receiver {
    DestReceiver pub;
    counting *owner;

    static count_columns *columns(DestReceiver *self) { return reinterpret_cast<count_receiver *>(self)->owner->columns_; }
    static void start(DestReceiver *self, int, TupleDesc desc) {
        reinterpret_cast<count_receiver *>(self)->owner->prepare(desc);
    }
    static bool row(TupleTableSlot *slot, DestReceiver *self);
    static void end(DestReceiver *) {}
};

namespace {

// The keys and numbers of a row. Calls functions of the server, owns nothing.
void read_row(count_columns &c, TupleTableSlot *row, const uint64_t *seeds) {
    slot_getallattrs(row);
    c.weight = DatumGetInt64(row->tts_values[c.desc->natts - 1]);
    MemoryContext caller = MemoryContextSwitchTo(c.scratch);
    write_key(c.group, row, seeds, c.group_key);
    for (int a = 0; a < c.arguments; ++a) {
        c.present[a] = !row->tts_isnull[c.keys + a];
        if (!c.present[a])
            continue;
        const Datum x = row->tts_values[c.keys + a];
        if (c.value[a].bytes > 0)
            write_key(c.value[a], row, seeds, c.value_key[a]);
        if (OidIsValid(c.number_type[a]))
            c.number[a] = scaled_number(c.number_type[a], x, c.power[a]);
        c.truth[a] = DatumGetBool(x);
    }
    MemoryContextSwitchTo(caller);
    if (++c.rows % 256 == 0)
        MemoryContextReset(c.scratch);
}

void copy_keys(count_columns &c, TupleTableSlot *row, size_t group) {
    const size_t keys = static_cast<size_t>(c.keys);
    for (size_t k = 0; k < keys; ++k) {
        const Form_pg_attribute a = TupleDescAttr(c.desc, static_cast<int>(k));
        const size_t at = group * keys + k;
        c.key_nulls[at] = row->tts_isnull[k];
        c.key_values[at] = row->tts_isnull[k] ? 0 : datumCopy(row->tts_values[k], a->attbyval, a->attlen);
    }
    c.key_living[group] = c.weight > 0;
}

template <class T> T *more_room(T *array, size_t cells, MemoryContext home) {
    return static_cast<T *>(array == nullptr ? MemoryContextAllocHuge(home, cells * sizeof(T))
                                             : repalloc_huge(array, cells * sizeof(T)));
}

// Equal keys may look different (1.0 and 1.00): the image of a row that is there is preferred.
void keep_keys(count_columns &c, TupleTableSlot *row, size_t group) {
    MemoryContext caller = MemoryContextSwitchTo(c.home);
    if (group == c.key_count) {
        if (c.key_count == c.key_room) {
            c.key_room = std::max<size_t>(1024, c.key_room * 2);
            const size_t cells = c.key_room * static_cast<size_t>(c.keys) + 1;
            c.key_values = more_room(c.key_values, cells, c.home);
            c.key_nulls = more_room(c.key_nulls, cells, c.home);
            c.key_living = more_room(c.key_living, c.key_room, c.home);
        }
        ++c.key_count;
        copy_keys(c, row, group);
    } else if (!c.group.exact && !c.key_living[group] && c.weight > 0) {
        copy_keys(c, row, group);
    }
    MemoryContextSwitchTo(caller);
}

} // namespace

bool count_receiver::row(TupleTableSlot *slot, DestReceiver *self) {
    counting *owner = reinterpret_cast<count_receiver *>(self)->owner;
    count_columns &c = *owner->columns_;
    read_row(c, slot, owner->seeds_);
    if (!owner->fold())
        ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
                        errdetail("Changes of a counting state are folded in memory.")));
    if (c.kept)
        keep_keys(c, slot, owner->group_);
    owner->spill_when_large();
    return true;
}

count_shape shape_of(const core::view_form &f) {
    count_shape s;
    s.family.assign(f.arguments.size(), -1);
    s.position.assign(f.arguments.size(), 0);
    std::vector<std::string> types;
    for (const slot &t : f.slots) {
        if (t.what != slot::kind::distinct)
            continue;
        const std::string &type = f.arguments[t.argument].type;
        size_t at = static_cast<size_t>(std::find(types.begin(), types.end(), type) - types.begin());
        if (at == types.size()) {
            types.push_back(type);
            s.sizes.push_back(0);
        }
        s.family[t.argument] = static_cast<int>(at);
        s.position[t.argument] = s.sizes[at]++;
    }
    return s;
}

counting::counting(const core::view_form &f, frozen &now) : form_(f), now_(now), shape_(shape_of(f)) {
    call([&] { home_ = AllocSetContextCreate(CurrentMemoryContext, "dbopt counting", ALLOCSET_DEFAULT_SIZES); });
}

counting::~counting() {
    quietly([&] {
        if (!IsTransactionState() || std::uncaught_exceptions() > 0)
            return;
        for (family &f : families_)
            for (int p = 0; f.spilled != nullptr && p < 32; ++p)
                BufFileClose(f.spilled[p]);
        MemoryContextDelete(home_);
    });
}

void counting::begin() {
    call([&] {
        if (!pg_strong_random(seeds_, sizeof seeds_))
            elog(ERROR, "no random numbers");
    });
}

void counting::open(const std::vector<Oid> &stores) {
    count_store groups(stores.at(0), now_);
    const count_header h = groups.header();
    seeds_[0] = h.seeds[0], seeds_[1] = h.seeds[1];
}

// Called by the executor when the columns of the query are known.
void counting::prepare(TupleDesc desc) {
    MemoryContext caller = MemoryContextSwitchTo(home_);
    auto *c = static_cast<count_columns *>(palloc0(sizeof(count_columns)));
    c->desc = CreateTupleDescCopy(desc);
    c->keys = static_cast<int>(form_.counted_keys());
    c->arguments = static_cast<int>(form_.arguments.size());
    if (desc->natts != c->keys + c->arguments + 1 || TupleDescAttr(desc, desc->natts - 1)->atttypid != INT8OID)
        elog(ERROR, "a query to be counted has %d columns", desc->natts);
    c->home = home_;
    c->kept = kept_;
    c->scratch = AllocSetContextCreate(home_, "dbopt counting row", ALLOCSET_SMALL_SIZES);
    int *columns = static_cast<int *>(palloc0(sizeof(int) * (c->keys + 1)));
    for (int k = 0; k < c->keys; ++k)
        columns[k] = k;
    c->group = make_key_shape(desc, columns, c->keys);
    const size_t n = static_cast<size_t>(c->arguments) + 1;
    c->value = static_cast<key_shape *>(palloc0(sizeof(key_shape) * n));
    c->number_type = static_cast<Oid *>(palloc0(sizeof(Oid) * n));
    c->power = static_cast<Datum *>(palloc0(sizeof(Datum) * n));
    c->value_key = static_cast<char(*)[16]>(palloc0(16 * n));
    c->present = static_cast<bool *>(palloc0(n));
    c->truth = static_cast<bool *>(palloc0(n));
    c->number = static_cast<int64 *>(palloc0(sizeof(int64) * n));
    for (int a = 0; a < c->arguments; ++a) {
        columns[c->keys] = c->keys + a;
        if (shape_.family[a] >= 0)
            c->value[a] = make_key_shape(desc, columns, c->keys + 1);
    }
    for (const slot &s : form_.slots)
        if (s.what == slot::kind::sum) {
            c->number_type[s.argument] = getBaseType(TupleDescAttr(desc, c->keys + s.argument)->atttypid);
            c->power[s.argument] = power_of_ten(form_.arguments[s.argument].scale);
        }
    MemoryContextSwitchTo(caller);
    columns_ = c;
}

bool counting::fold() noexcept {
    try {
        fold_row();
        return true;
    } catch (...) {
        return false;
    }
}

void counting::start_tables() {
    const count_columns &c = *columns_;
    groups_.emplace(c.group.bytes, 1 + static_cast<int>(form_.slots.size()), seeds_[0]);
    for (size_t f = 0; f < shape_.sizes.size(); ++f) {
        int bytes = 0;
        for (int a = 0; a < c.arguments; ++a)
            bytes = shape_.family[a] == static_cast<int>(f) ? c.value[a].bytes : bytes;
        families_.push_back({core::count_table<int64_t>(bytes, shape_.sizes[f], seeds_[0]), {}, nullptr});
    }
}

void counting::fold_row() {
    count_columns &c = *columns_;
    if (!groups_)
        start_tables();
    const uint32_t group = groups_->at(c.group_key);
    group_ = group;
    wide *sums = groups_->counters(group);
    sums[0] += c.weight;
    if (c.weight == 0) {
        asked_.push_back(group);
        return;
    }
    for (size_t s = 0; s < form_.slots.size(); ++s) {
        const int a = form_.slots[s].argument;
        if (!c.present[a])
            continue;
        switch (form_.slots[s].what) {
        case slot::kind::count: sums[1 + s] += c.weight; break;
        case slot::kind::sum: sums[1 + s] += wide{c.weight} * c.number[a]; break;
        case slot::kind::truths: sums[1 + s] += c.truth[a] ? c.weight : 0; break;
        case slot::kind::distinct: {
            family &f = families_[shape_.family[a]];
            const uint32_t value = f.values.at(c.value_key[a]);
            if (value == f.owners.size())
                f.owners.push_back(group);
            f.values.counters(value)[shape_.position[a]] += c.weight;
            break;
        }
        }
    }
}

void counting::consume(const std::string &sql, bool kept) {
    count_receiver r{};
    r.pub.receiveSlot = count_receiver::row;
    r.pub.rStartup = count_receiver::start;
    r.pub.rShutdown = count_receiver::end;
    r.pub.rDestroy = count_receiver::end;
    r.pub.mydest = DestNone;
    r.owner = this;
    kept_ = kept;
    now_.stream(sql, &r.pub);
}

} // namespace dbopt::pg
