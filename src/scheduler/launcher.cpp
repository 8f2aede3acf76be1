// The launcher: one per cluster, connected to no database. It finds the databases that have the
// extension by starting a worker in each, which goes away when there is none; it starts workers
// again that ended, with a growing pause; it never runs work itself.
#include <set>

#include "pg/crew.hpp"
#include "pg/databases.hpp"
#include "pg/worker.hpp"
#include "scheduler/attach.hpp"
#include "scheduler/scheduler.hpp"
#include "scheduler/slots.hpp"

namespace dbopt::scheduler {

namespace {

namespace crew = pg::crew;
constexpr int64_t second = 1000 * 1000;
constexpr int64_t rescan_ms = 60 * 1000;
constexpr int most_starting = 3;
constexpr int64_t start_timeout = 10 * second;

class launcher {
  public:
    void run() {
        {
            pg::lock_guard hold(crew::lock(), LW_EXCLUSIVE);
            crew::shared()->launcher = MyProcPid;
        }
        TimestampTz scanned = 0;
        uint64_t news = 0;
        for (;;) {
            const TimestampTz now = GetCurrentTimestamp();
            const uint64_t heard = news_now();
            if (heard != news || now - scanned >= rescan_ms * 1000 || now < scanned) {
                news = heard;
                scan();
                free_orphans();
                scanned = now;
            }
            const int64_t nap = serve(now);
            (void)pg::wait_latch(std::min(nap, rescan_ms));
        }
    }

  private:
    uint64_t news_now() const {
        pg::lock_guard hold(crew::lock(), LW_SHARED);
        return crew::shared()->launcher_news;
    }

    // Adds databases not seen before, forgets those that are gone.
    void scan() {
        std::set<Oid> present;
        for (const pg::database_info &d : pg::connectable_databases())
            present.insert(d.oid);
        std::erase_if(without_extension_, [&](Oid o) { return !present.contains(o); });
        pg::lock_guard hold(crew::lock(), LW_EXCLUSIVE);
        for (crew::database_entry &e : crew::shared()->databases) {
            if (e.state == crew::presence::none)
                continue;
            if (!present.contains(e.database) && e.pid == 0 && e.rooms == 0 && e.parked_by == 0)
                e.state = crew::presence::none;
        }
        for (Oid o : present) {
            if (without_extension_.contains(o) || crew::find(o) != nullptr)
                continue;
            if (crew::database_entry *e = crew::find_or_add(o))
                e->state = crew::presence::wanted;
        }
    }

    // Starts what should run and does not; returns the time until something is due again.
    int64_t serve(TimestampTz now) {
        Oid start[most_starting];
        int count = 0;
        int64_t nap = rescan_ms;
        {
            pg::lock_guard hold(crew::lock(), LW_EXCLUSIVE);
            int starting = 0;
            for (crew::database_entry &e : crew::shared()->databases)
                starting += review(e, now) ? 1 : 0;
            for (crew::database_entry &e : crew::shared()->databases) {
                if (e.state != crew::presence::wanted || e.pid != 0 || e.starting)
                    continue;
                if (e.parked_by != 0) {
                    nap = std::min<int64_t>(nap, 1000);
                } else if (e.not_before > now) {
                    nap = std::min(nap, (e.not_before - now) / 1000 + 1);
                } else if (starting + count < most_starting) {
                    start[count++] = e.database;
                    e.starting = true;
                    e.asked = now;
                }
            }
            if (starting + count > 0)
                nap = std::min<int64_t>(nap, 1000);
        }
        for (int i = 0; i < count; ++i)
            start_worker(start[i], now);
        return nap;
    }

    // Clears what no longer holds. True while the entry's worker is on its way up.
    bool review(crew::database_entry &e, TimestampTz now) {
        if (e.state == crew::presence::none)
            return false;
        if (e.state == crew::presence::absent) {
            if (e.pid == 0 && e.parked_by == 0) {
                without_extension_.insert(e.database);
                e.state = crew::presence::none;
            }
            return false;
        }
        without_extension_.erase(e.database);
        if (e.parked_by != 0 && !crew::alive(e.parked_by)) {
            e.parked_by = 0;
            e.park_jobs = false;
        }
        if (e.pid != 0 && !e.ready)
            return true;
        if (e.starting && now - e.asked > start_timeout) {
            e.starting = false;
            back_off(e, now);
        }
        return e.starting;
    }

    static void back_off(crew::database_entry &e, TimestampTz now) {
        e.failures = std::min(e.failures + 1, 6);
        e.not_before = now + (int64_t{1} << e.failures) * second;
    }

    static void start_worker(Oid database, TimestampTz now) {
        const std::string name = "dbopt worker for database " + std::to_string(database);
        if (start_process({.name = name.c_str(),
                           .type = "dbopt database worker",
                           .function = "dbopt_database_main",
                           .argument = ObjectIdGetDatum(database)}))
            return;
        pg::lock_guard hold(crew::lock(), LW_EXCLUSIVE);
        if (crew::database_entry *e = crew::find(database)) {
            e->starting = false;
            e->exhausted = now;
            ++e->exhausted_count;
            back_off(*e, now);
        }
    }

    std::set<Oid> without_extension_;
};

} // namespace

} // namespace dbopt::scheduler

extern "C" {
PGDLLEXPORT void dbopt_launcher_main(Datum argument);
}

void dbopt_launcher_main(Datum) {
    dbopt::pg::worker_body([] {
        dbopt::pg::connect_worker(InvalidOid, InvalidOid);
        dbopt::scheduler::launcher().run();
    });
}
