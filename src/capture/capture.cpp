#include "capture/capture.hpp"
#include "capture/histogram.hpp"
#include "capture/slow_log.hpp"
#include "capture/texts.hpp"
#include "pg/file_store.hpp"
#include "pg/search_path.hpp"
#include "pg/settings.hpp"
#include <new>

namespace dbopt::capture {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;

int max_statements = 8192;
int level = static_cast<int>(pg::capture_level::top);
bool capture_utility = true;
int sample_every = 100;
uint32_t until_sample = 1;
bool block_wanted = false; // preloading

size_t wanted_bytes() { return table_bytes(max_statements); }

void initialize(void *memory) {
    header *h = static_cast<header *>(memory);
    memset(memory, 0, wanted_bytes());
    h->slots = static_cast<uint32_t>(max_statements);
    for (int i = 0; i < max_statements; ++i)
        h->table[i].min_ns.store(UINT64_MAX, relaxed);
    h->since.store(static_cast<uint64_t>(GetCurrentTimestamp()));
    remove_files();
    block.memory = memory;
    restore(pg::whole_file(saved_file, size_t{512} << 20));
    if (pg::in_postmaster())
        pg::at_shared_memory_exit([](int code) {
            if (code == 0)
                pg::replace_file(saved_file, serialized());
        });
}

void add(counter &c, uint64_t n) {
    if (n != 0)
        c.fetch_add(n, relaxed);
}

// The last few statements of this backend and the transaction each was last seen in.
struct recent {
    const slot *where;
    uint32_t transaction;
};
recent recently[64];

void on_end(const pg::statement_end &e) {
    log_if_slow(e);
    if (block.memory == nullptr)
        return;
    bool fresh;
    slot *s = find_or_claim(e, &fresh);
    if (s == nullptr)
        return;
    s->calls.fetch_add(1, relaxed);
    s->total_ns.fetch_add(e.run_ns, relaxed);
    count_latency(s, e.run_ns);
    add(s->rows, e.rows);
    add(s->errors, e.failed ? 1 : 0);
    if (e.plan_ns != 0) {
        s->plans.fetch_add(1, relaxed);
        s->plan_ns.fetch_add(e.plan_ns, relaxed);
    }
    add(s->hit, e.blocks_hit);
    add(s->read, e.blocks_read);
    add(s->written, e.blocks_written);
    add(s->temp, e.temp_blocks);
    if (e.run_ns < s->min_ns.load(relaxed))
        s->min_ns.store(e.run_ns, relaxed);
    if (e.run_ns > s->max_ns.load(relaxed))
        s->max_ns.store(e.run_ns, relaxed);
    bool textless = false;
    recent &r = recently[(reinterpret_cast<uintptr_t>(s) / sizeof(slot)) % 64];
    if (r.where != s || r.transaction != e.local_transaction) {
        r = {s, e.local_transaction};
        s->transactions.fetch_add(1, relaxed);
        // The start of the transaction: no clock is read for this.
        s->last_seen.store(static_cast<uint64_t>(GetCurrentStatementStartTimestamp()), relaxed);
        textless = s->text_length.load(relaxed) == 0; // there was no room
    }
    if (fresh || textless) {
        try {
            store_text(s, e, pg::search_path_now());
        } catch (const std::bad_alloc &) { // between the server's frames: a later transaction tries again
        }
    }
    if (e.parameters != nullptr && sample_every > 0) {
        const auto every = static_cast<uint32_t>(sample_every);
        until_sample = std::min(until_sample, every); // the setting may have been lowered
        if (fresh || --until_sample == 0) {
            until_sample = every;
            if (!e.failed)
                store_sample(s, e);
        }
    }
}

double ms(uint64_t ns) { return static_cast<double>(ns) / 1e6; }

statement read(const slot &s, uint64_t tag) {
    statement out;
    out.query_id = s.query_id;
    out.role = s.role;
    out.database = s.database;
    out.toplevel = (s.flags & slot::toplevel) != 0;
    out.utility = (s.flags & slot::utility) != 0;
    auto number = [](const counter &c) { return static_cast<int64_t>(c.load(relaxed)); };
    out.calls = number(s.calls);
    out.errors = number(s.errors);
    out.rows = number(s.rows);
    out.plans = number(s.plans);
    out.transactions = number(s.transactions);
    out.total_ms = ms(s.total_ns.load(relaxed));
    out.plan_ms = ms(s.plan_ns.load(relaxed));
    const uint64_t least = s.min_ns.load(relaxed);
    out.min_ms = least == UINT64_MAX ? 0 : ms(least);
    out.max_ms = ms(s.max_ns.load(relaxed));
    const core::latency_counts counts = latencies_of(s);
    auto percentile = [&](double fraction) {
        const double p = core::latency_percentile(counts, fraction) / 1e6;
        return std::clamp(p, out.min_ms, std::max(out.min_ms, out.max_ms));
    };
    out.p50_ms = percentile(0.5);
    out.p95_ms = percentile(0.95);
    out.p99_ms = percentile(0.99);
    out.blocks_hit = number(s.hit);
    out.blocks_read = number(s.read);
    out.blocks_written = number(s.written);
    out.temp_blocks = number(s.temp);
    out.first_seen = {number(s.first_seen)};
    out.last_seen = {number(s.last_seen)};
    out.samples = std::min<int64_t>(s.samples.load(relaxed), 4);
    out.key = static_cast<int64_t>(tag);
    return out;
}

} // namespace

pg::shared_block block{"dbopt workload", 0, 2, initialize, wanted_bytes};

// The executor's hooks are taken when there is something to observe, here and in every process that
// learns of it later: switched off, they cost nothing.
static void hook_up(int wanted) {
    static bool hooked = false;
    if (!block_wanted || hooked || wanted == static_cast<int>(pg::capture_level::none))
        return;
    hooked = true;
    pg::install_statement_hooks(on_end, &level, &capture_utility);
}

void define_settings() {
    define_slow_log_settings();
    pg::define_int({.name = "dbopt.max_statements",
                    .description = "Statements the workload capture tells apart, cluster-wide.",
                    .variable = &max_statements, .value = 8192, .low = 100, .high = 1'000'000,
                    .when = pg::change::restart});
    pg::define_choice("dbopt.capture",
                      "Statements to observe: top (sent by clients), all (also those inside functions) "
                      "or none.",
                      &level, {{"none", 0}, {"top", 1}, {"all", 2}}, 1, pg::change::superuser,
                      [](int now, void *) { hook_up(now); });
    pg::define_bool("dbopt.capture_utility", "Observe utility commands (COMMIT, COPY, VACUUM ...) too.",
                    &capture_utility, true, pg::change::superuser);
    pg::define_int({.name = "dbopt.sample_every",
                    .description = "One in so many executions keeps its parameters; 0 keeps none.",
                    .variable = &sample_every, .value = 100, .low = 0, .high = 1'000'000,
                    .when = pg::change::superuser});
    pg::define_bool("dbopt.capture_redact",
                    "Keep observed texts with parameters in place of their literals, and no samples.",
                    &redact, false, pg::change::superuser);
    pg::define_int({.name = "dbopt.capture_text_size",
                    .description = "Room for the texts of observed statements.",
                    .variable = &text_limit_kb, .value = 16384, .low = 64, .high = 1'048'576,
                    .when = pg::change::reload, .in = pg::unit::kb});
}

void install() {
    pg::request_shared(&block);
    block_wanted = true;
    hook_up(level);
}

bool available() { return block.memory != nullptr; }
pg::timestamptz since() { return {available() ? static_cast<int64_t>(shared()->since.load()) : 0}; }
int64_t evicted() { return available() ? static_cast<int64_t>(shared()->evicted.load()) : 0; }

int64_t without_text(Oid database) {
    if (!available())
        return 0;
    int64_t n = 0;
    const header *h = shared();
    for (uint32_t i = 0; i < h->slots; ++i) {
        const slot &s = h->table[i];
        n += s.tag.load(relaxed) != 0 && s.calls.load(relaxed) != 0 && s.database == database &&
                     (s.flags & slot::utility) == 0 && s.text_length.load(relaxed) == 0
                 ? 1 : 0;
    }
    return n;
}

std::vector<statement> statements(Oid database, bool texts) {
    std::vector<statement> out;
    if (!available())
        return out;
    const pg::lock_guard hold(block.lock(0), LW_SHARED); // no compaction meanwhile
    const header *h = shared();
    for (uint32_t i = 0; i < h->slots; ++i) {
        const slot &s = h->table[i];
        const uint64_t tag = s.tag.load(std::memory_order_acquire);
        if (tag == 0 || s.calls.load(relaxed) == 0 ||
            (OidIsValid(database) && s.database != database))
            continue;
        out.push_back(read(s, tag));
        if (texts) {
            record r = load_record(s);
            out.back().text = std::move(r.text);
            out.back().path = std::move(r.path);
        }
    }
    return out;
}

core::latency_map latencies(Oid database) {
    core::latency_map out;
    if (!available())
        return out;
    const pg::lock_guard hold(block.lock(0), LW_SHARED);
    const header *h = shared();
    for (uint32_t i = 0; i < h->slots; ++i) {
        const slot &s = h->table[i];
        if (s.tag.load(std::memory_order_acquire) == 0 || s.calls.load(relaxed) == 0 || s.database != database)
            continue;
        core::latency_counts &sum = out[statement_key(s.query_id, s.role)];
        const core::latency_counts one = latencies_of(s);
        for (size_t b = 0; b < sum.size(); ++b)
            sum[b] += one[b];
    }
    return out;
}

uint64_t statement_key(int64_t query_id, Oid role) {
    return static_cast<uint64_t>(query_id) ^ (uint64_t{role} * 0x9E3779B97F4A7C15u);
}

std::string text_of(int64_t query_id, Oid role, Oid database) {
    if (!available())
        return {};
    const pg::lock_guard hold(block.lock(0), LW_SHARED); // no compaction meanwhile
    for (const bool toplevel : {true, false}) {
        pg::statement_end e{};
        e.query_id = query_id;
        e.role = role;
        e.database = database;
        e.toplevel = toplevel;
        if (const slot *s = find(tag_of(e)))
            if (std::string text = load_text(*s); !text.empty())
                return text;
    }
    return {};
}

std::vector<std::vector<parameter>> samples(int64_t key) {
    if (!available())
        return {};
    const slot *s = find(static_cast<uint64_t>(key));
    return s != nullptr ? load_samples(*s) : std::vector<std::vector<parameter>>{};
}

bool seed(const seeded &s) {
    if (!available() || s.calls <= 0)
        return false;
    pg::statement_end e{};
    e.query_id = s.query_id;
    e.role = s.role;
    e.database = MyDatabaseId;
    e.toplevel = true;
    e.text = s.text.c_str();
    bool fresh;
    slot *to = find_or_claim(e, &fresh);
    if (to == nullptr || !fresh)
        return false;
    const auto ns = [](double ms) { return static_cast<uint64_t>(std::max(0.0, ms) * 1e6); };
    const auto calls = static_cast<uint64_t>(s.calls);
    to->calls.fetch_add(calls, relaxed);
    to->transactions.fetch_add(calls, relaxed);
    add(to->rows, static_cast<uint64_t>(s.rows));
    add(to->plans, static_cast<uint64_t>(s.plans));
    to->total_ns.fetch_add(ns(s.total_ms), relaxed);
    to->plan_ns.fetch_add(ns(s.plan_ms), relaxed);
    to->min_ns.store(ns(s.min_ms), relaxed);
    to->max_ns.store(ns(s.max_ms), relaxed);
    const uint64_t mean = ns(s.total_ms / static_cast<double>(s.calls));
    const int bucket = core::latency_bucket(mean);
    to->latency[bucket].fetch_add(static_cast<uint16_t>(calls & UINT16_MAX), relaxed);
    if (calls > UINT16_MAX)
        carry(to, bucket, static_cast<uint32_t>(std::min<uint64_t>(calls >> 16, 1u << 20)));
    to->last_seen.store(static_cast<uint64_t>(GetCurrentTimestamp()), relaxed);
    store_text(to, e, nullptr);
    return true;
}

int64_t reset(Oid database) {
    if (!available())
        return 0;
    const pg::lock_guard hold(block.lock(0), LW_EXCLUSIVE);
    header *h = shared();
    int64_t n = 0;
    for (uint32_t i = 0; i < h->slots; ++i) {
        slot &s = h->table[i];
        if (s.tag.load() == 0 || (OidIsValid(database) && s.database != database))
            continue;
        h->text_wasted.fetch_add(s.text_length.load());
        clear(&s);
        s.tag.store(0);
        ++n;
    }
    if (!OidIsValid(database)) {
        h->text_end.store(0);
        h->text_wasted.store(0);
        h->evicted.store(0);
    }
    compact_texts_if_short();
    h->since.store(static_cast<uint64_t>(GetCurrentTimestamp()));
    return n;
}

void save() {
    if (!available())
        return;
    const pg::lock_guard one_writer(block.lock(1), LW_EXCLUSIVE);
    const pg::lock_guard hold(block.lock(0), LW_SHARED); // no compaction meanwhile
    pg::replace_file(saved_file, serialized());
}

void background() {
    if (!available())
        return;
    compact_texts();
    save();
}

} // namespace dbopt::capture
