// Folded changes into the counting state of a matview, and what they make of its groups.
#include "pg/count_columns.hpp"
#include "pg/count_state.hpp"

extern "C" {
#include "utils/tuplestore.h"
}

namespace dbopt::pg {

using core::slot;
using core::wide;

core::packed_layout counting::group_layout() const {
    core::packed_layout l{columns_->group.bytes, {8}, seeds_[0]};
    for (const slot &s : form_.slots)
        l.counters.push_back(s.what == slot::kind::sum ? 16 : 8);
    return l;
}

core::packed_layout counting::value_layout(size_t f) const {
    return {families_[f].values.key_bytes(), std::vector<int>(shape_.sizes[f], 4), seeds_[0]};
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

// Each bucket with entries in `o` is read, `each` merges an entry into it (or says what is wrong), and
// what has changed is written back.
template <class Each>
static void merge_buckets(count_store &s, count_header h, const core::packed_layout &l, const core::bucket_order &o,
                          Each &&each) {
    core::bucket_merger m(l);
    for (uint32_t b = 0; b < h.buckets; ++b) {
        if (o.starts[b] == o.starts[b + 1])
            continue;
        const std::string_view old = s.get(static_cast<int32_t>(b));
        m.start(old.data(), old.size());
        for (uint32_t i = o.starts[b]; i < o.starts[b + 1]; ++i)
            if (const char *fault = each(m, o.entries[i]))
                raise({.code = ERRCODE_DATA_CORRUPTED, .message = std::string("counting state does not fit: ") + fault});
        if (m.bytes() != old)
            s.put(static_cast<int32_t>(b), m.bytes());
    }
    h.entries += m.fresh();
    if (!o.entries.empty())
        s.put_header(h);
}

void counting::add_values(Oid store, size_t number) {
    family &f = families_[number];
    const core::packed_layout l = value_layout(number);
    count_store s(store, now_);
    count_header h = check(s, l);
    s.make_room(l, h, f.values.size());
    merge_buckets(s, h, l, core::order_by_bucket(f.values, h.buckets), [&](core::bucket_merger &m, uint32_t e) {
        const char *fault = m.add(f.values.key(e), f.values.counters(e));
        if (fault == nullptr)
            turned(number, f.owners[e], m.before(), m.after());
        return fault;
    });
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
    merge_buckets(s, h, l, core::order_by_bucket(*groups_, h.buckets, asked_), [&](core::bucket_merger &m, uint32_t e) {
        const char *fault = m.add(groups_->key(e), groups_->counters(e));
        if (fault == nullptr && m.after()[0] == 0)
            for (const wide &left : m.after())
                fault = left != 0 ? "an empty group has a sum" : fault;
        if (fault == nullptr)
            tell(to, e, m.after());
        return fault;
    });
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
