#include "pg/handoff.hpp"
#include "pg/crew.hpp"
#include "pg/entry.hpp"
#include "pg/query.hpp"
#include "pg/queue.hpp"
#include "pg/security.hpp"
#include "pg/system.hpp"
#include "pg/transaction.hpp"
#include "pg/worker.hpp"

extern "C" {
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "utils/wait_event.h"
PGDLLEXPORT void dbopt_handoff_main(Datum argument);
}

namespace dbopt::pg {

namespace {

constexpr int64_t second = 1000 * 1000;
constexpr int64_t patience = 60 * second; // while none of the open runs runs

// What the helper process gets: a header, then the orders, each followed by its command.
struct parcel {
    Oid database, role;
    int32_t count;
    bool done; // the runs are committed
    char area[32], waiter[64];
};
struct parcel_item {
    int64_t run_id; // filled in by the helper
    Oid object;
    uint32_t length; // of the command that follows, without its padding
};
constexpr size_t padded(size_t n) { return (n + 7) / 8 * 8; }

// The segment, for as long as the scope lasts; an error on the way frees it with the transaction.
class segment {
  public:
    explicit segment(size_t size) : handle_(call([&] { return dsm_create(size, 0); })) {}
    ~segment() {
        quietly([&] { dsm_detach(handle_); });
    }
    segment(const segment &) = delete;
    segment &operator=(const segment &) = delete;
    char *address() const { return static_cast<char *>(dsm_segment_address(handle_)); }
    dsm_handle name() const { return dsm_segment_handle(handle_); }

  private:
    dsm_segment *handle_;
};

std::string json_string(const std::optional<std::string> &text) {
    if (!text)
        return "null";
    std::string out = "\"";
    for (const char c : *text) {
        char code[8];
        if (c == '"' || c == '\\') {
            (out += '\\') += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            snprintf(code, sizeof code, "\\u%04x", c);
            out += code;
        } else {
            out += c;
        }
    }
    return out + "\"";
}

// Numbers of virtual transactions come again after a restart: the time of this start is part of the name.
std::string own_virtual_transaction() {
    return std::to_string(crew::shared()->boot) + " " +
           scalar<std::string>("SELECT virtualtransaction FROM pg_catalog.pg_locks"
                               " WHERE pid = pg_catalog.pg_backend_pid() AND locktype = 'virtualxid' LIMIT 1")
               .value();
}

text_rows kept_rows(int64_t run_id) {
    text_rows rows;
    for (const row &r : query("SELECT e.n, c.text FROM dbopt.run r, pg_catalog.jsonb_array_elements(r.result)"
                              " WITH ORDINALITY e(cells, n), pg_catalog.jsonb_array_elements_text(e.cells)"
                              " WITH ORDINALITY c(text, m) WHERE r.run_id = $1 ORDER BY e.n, c.m",
                              {run_id})) {
        const size_t n = static_cast<size_t>(r.get<int64_t>(0));
        if (rows.size() < n)
            rows.resize(n);
        rows[n - 1].push_back(r.optional<std::string>(1));
    }
    return rows;
}

} // namespace

bool in_background() {
    return MyBackendType == B_BG_WORKER ||
           scalar<std::string>("SELECT pg_catalog.current_setting('application_name')").value_or("") == "pg_cron";
}

int parallel_runs() {
    const char *n = call([] { return GetConfigOption("dbopt.max_workers", true, false); });
    return n != nullptr ? std::max(1, atoi(n)) : 1;
}

std::string handoff::obstacle(std::string_view area) {
    if (!workers_available())
        return "no dbopt worker serves this database (see dbopt.status())";
    if (IsTransactionBlock() || IsSubTransaction() || IsInParallelMode())
        return "the call is inside a transaction block";
    if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
        return "the transaction has changed something already";
    if (XactIsoLevel != XACT_READ_COMMITTED)
        return "the transaction is not READ COMMITTED";
    if (InSecurityRestrictedOperation())
        return "the call comes from a security-restricted operation";
    if (!role_can_connect(caller()))
        return "a worker cannot connect as role " + role_name(caller());
    if (area_paused(area))
        return "background work of " + std::string(area) + " is paused";
    const as_owner reader(BOOTSTRAP_SUPERUSERID);
    if (scalar<bool>("SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation"
                     " WHERE l.pid = pg_catalog.pg_backend_pid() AND l.relation >= 16384"
                     " AND c.relnamespace <> 'dbopt'::regnamespace"
                     " AND c.relnamespace <> 'pg_toast'::regnamespace)")
            .value_or(true))
        return "the transaction holds locks on relations";
    return {};
}

size_t handoff::add(std::string command, Oid object) {
    items_.push_back({.command = std::move(command), .object = object, .run_id = 0});
    return items_.size() - 1;
}

bool handoff::send() {
    if (sent_ == items_.size())
        return true;
    size_t size = padded(sizeof(parcel));
    for (size_t i = sent_; i < items_.size(); ++i)
        size += sizeof(parcel_item) + padded(items_[i].command.size());
    const segment s(size);
    auto *head = reinterpret_cast<parcel *>(s.address());
    *head = {.database = MyDatabaseId, .role = caller(), .count = static_cast<int32_t>(items_.size() - sent_),
             .done = false, .area = {}, .waiter = {}};
    strlcpy(head->area, area_.c_str(), sizeof head->area);
    strlcpy(head->waiter, own_virtual_transaction().c_str(), sizeof head->waiter);
    char *at = s.address() + padded(sizeof(parcel));
    for (size_t i = sent_; i < items_.size(); ++i) {
        const item &one = items_[i];
        *reinterpret_cast<parcel_item *>(at) = {.run_id = 0, .object = one.object,
                                                .length = static_cast<uint32_t>(one.command.size())};
        memcpy(at + sizeof(parcel_item), one.command.data(), one.command.size());
        at += sizeof(parcel_item) + padded(one.command.size());
    }
    const Oid database = MyDatabaseId;
    BackgroundWorkerHandle *helper =
        start_worker({.name = "dbopt hand-off",
                      .type = "dbopt hand-off",
                      .function = "dbopt_handoff_main",
                      .argument = UInt32GetDatum(s.name()),
                      .extra = {reinterpret_cast<const char *>(&database), sizeof database}});
    if (helper == nullptr)
        return false;
    (void)call([&] { return WaitForBackgroundWorkerShutdown(helper); });
    if (!head->done)
        return false;
    at = s.address() + padded(sizeof(parcel));
    for (; sent_ < items_.size(); ++sent_) {
        const auto *one = reinterpret_cast<const parcel_item *>(at);
        items_[sent_].run_id = one->run_id;
        at += sizeof(parcel_item) + padded(one->length);
        open_.push_back(sent_);
    }
    idle_since_ = GetCurrentTimestamp();
    return true;
}

static handoff *innermost = nullptr;

// FATAL ends the process without unwinding: the runs must not outlive it.
static void stop_all(int, Datum) {
    for (const handoff *h = innermost; h != nullptr; h = h->outer())
        h->stop_open();
}

handoff::handoff(std::string area) : area_(std::move(area)), outer_(innermost) {
    static bool registered = false;
    if (!std::exchange(registered, true))
        call([] { before_shmem_exit(stop_all, 0); });
    innermost = this;
}

// The call ends before its runs: its error, a cancel, or enough waited. What is queued is withdrawn by
// the dispatcher, who sees that the waiting transaction has gone.
handoff::~handoff() {
    stop_open();
    innermost = outer_;
}

void handoff::stop_open() const noexcept {
    for (const size_t i : open_)
        (void)cancel_run(items_[i].run_id);
}

// The worker of the run waits for a lock that this very session holds: it would wait for ever.
bool handoff::in_the_way(int64_t run_id) const {
    pid_t pid = 0;
    {
        lock_guard hold(crew::lock(), LW_SHARED);
        for (const crew::run_slot &s : crew::shared()->slots)
            if (s.database == MyDatabaseId && s.run_id == run_id && s.state == crew::slot_state::running)
                pid = s.pid;
    }
    if (pid == 0 || !scalar<bool>("SELECT pg_catalog.pg_backend_pid() = ANY (pg_catalog.pg_blocking_pids($1::int))",
                                  {static_cast<int64_t>(pid)})
                         .value_or(false))
        return false;
    crew::signal(pid, false);
    return true;
}

void handoff::look() {
    const as_owner reader(BOOTSTRAP_SUPERUSERID);
    std::vector<int64_t> ids;
    for (const size_t i : open_)
        ids.push_back(items_[i].run_id);
    const int64_t now = GetCurrentTimestamp();
    const bool look_at_locks = now - looked_for_locks_ > second;
    std::vector<size_t> still;
    // A failed run of ours is not retried: its row is its end.
    const pg::result states =
        query("SELECT o.n, r.status, r.sqlstate, r.message FROM pg_catalog.unnest($1::bigint[]) WITH ORDINALITY o(id, n)"
              " LEFT JOIN dbopt.run r ON r.run_id = o.id ORDER BY o.n",
              {ids});
    for (const row &r : states) {
        const size_t index = open_[static_cast<size_t>(r.get<int64_t>(0)) - 1];
        const std::string status = r.get_or<std::string>(1, "interrupted");
        const int64_t id = items_[index].run_id;
        if (status == "queued") {
            still.push_back(index);
        } else if (status == "running") {
            idle_since_ = now;
            if (look_at_locks && in_the_way(id))
                ended_.push_back({.index = index, .status = "skipped",
                                  .message = "this session holds a lock that the worker needs",
                                  .run_id = id, .rows = {}});
            else
                still.push_back(index);
        } else {
            std::string why = r.get_or<std::string>(3, "");
            if (!r.null(2))
                why = r.get<std::string>(2) + ": " + why;
            ended_.push_back({.index = index, .status = status, .message = why, .run_id = id, .rows = kept_rows(id)});
        }
    }
    if (look_at_locks)
        looked_for_locks_ = now;
    open_ = std::move(still);
}

void handoff::give_up(const char *status, const char *why) {
    for (const size_t i : open_)
        ended_.push_back({.index = i, .status = status, .message = why, .run_id = items_[i].run_id, .rows = {}});
    open_.clear();
}

std::optional<handoff::result> handoff::next() {
    for (int64_t nap = 2; ended_.empty(); nap = std::min<int64_t>(nap * 2, 100)) {
        if (open_.empty())
            return std::nullopt;
        look();
        if (!ended_.empty())
            break;
        if (GetCurrentTimestamp() - idle_since_ > patience)
            give_up("skipped", "no worker was free for a minute; call again");
        else
            call([&] {
                (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, nap, PG_WAIT_EXTENSION);
                ResetLatch(MyLatch);
                CHECK_FOR_INTERRUPTS();
            });
    }
    result first = std::move(ended_.front());
    ended_.erase(ended_.begin());
    return first;
}

void keep_rows(const text_rows &rows) {
    if (current_run() == 0 || rows.empty())
        return;
    std::string json = "[";
    for (const auto &r : rows) {
        json += json.size() > 1 ? ",[" : "[";
        for (size_t i = 0; i < r.size(); ++i)
            json += (i > 0 ? "," : "") + json_string(r[i]);
        json += "]";
    }
    const as_owner writer(BOOTSTRAP_SUPERUSERID);
    (void)execute("UPDATE dbopt.run SET result = result || $2::jsonb WHERE run_id = $1 AND result IS NOT NULL",
                  {current_run(), json + "]"});
}

// The helper: commits the parcel's runs into the queue, and leaves.
static void handoff_main(dsm_handle name) {
    Oid database;
    memcpy(&database, MyBgworkerEntry->bgw_extra, sizeof database);
    connect_worker(database, InvalidOid);
    transaction t;
    dsm_segment *s = call([&] { return dsm_attach(name); });
    if (s == nullptr)
        return; // the caller has gone
    call([&] { dsm_pin_mapping(s); });
    char *at = static_cast<char *>(dsm_segment_address(s));
    auto *head = reinterpret_cast<parcel *>(at);
    at += padded(sizeof(parcel));
    for (int i = 0; i < head->count; ++i) {
        auto *one = reinterpret_cast<parcel_item *>(at);
        one->run_id = enqueue({.area = head->area,
                               .command = std::string(at + sizeof(parcel_item), one->length),
                               .object = one->object,
                               .run_as = head->role,
                               .wants_rows = true,
                               .waiter = head->waiter});
        at += sizeof(parcel_item) + padded(one->length);
    }
    t.commit();
    head->done = true;
}

} // namespace dbopt::pg

void dbopt_handoff_main(Datum argument) {
    dbopt::pg::worker_body([&] { dbopt::pg::handoff_main(DatumGetUInt32(argument)); });
}
