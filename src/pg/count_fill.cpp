// A counting state from nothing: values that do not fit memory go to files by bucket and come back one part
// after the other.
#include "pg/count_state.hpp"
#include "pg/compat.hpp"

extern "C" {
#include "storage/buffile.h"
}

namespace dbopt::pg {

using core::wide;

constexpr uint32_t parts = 32; // a power of two, of the low bits that tell the bucket

// In a callback of the executor: nothing here owns memory of C++ while it calls the server.
void counting::spill_when_large() {
    if (kept_)
        return;
    const size_t limit = static_cast<size_t>(std::max(work_mem, maintenance_work_mem)) * 1024;
    size_t used = groups_->bytes();
    if (used > 8 * limit)
        ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("too many groups to be counted in memory"),
                        errhint("Raise maintenance_work_mem.")));
    for (const family &f : families_)
        used += f.values.bytes() + f.owners.capacity() * sizeof(uint32_t);
    if (used - groups_->bytes() <= limit)
        return;
    for (family &f : families_)
        spill(f);
}

void counting::spill(family &f) {
    MemoryContext caller = MemoryContextSwitchTo(home_);
    if (f.spilled == nullptr) {
        f.spilled = static_cast<BufFile **>(palloc0(sizeof(BufFile *) * parts));
        for (uint32_t p = 0; p < parts; ++p)
            f.spilled[p] = BufFileCreateTemp(false);
    }
    const size_t key = static_cast<size_t>(f.values.key_bytes()),
                 counters = sizeof(int64_t) * static_cast<size_t>(f.values.width());
    for (uint32_t i = 0; i < f.values.size(); ++i) {
        BufFile *to = f.spilled[f.values.mixed(i) & (parts - 1)];
        BufFileWrite(to, const_cast<char *>(f.values.key(i)), key);
        BufFileWrite(to, &f.owners[i], sizeof(uint32_t));
        BufFileWrite(to, f.values.counters(i), counters);
    }
    f.values.clear();
    f.owners = std::vector<uint32_t>();
    MemoryContextSwitchTo(caller);
}

// Reads one part back into memory.
void counting::read_part(family &f, uint32_t part) {
    f.values.clear();
    f.owners.clear();
    BufFile *from = f.spilled[part];
    const size_t key = static_cast<size_t>(f.values.key_bytes()),
                 counters = static_cast<size_t>(f.values.width());
    call([&] {
        if (BufFileSeek(from, 0, 0, SEEK_SET) != 0)
            elog(ERROR, "cannot read a temporary file again");
    });
    char bytes[16];
    uint32_t owner = 0;
    std::vector<int64_t> numbers(counters);
    for (;;) {
        const bool more = call([&] {
            CHECK_FOR_INTERRUPTS();
            if (BufFileRead(from, bytes, key) != key)
                return false;
            return BufFileRead(from, &owner, sizeof owner) == sizeof owner &&
                   BufFileRead(from, numbers.data(), counters * sizeof(int64_t)) == counters * sizeof(int64_t);
        });
        if (!more)
            break;
        const uint32_t at = f.values.at(bytes);
        if (at == f.owners.size())
            f.owners.push_back(owner);
        for (size_t c = 0; c < counters; ++c)
            f.values.counters(at)[c] += numbers[c];
    }
}

int64_t counting::append_values(count_store &s, size_t number, uint32_t buckets) {
    family &f = families_[number];
    const core::bucket_order o = core::order_by_bucket(f.values, buckets);
    core::bucket_merger m(value_layout(number));
    for (uint32_t b = 0; b < buckets; ++b) {
        if (o.starts[b] == o.starts[b + 1])
            continue;
        m.start("", 0);
        for (uint32_t i = o.starts[b]; i < o.starts[b + 1]; ++i) {
            const uint32_t e = o.entries[i];
            if (const char *fault = m.add_new(f.values.key(e), f.values.counters(e)))
                raise({.code = ERRCODE_PROGRAM_LIMIT_EXCEEDED, .message = std::string("counting state: ") + fault});
            turned(number, f.owners[e], m.before(), m.after());
        }
        s.append(static_cast<int32_t>(b), m.bytes());
    }
    return m.fresh();
}

void counting::fill_values(Oid store, size_t number) {
    family &f = families_[number];
    const core::packed_layout l = value_layout(number);
    if (f.spilled != nullptr && f.values.size() > 0)
        call([&] { spill(f); });
    // An entry may have gone to the files many times; one part tells how many there are.
    if (f.spilled != nullptr)
        read_part(f, 0);
    const uint64_t entries = f.values.size() * (f.spilled != nullptr ? parts : 1);
    count_header h{.key = l.key, .width = l.width(), .seeds = {seeds_[0], seeds_[1]}};
    h.buckets = std::max(l.buckets_for(entries), f.spilled != nullptr ? parts : 1);
    count_store s(store, now_);
    if (f.spilled == nullptr)
        h.entries = append_values(s, number, h.buckets);
    else
        for (uint32_t p = 0; p < parts; ++p) {
            if (p > 0)
                read_part(f, p);
            h.entries += append_values(s, number, h.buckets);
        }
    s.put_header(h);
    f.values.clear();
}

void counting::fill_groups(Oid store) {
    const core::packed_layout l = group_layout();
    count_header h{.key = l.key, .width = l.width(), .seeds = {seeds_[0], seeds_[1]}};
    h.buckets = l.buckets_for(groups_->size());
    count_store s(store, now_);
    const core::bucket_order o = core::order_by_bucket(*groups_, h.buckets);
    core::bucket_merger m(l);
    for (uint32_t b = 0; b < h.buckets; ++b) {
        if (o.starts[b] == o.starts[b + 1])
            continue;
        m.start("", 0);
        for (uint32_t i = o.starts[b]; i < o.starts[b + 1]; ++i)
            if (const char *fault = m.add_new(groups_->key(o.entries[i]), groups_->counters(o.entries[i])))
                raise({.code = ERRCODE_PROGRAM_LIMIT_EXCEEDED, .message = std::string("counting state: ") + fault});
        s.append(static_cast<int32_t>(b), m.bytes());
    }
    h.entries = m.fresh();
    s.put_header(h);
}

void counting::fill(const std::vector<Oid> &stores) {
    if (!groups_)
        start_tables(); // no row came
    for (size_t f = 0; f < families_.size(); ++f)
        fill_values(stores.at(1 + f), f);
    fill_groups(stores.at(0));
}

} // namespace dbopt::pg
