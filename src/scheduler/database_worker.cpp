// The worker of one database: decides what is due, starts it, writes the history. It holds no
// transaction and no lock while it sleeps, and it leaves when the database has no extension (any
// more) or is parked.
#include "pg/query.hpp"
#include "pg/security.hpp"
#include "pg/transaction.hpp"
#include "pg/worker.hpp"
#include "scheduler/attach.hpp"
#include "scheduler/dispatch.hpp"
#include "scheduler/scheduler.hpp"
#include "scheduler/services.hpp"

namespace dbopt::scheduler {

namespace {

constexpr TimestampTz second = 1000 * 1000;

class database_worker {
  public:
    explicit database_worker(Oid database) : database_(database) {}

    void run() {
        if (!prepare_or_leave())
            return;
        set_ready(database_);
        while (!is_parked(database_)) {
            const uint64_t news = news_of(database_);
            const TimestampTz next = round(news);
            if (gone_)
                return disown_runs();
            const TimestampTz now = GetCurrentTimestamp();
            if (news_of(database_) == news_)
                (void)pg::wait_latch(std::max<int64_t>((next - now) / 1000 + 1, 1));
        }
    }

  private:
    // A DROP EXTENSION meanwhile makes tables vanish between two of our statements.
    bool prepare_or_leave() {
        std::optional<pg::error> failure;
        try {
            return prepare();
        } catch (pg::error &e) {
            failure.emplace(std::move(e));
        }
        if (failure->cancels() || extension_there())
            throw std::move(*failure);
        set_absent(database_, news_);
        disown_runs();
        return false;
    }

    // False when there is no extension here.
    bool prepare() {
        news_ = news_of(database_);
        if (!look()) {
            set_absent(database_, news_);
            disown_runs(); // dropped while the worker was parked for it
            return false;
        }
        looked_ = GetCurrentTimestamp();
        pg::transaction t;
        (void)pg::execute("INSERT INTO dbopt.identity (system, database)"
                          " SELECT dbopt._system_identifier(), $1"
                          " WHERE NOT EXISTS (SELECT FROM dbopt.identity)",
                          {database_});
        t.commit();
        dispatch_.recover(GetCurrentTimestamp());
        return true;
    }

    // What may have changed: the extension, pauses, jobs, the queue.
    bool look() {
        pg::transaction t;
        const bool exists = extension_exists();
        if (exists) {
            std::vector<std::string> paused;
            for (const pg::row &r : pg::query("SELECT area FROM dbopt.paused_area"))
                paused.push_back(r.get<std::string>(0));
            jobs_.set_pauses(pg::scalar<bool>("SELECT dbopt._is_copy()").value_or(false),
                             std::move(paused));
            jobs_.load(GetCurrentTimestamp());
            dispatch_.queue_changed();
        }
        t.commit();
        return exists;
    }

    // One round; a failing one is said once and tried again with a growing pause.
    TimestampTz round(uint64_t news) {
        std::string problem;
        try {
            const TimestampTz now = GetCurrentTimestamp();
            const std::string settings = settings_in_use(); // a reload may have changed them
            if (news != news_ || now - looked_ > 60 * second || now < looked_ || settings != settings_) {
                news_ = news;
                settings_ = settings;
                looked_ = now;
                if (!look()) {
                    set_absent(database_, news);
                    gone_ = true;
                    return now;
                }
            }
            dispatch_.collect(now);
            TimestampTz next = now + 60 * second;
            if (enabled) {
                keep_rooms_served(now);
                next = std::min(next, dispatch_.start_due(now));
                if (rooms_next_ > now)
                    next = std::min(next, rooms_next_);
                dispatch_.prune_history();
            }
            failures_ = 0;
            return next;
        } catch (const pg::error &e) {
            if (e.cancels())
                throw;
            problem = e.sqlstate() + ": " + e.message();
        }
        if (!extension_there()) {
            set_absent(database_, news);
            gone_ = true;
            return GetCurrentTimestamp();
        }
        if (++failures_ == 1)
            pg::warning("dbopt: a round of the database worker failed: " + problem);
        // What is in memory may not be what was stored.
        looked_ = 0;
        jobs_.forget();
        return GetCurrentTimestamp() + (second << std::min(failures_, 6));
    }

    // The process for the rooms' rounds, started again when it ended.
    void keep_rooms_served(TimestampTz now) {
        if (services().empty() || now < rooms_next_)
            return;
        {
            pg::lock_guard hold(pg::crew::lock(), LW_SHARED);
            const pg::crew::database_entry *e = pg::crew::find(database_);
            if (e == nullptr || e->parked_by != 0)
                return;
            if (e->rooms != 0) {
                rooms_next_ = 0;
                rooms_tries_ = 0;
                return;
            }
        }
        rooms_tries_ = std::min(rooms_tries_ + 1, 6);
        rooms_next_ = now + (second << rooms_tries_);
        if (start_process({.name = "dbopt rooms",
                           .type = "dbopt rooms worker",
                           .function = "dbopt_rooms_main",
                           .argument = ObjectIdGetDatum(database_)}))
            return;
        pg::lock_guard hold(pg::crew::lock(), LW_EXCLUSIVE);
        if (pg::crew::database_entry *e = pg::crew::find(database_)) {
            e->exhausted = now;
            ++e->exhausted_count;
        }
    }

    const Oid database_;
    job_board jobs_;
    dispatcher dispatch_{jobs_};
    uint64_t news_ = 0;
    std::string settings_;
    bool gone_ = false; // no extension any more
    TimestampTz looked_ = 0;
    TimestampTz rooms_next_ = 0;
    int rooms_tries_ = 0;
    int failures_ = 0;
};

} // namespace

static void database_main(Oid database) {
    if (!attach(database, part::database_worker))
        return;
    pg::connect_worker(database, InvalidOid);
    if (still_welcome(database))
        database_worker(database).run();
}

} // namespace dbopt::scheduler

extern "C" {
PGDLLEXPORT void dbopt_database_main(Datum argument);
}

void dbopt_database_main(Datum argument) {
    dbopt::pg::worker_body([&] { dbopt::scheduler::database_main(DatumGetObjectId(argument)); });
}
