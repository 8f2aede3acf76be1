// The rooms process of a database: calls each room's background round when it is due. It is a
// process of its own, so that a long round never delays a job.
#include "pg/query.hpp"
#include "pg/transaction.hpp"
#include "pg/worker.hpp"
#include "scheduler/attach.hpp"
#include "scheduler/scheduler.hpp"
#include "scheduler/services.hpp"

namespace dbopt::scheduler {

namespace {

struct due_service {
    service what;
    TimestampTz next = 0;
    int failures = 0;
};

struct situation {
    bool extension = false;
    bool copied = false;
    std::vector<std::string> paused;
};

situation read_situation() {
    situation s;
    pg::transaction t;
    s.extension = extension_exists();
    if (s.extension) {
        for (const pg::row &r : pg::query("SELECT area FROM dbopt.paused_area"))
            s.paused.push_back(r.get<std::string>(0));
        s.copied = pg::scalar<bool>("SELECT dbopt._is_copy()").value_or(false);
    }
    t.commit();
    return s;
}

// A DROP EXTENSION between two statements is no error.
situation look() {
    std::optional<pg::error> failure;
    try {
        return read_situation();
    } catch (pg::error &e) {
        failure.emplace(std::move(e));
    }
    if (failure->cancels() || extension_there())
        throw std::move(*failure);
    return {};
}

// The round's failure is the round's alone: said once per streak, tried again later.
void serve(due_service &d) {
    std::string problem;
    try {
        pg::report_activity(std::string("dbopt round: ") + d.what.area);
        d.what.round();
    } catch (const pg::error &e) {
        if (e.cancels())
            throw;
        problem = e.sqlstate() + ": " + e.message();
    }
    pg::report_activity({});
    double pause = d.what.period_s;
    if (!problem.empty() && !extension_there())
        return; // dropped meanwhile: the next look ends this process
    if (problem.empty()) {
        d.failures = 0;
    } else {
        if (++d.failures == 1)
            pg::warning(std::string("dbopt: background round of ") + d.what.area + " failed: " + problem);
        pause = std::min(std::max(pause, 1.0) * (1 << std::min(d.failures, 10)), 3600.0);
    }
    d.next = GetCurrentTimestamp() + static_cast<TimestampTz>(pause * 1e6);
}

void rooms_loop() {
    std::vector<due_service> all;
    for (const service &s : services())
        all.push_back({s});
    for (;;) {
        TimestampTz now = GetCurrentTimestamp();
        TimestampTz next = now + 60 * INT64CONST(1000000);
        bool any = false;
        for (const due_service &d : all)
            any = any || d.next <= now;
        if (any && enabled) {
            const situation s = look();
            if (!s.extension)
                return;
            for (due_service &d : all) {
                const bool paused =
                    s.copied || std::find(s.paused.begin(), s.paused.end(), d.what.area) != s.paused.end();
                if (d.next > now)
                    continue;
                if (paused)
                    d.next = now + static_cast<TimestampTz>(std::max(d.what.period_s, 1.0) * 1e6);
                else
                    serve(d);
                pg::check_interrupts();
                if (is_parked(MyDatabaseId))
                    return;
            }
        }
        now = GetCurrentTimestamp();
        for (const due_service &d : all)
            next = std::min(next, std::max(d.next, now + 1000));
        (void)pg::wait_latch(enabled ? (next - now) / 1000 + 1 : 10 * 1000);
        if (is_parked(MyDatabaseId))
            return;
    }
}

} // namespace

static void rooms_main(Oid database) {
    if (!attach(database, part::rooms))
        return;
    pg::connect_worker(database, InvalidOid);
    if (still_welcome(database))
        rooms_loop();
}

} // namespace dbopt::scheduler

extern "C" {
PGDLLEXPORT void dbopt_rooms_main(Datum argument);
}

void dbopt_rooms_main(Datum argument) {
    dbopt::pg::worker_body([&] { dbopt::scheduler::rooms_main(DatumGetObjectId(argument)); });
}
