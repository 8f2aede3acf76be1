// The moment of a swap.
//
// Whoever reads the table after the swap reads rows that our transactions wrote. A snapshot taken
// before those were committed would not see them, so the swap waits until no such snapshot is left:
// first without any lock, then, writers waiting, for the few rows that came in since.
#include "partition/conversion.hpp"
#include "pg/bulk_copy.hpp"
#include "pg/pause.hpp"
#include "pg/query.hpp"
#include "pg/transaction.hpp"
#include <algorithm>
#include <ctime>

namespace dbopt::partition {

namespace {

std::string mark() { return *pg::scalar<std::string>("SELECT pg_current_xact_id()::xid::text"); }

// Sessions whose snapshot may not contain transaction `mark`. A statement of its own that waits for
// our lock takes a new snapshot when it goes on, unless the session's transactions are REPEATABLE
// READ, which nobody can see from outside: `trusting` passes over those, the first tries do not.
// Asked as the extension's owner: others do not see when a statement of another role began.
std::string older_snapshot(const std::string &mark, bool trusting) {
    const pg::as_owner reader(extension_owner());
    return pg::scalar<std::string>(
               "SELECT string_agg(pid::text, ', ') FROM pg_stat_activity a WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() "
               "AND datid = (SELECT oid FROM pg_database WHERE datname = current_database()) "
               "AND backend_type NOT IN ('autovacuum worker', 'walsender') AND age(backend_xmin) >= age($1::text::xid) "
               "AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.pid = a.pid) "
               "AND NOT ($2 AND coalesce(xact_start = query_start, false) AND query !~* '^\\s*(begin|start)|isolation' "
               "AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))", {mark, trusting})
        .value_or("");
}

bool outlived(const std::string &mark, int64_t milliseconds, bool trusting, std::string *who = nullptr) {
    const int64_t deadline = pg::clock().us + milliseconds * 1000;
    for (;;) {
        const std::string older = older_snapshot(mark, trusting);
        pg::commit_and_restart();
        if (older.empty())
            return true;
        if (who != nullptr)
            *who = "process " + older + " has an older snapshot";
        if (pg::clock().us > deadline)
            return false;
        pg::pause(milliseconds > 100 ? 20 : 1);
    }
}

} // namespace

void swap_at_a_calm_moment(work &w, int64_t hold_ms, const std::function<bool()> &swap) {
    const int64_t began = pg::clock().us;
    // What is applied while writers wait is newer than their snapshots, and those are not outlived
    // before they go on. So first look for a moment in which nothing has come in.
    int quick_tries = 100;
    const bool slow = identity_of(w).whole;
    for (int64_t rest = 20;; rest = std::min<int64_t>(rest * 2, 500)) {
        catch_up(w);
        std::string seen = mark(), who;
        pg::commit_and_restart();
        if (!outlived(seen, 1000, false, &who)) {
            store_work(w, "waiting for transactions that began before the copy was complete: " + who);
            pg::commit_and_restart();
            pg::pause(500);
            continue;
        }
        const bool trusting = pg::clock().us - began > 10 * core::us_per_second;
        bool done = false;
        std::string why;
        {
            std::optional<pg::session_lock> writers;
            if (try_briefly([&] { writers.emplace(w.source, ExclusiveLock); }, hold_ms, &why)) {
                const int64_t locked = pg::clock().us;
                if ((slow || quick_tries-- > 0) && waiting_changes(w) > 0) {
                    pg::commit_and_restart();
                    writers.reset();
                    pg::pause(5);
                    continue;
                }
                if (apply_changes(w) > 0)
                    seen = mark();
                pg::commit_and_restart();
                const int64_t applied = pg::clock().us;
                if (outlived(seen, hold_ms, trusting, &why)) {
                    const int64_t calm = pg::clock().us, cpu = std::clock();
                    // Nobody waits for the disk; it is flushed below.
                    pg::set_local("synchronous_commit", "off");
                    why = "changes came in";
                    (void)try_briefly([&] { done = swap(); }, hold_ms, &why);
                    pg::commit_and_restart();
                    if (done)
                        pg::log("dbopt: swap", "writers waited " + std::to_string((pg::clock().us - locked) / 1000) + " ms: last changes " +
                                std::to_string((applied - locked) / 1000) + ", older snapshots " + std::to_string((calm - applied) / 1000) +
                                ", swap " + std::to_string((pg::clock().us - calm) / 1000) + " (CPU " + std::to_string((std::clock() - cpu) / 1000) + ")");
                }
                pg::commit_and_restart();
            }
        }
        if (done) {
            pg::flush_wal();
            return;
        }
        store_work(w, "waiting for a calm moment to swap; the last try: " + why);
        pg::commit_and_restart();
        pg::pause(rest);
    }
}

} // namespace dbopt::partition
