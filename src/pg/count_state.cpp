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
    size_t key_room, key_count;
    MemoryContext scratch, home;
    int rows; // since scratch was emptied
};

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

void keep_keys(count_columns &c, TupleTableSlot *row) {
    MemoryContext caller = MemoryContextSwitchTo(c.home);
    const size_t keys = static_cast<size_t>(c.keys);
    if (c.key_count == c.key_room) {
        c.key_room = std::max<size_t>(1024, c.key_room * 2);
        const size_t cells = c.key_room * keys + 1;
        c.key_values = static_cast<Datum *>(
            c.key_values == nullptr ? MemoryContextAllocHuge(c.home, cells * sizeof(Datum))
                                    : repalloc_huge(c.key_values, cells * sizeof(Datum)));
        c.key_nulls = static_cast<bool *>(c.key_nulls == nullptr ? MemoryContextAllocHuge(c.home, cells)
                                                                 : repalloc_huge(c.key_nulls, cells));
    }
    for (size_t k = 0; k < keys; ++k) {
        const Form_pg_attribute a = TupleDescAttr(c.desc, static_cast<int>(k));
        const size_t at = c.key_count * keys + k;
        c.key_nulls[at] = row->tts_isnull[k];
        c.key_values[at] = row->tts_isnull[k] ? 0 : datumCopy(row->tts_values[k], a->attbyval, a->attlen);
    }
    ++c.key_count;
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
    if (c.kept && owner->groups_->size() > c.key_count)
        keep_keys(c, slot);
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
    groups_.emplace(c.group.bytes, 1 + static_cast<int>(form_.slots.size()));
    for (size_t f = 0; f < shape_.sizes.size(); ++f) {
        int bytes = 0;
        for (int a = 0; a < c.arguments; ++a)
            bytes = shape_.family[a] == static_cast<int>(f) ? c.value[a].bytes : bytes;
        families_.push_back({core::count_table<int64_t>(bytes, shape_.sizes[f]), {}, nullptr, 0});
    }
}

void counting::fold_row() {
    count_columns &c = *columns_;
    if (!groups_)
        start_tables();
    const uint32_t group = groups_->at(c.group_key);
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

core::packed_layout counting::group_layout() const {
    core::packed_layout l{columns_->group.bytes, {8}};
    for (const slot &s : form_.slots)
        l.counters.push_back(s.what == slot::kind::sum ? 16 : 8);
    return l;
}

core::packed_layout counting::value_layout(size_t f) const {
    return {families_[f].values.key_bytes(), std::vector<int>(shape_.sizes[f], 4)};
}

count_header counting::check(count_store &s, const core::packed_layout &l) {
    const count_header h = s.header();
    if (h.key != l.key || h.width != l.width())
        raise({.code = ERRCODE_DATA_CORRUPTED, .message = "a counting state was made for another query"});
    return h;
}

// Values that came or went are counted in their groups.
void counting::turned(size_t f, uint32_t group, const std::vector<wide> &before, const std::vector<wide> &after) {
    for (size_t s = 0; s < form_.slots.size(); ++s) {
        const int a = form_.slots[s].argument;
        if (form_.slots[s].what != slot::kind::distinct || shape_.family[a] != static_cast<int>(f))
            continue;
        const size_t p = static_cast<size_t>(shape_.position[a]);
        groups_->counters(group)[1 + s] += (after[p] > 0) - (before[p] > 0);
    }
}

void counting::add_values(Oid store, size_t number) {
    family &f = families_[number];
    const core::packed_layout l = value_layout(number);
    count_store s(store, now_);
    count_header h = check(s, l);
    s.make_room(l, h, f.values.size());
    const core::bucket_order o = core::order_by_bucket(f.values, h.buckets);
    core::bucket_merger m(l);
    for (uint32_t b = 0; b < h.buckets; ++b) {
        if (o.starts[b] == o.starts[b + 1])
            continue;
        const std::string_view old = s.get(static_cast<int32_t>(b));
        m.start(old.data(), old.size());
        for (uint32_t i = o.starts[b]; i < o.starts[b + 1]; ++i) {
            const uint32_t e = o.entries[i];
            if (const char *fault = m.add(f.values.key(e), f.values.counters(e)))
                raise({.code = ERRCODE_DATA_CORRUPTED, .message = std::string("counting state does not fit: ") + fault});
            turned(number, f.owners[e], m.before(), m.after());
        }
        s.put(static_cast<int32_t>(b), m.bytes());
    }
    h.entries += m.fresh();
    if (!o.entries.empty())
        s.put_header(h);
}

TupleDesc counting::told() const {
    return call([&] {
        const int keys = columns_->keys, slots = static_cast<int>(form_.slots.size());
        TupleDesc d = CreateTemplateTupleDesc(keys + 1 + slots);
        for (int k = 0; k < keys; ++k) {
            const Form_pg_attribute a = TupleDescAttr(columns_->desc, k);
            TupleDescInitEntry(d, (AttrNumber)(k + 1), psprintf("k%d", k + 1), a->atttypid, a->atttypmod, 0);
            TupleDescInitEntryCollation(d, (AttrNumber)(k + 1), a->attcollation);
        }
        TupleDescInitEntry(d, (AttrNumber)(keys + 1), "n", INT8OID, -1, 0);
        for (int s = 0; s < slots; ++s)
            TupleDescInitEntry(d, (AttrNumber)(keys + 2 + s), psprintf("s%d", s + 1),
                               form_.slots[s].what == slot::kind::sum ? NUMERICOID : INT8OID, -1, 0);
        return d;
    });
}

void counting::tell(named_store &to, uint32_t group, const std::vector<wide> &counters) {
    const count_columns &c = *columns_;
    call([&] {
        MemoryContext caller = MemoryContextSwitchTo(c.scratch);
        const int columns = to.desc->natts;
        Datum *values = static_cast<Datum *>(palloc(sizeof(Datum) * columns));
        bool *nulls = static_cast<bool *>(palloc0(columns));
        memcpy(values, c.key_values + static_cast<size_t>(c.keys) * group, sizeof(Datum) * c.keys);
        memcpy(nulls, c.key_nulls + static_cast<size_t>(c.keys) * group, c.keys);
        values[c.keys] = Int64GetDatum(static_cast<int64>(counters[0]));
        for (size_t s = 0; s < form_.slots.size(); ++s) {
            const wide n = counters[1 + s];
            values[c.keys + 1 + s] = form_.slots[s].what == slot::kind::sum
                                         ? sum_as_numeric(static_cast<int64>(n >> 64), static_cast<uint64>(n),
                                                          form_.arguments[form_.slots[s].argument].scale)
                                         : Int64GetDatum(static_cast<int64>(n));
        }
        tuplestore_putvalues(to.tuples, to.desc, values, nulls);
        MemoryContextSwitchTo(caller);
        MemoryContextReset(c.scratch);
    });
    ++to.rows;
}

void counting::add_groups(Oid store, const std::string &name) {
    named_store &to = now_.make(name, told());
    const core::packed_layout l = group_layout();
    count_store s(store, now_);
    count_header h = check(s, l);
    s.make_room(l, h, groups_->size());
    const core::bucket_order o = core::order_by_bucket(*groups_, h.buckets, asked_);
    core::bucket_merger m(l);
    for (uint32_t b = 0; b < h.buckets; ++b) {
        if (o.starts[b] == o.starts[b + 1])
            continue;
        const std::string_view old = s.get(static_cast<int32_t>(b));
        m.start(old.data(), old.size());
        for (uint32_t i = o.starts[b]; i < o.starts[b + 1]; ++i) {
            const uint32_t e = o.entries[i];
            const char *fault = m.add(groups_->key(e), groups_->counters(e));
            if (fault == nullptr && m.after()[0] == 0)
                for (const wide &left : m.after())
                    fault = left != 0 ? "an empty group has a sum" : fault;
            if (fault != nullptr)
                raise({.code = ERRCODE_DATA_CORRUPTED, .message = std::string("counting state does not fit: ") + fault});
            tell(to, e, m.after());
        }
        if (m.bytes() != old)
            s.put(static_cast<int32_t>(b), m.bytes());
    }
    h.entries += m.fresh();
    if (!o.entries.empty())
        s.put_header(h);
}

void counting::add_to(const std::vector<Oid> &stores, const std::string &name) {
    if (!groups_) {
        if (columns_ != nullptr)
            (void)now_.make(name, told());
        return;
    }
    for (size_t f = 0; f < families_.size(); ++f)
        add_values(stores.at(1 + f), f);
    add_groups(stores.at(0), name);
}

} // namespace dbopt::pg
