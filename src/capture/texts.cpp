#include "capture/texts.hpp"
#include "capture/histogram.hpp"
#include "pg/try_lock.hpp"
#include "pg/version.hpp"
#include "pg/file_store.hpp"
#include <cstring>

namespace dbopt::capture {

int text_limit_kb = 16384;
bool redact = false;
const char *const saved_file = "pg_stat/dbopt_workload.stat";

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
const char *const text_file = "pg_stat_tmp/dbopt_texts.stat";
const char *const sample_file = "pg_stat_tmp/dbopt_samples.stat";
constexpr size_t longest_text = 64 * 1024;
constexpr uint32_t sets = 4;          // parameter sets per statement
constexpr size_t set_bytes = 512;

uint64_t set_offset(const slot &s, uint32_t n) {
    return (static_cast<uint64_t>(&s - shared()->table) * sets + n) * set_bytes;
}

struct saved_header {
    char magic[8];
    uint32_t slot_bytes, server;
    uint64_t since;
};
constexpr char magic[8] = {'d', 'b', 'o', 'p', 't', 'w', '0', '2'};

constexpr size_t carry_bytes = sizeof(uint32_t) * core::latency_buckets;

void restore_carries(const slot *s, const char *from) {
    for (int b = 0; b < core::latency_buckets; ++b) {
        uint32_t n;
        memcpy(&n, from + sizeof n * static_cast<size_t>(b), sizeof n);
        if (n != 0)
            carry(s, b, n);
    }
}

} // namespace

void store_text(slot *s, const pg::statement_end &e, const char *path) {
    if (e.text == nullptr)
        return;
    const char *start = e.text + (e.text_start > 0 ? e.text_start : 0);
    size_t length = e.text_length > 0 ? static_cast<size_t>(e.text_length) : strlen(start);
    if (length > longest_text)
        return; // a shortened text could not be planned
    header *h = shared();
    const uint64_t room = static_cast<uint64_t>(text_limit_kb) * 1024;
    if (h->text_end.load(relaxed) + length > room)
        return; // as long as room is short, each transaction comes here
    // Nobody waits for a text: the next transaction tries again.
    const pg::try_lock hold(block.lock(0), LW_SHARED);
    if (!hold)
        return;
    std::string kept(start, length);
    if (redact)
        kept = parameterised(kept, e.backslash_escapes);
    if (path != nullptr)
        kept.append(1, '\0').append(path);
    const uint64_t at = h->text_end.fetch_add(kept.size());
    if (at + kept.size() > room) {
        h->text_end.fetch_sub(kept.size());
        return;
    }
    uint64_t none = 0;
    if (!s->text_at.compare_exchange_strong(none, at + 1)) { // another backend was faster
        h->text_wasted.fetch_add(kept.size(), relaxed);
        return;
    }
    const bool written = pg::write_at(text_file, at, kept.data(), kept.size());
    uint64_t ours = at + 1;
    if (written && s->text_at.load(relaxed) == ours) // not of another statement meanwhile
        s->text_length.store(static_cast<uint32_t>(kept.size()), std::memory_order_release);
    else if (!written)
        s->text_at.compare_exchange_strong(ours, 0);
}

static std::string load_whole(const slot &s) {
    const uint32_t length = s.text_length.load(std::memory_order_acquire);
    const uint64_t at = s.text_at.load(relaxed);
    if (length == 0 || at == 0)
        return {};
    std::string out(length, '\0');
    out.resize(pg::read_at(text_file, at - 1, out.data(), length));
    return out.size() == length ? out : std::string();
}

record load_record(const slot &s) {
    std::string whole = load_whole(s);
    const size_t end = whole.find('\0');
    if (end == std::string::npos)
        return {std::move(whole), {}};
    std::string path = whole.substr(end + 1);
    whole.resize(end);
    return {std::move(whole), std::move(path)};
}

// The place of a set in the reservoir, or one past it: the n-th set offered is kept with probability sets / n. The
// last digits of a running time are chance enough. Vitter, Random sampling with a reservoir, 1985, algorithm R.
static uint32_t place_of(uint32_t offered, const pg::statement_end &e) {
    const uint64_t noise = (e.run_ns + offered) * 0x9E3779B97F4A7C15u;
    return offered < sets ? offered : static_cast<uint32_t>((noise >> 32) * (uint64_t{offered} + 1) >> 32);
}

// One set in 512 bytes: a count, then type, length (-1: NULL) and text of each parameter.
void store_sample(slot *s, const pg::statement_end &e) {
    if (redact || e.parameters == nullptr || e.parameters->numParams <= 0 || e.parameters->numParams > 40)
        return;
    // Decided before values become text, which costs more than all else that capture does.
    const uint32_t place = place_of(s->samples.load(relaxed), e);
    if (place >= sets) {
        s->samples.fetch_add(1, relaxed);
        return;
    }
    char set[set_bytes] = {};
    size_t at = sizeof(uint32_t);
    const auto count = static_cast<uint32_t>(e.parameters->numParams);
    memcpy(set, &count, sizeof count);
    for (uint32_t i = 0; i < count; ++i) {
        const char *text;
        ParamExternData work;
        const ParamExternData *p = e.parameters->paramFetch != nullptr
                                       ? e.parameters->paramFetch(e.parameters, static_cast<int>(i) + 1, false, &work)
                                       : &e.parameters->params[i];
        if (!pg::parameter_text(*p, &text))
            return;
        const int32_t length = text != nullptr ? static_cast<int32_t>(strlen(text)) : -1;
        const size_t bytes = length > 0 ? static_cast<size_t>(length) : 0;
        if (at + sizeof(Oid) + sizeof length + bytes > set_bytes)
            return;
        memcpy(set + at, &p->ptype, sizeof(Oid));
        memcpy(set + at + sizeof(Oid), &length, sizeof length);
        if (bytes > 0)
            memcpy(set + at + sizeof(Oid) + sizeof length, text, bytes);
        at += sizeof(Oid) + sizeof length + bytes;
    }
    const uint32_t taken = s->samples.fetch_add(1, relaxed); // another backend may have been faster
    pg::write_at(sample_file, set_offset(*s, taken < sets ? taken : place), set, set_bytes);
}

std::vector<std::vector<parameter>> load_samples(const slot &s) {
    std::vector<std::vector<parameter>> out;
    const uint32_t have = std::min(s.samples.load(relaxed), sets);
    for (uint32_t n = 0; n < have; ++n) {
        char set[set_bytes];
        if (pg::read_at(sample_file, set_offset(s, n), set, set_bytes) != set_bytes)
            continue;
        uint32_t count;
        memcpy(&count, set, sizeof count);
        size_t at = sizeof count;
        std::vector<parameter> &one = out.emplace_back();
        for (uint32_t i = 0; i < count && at + 8 <= set_bytes; ++i) {
            parameter p;
            int32_t length;
            memcpy(&p.type, set + at, sizeof(Oid));
            memcpy(&length, set + at + sizeof(Oid), sizeof length);
            at += sizeof(Oid) + sizeof length;
            if (length >= 0 && at + static_cast<size_t>(length) <= set_bytes)
                p.text = std::string(set + at, static_cast<size_t>(length));
            at += length > 0 ? static_cast<size_t>(length) : 0;
            one.push_back(std::move(p));
        }
    }
    return out;
}

static bool room_is_short() {
    header *h = shared();
    return h->text_end.load() >= static_cast<uint64_t>(text_limit_kb) * 1024 / 2 &&
           h->text_wasted.load() >= h->text_end.load() / 16;
}

void compact_texts() {
    if (!room_is_short())
        return;
    const pg::lock_guard hold(block.lock(0), LW_EXCLUSIVE);
    compact_texts_if_short();
}

void compact_texts_if_short() {
    header *h = shared();
    if (!room_is_short())
        return;
    std::string all;
    struct move {
        slot *s;
        uint64_t from, to;
    };
    std::vector<move> moved;
    for (uint32_t i = 0; i < h->slots; ++i) {
        slot *s = &h->table[i];
        uint64_t from = s->text_at.load();
        const std::string text = s->tag.load() != 0 ? load_whole(*s) : std::string();
        if (text.empty()) { // nobody is writing one now: lock 0 is ours
            if (s->text_length.load() == 0)
                s->text_at.compare_exchange_strong(from, 0);
            continue;
        }
        moved.push_back({s, from, all.size() + 1});
        all += text;
    }
    if (!pg::replace_file(text_file, all))
        return;
    for (const move &m : moved) { // a slot that gave way meanwhile has none
        uint64_t from = m.from;
        m.s->text_at.compare_exchange_strong(from, m.to);
    }
    h->text_end.store(all.size());
    h->text_wasted.store(0);
}

std::string serialized() {
    header *h = shared();
    saved_header head{};
    memcpy(head.magic, magic, sizeof magic);
    head.slot_bytes = sizeof(slot);
    head.server = pg::server_version / 100;
    head.since = h->since.load();
    std::string out(reinterpret_cast<const char *>(&head), sizeof head);
    for (uint32_t i = 0; i < h->slots; ++i) {
        const slot &s = h->table[i];
        if (s.tag.load() == 0 || s.calls.load() == 0)
            continue;
        alignas(slot) char copy[sizeof(slot)];
        memcpy(copy, static_cast<const void *>(&s), sizeof(slot));
        out.append(copy, sizeof(slot));
        // As restore() will see it: the live slot counts on meanwhile.
        const bool many = has_carries(*std::launder(reinterpret_cast<slot *>(copy)));
        const std::string text = load_whole(s);
        const auto length = static_cast<uint32_t>(text.size());
        out.append(reinterpret_cast<const char *>(&length), sizeof length);
        out += text;
        char set[set_bytes * sets] = {};
        const uint32_t have = std::min(s.samples.load(relaxed), sets);
        out.append(reinterpret_cast<const char *>(&have), sizeof have);
        pg::read_at(sample_file, set_offset(s, 0), set, set_bytes * have);
        out.append(set, set_bytes * have);
        for (int b = 0; many && b < core::latency_buckets; ++b) {
            const uint32_t n = carried(&s, b);
            out.append(reinterpret_cast<const char *>(&n), sizeof n);
        }
    }
    return out;
}

void restore(const std::string &saved) {
    saved_header head;
    if (saved.size() < sizeof head)
        return;
    memcpy(&head, saved.data(), sizeof head);
    if (memcmp(head.magic, magic, sizeof magic) != 0 || head.slot_bytes != sizeof(slot) ||
        head.server != pg::server_version / 100)
        return;
    header *h = shared();
    h->since.store(head.since);
    size_t at = sizeof head;
    std::string texts;
    while (at + sizeof(slot) + 2 * sizeof(uint32_t) <= saved.size()) {
        alignas(slot) char copy[sizeof(slot)];
        memcpy(copy, saved.data() + at, sizeof(slot));
        const slot *from = std::launder(reinterpret_cast<slot *>(copy));
        uint32_t length, have;
        memcpy(&length, saved.data() + at + sizeof(slot), sizeof length);
        const size_t text_at = at + sizeof(slot) + sizeof length;
        if (text_at + length + sizeof have > saved.size())
            return;
        memcpy(&have, saved.data() + text_at + length, sizeof have);
        const size_t set_at = text_at + length + sizeof have;
        const size_t carry_at = set_at + have * set_bytes;
        const size_t end = carry_at + (has_carries(*from) ? carry_bytes : 0);
        if (have > sets || end > saved.size())
            return;
        at = end;
        const uint64_t tag = from->tag.load();
        for (uint32_t i = 0; i < 24; ++i) {
            slot *to = &h->table[(tag % h->slots + i) % h->slots];
            if (to->tag.load() != 0)
                continue;
            memcpy(static_cast<void *>(to), copy, sizeof(slot));
            to->text_at.store(length > 0 ? texts.size() + 1 : 0);
            to->text_length.store(length);
            texts.append(saved, text_at, length);
            pg::write_at(sample_file, set_offset(*to, 0), saved.data() + set_at, have * set_bytes);
            if (has_carries(*from))
                restore_carries(to, saved.data() + carry_at);
            break;
        }
    }
    if (pg::write_at(text_file, 0, texts.data(), texts.size()))
        h->text_end.store(texts.size());
}

void remove_files() {
    pg::remove_file(text_file);
    pg::remove_file(sample_file);
}

} // namespace dbopt::capture
