// One refresh: locks, one snapshot, the choice of the mode, the work, the record.
#include "matview/incremental.hpp"
#include "matview/registry.hpp"
#include "pg/catalog_watch.hpp"
#include "pg/fixed_path.hpp"
#include "pg/frozen.hpp"
#include "pg/page_marks.hpp"
#include "pg/query.hpp"
#include "pg/security.hpp"
#include "pg/transaction.hpp"
#include <set>

namespace dbopt::matview {

namespace {

// A refresh that is under way.
struct run {
    Oid matview = InvalidOid;
    std::string wanted;
    bool may_skip = false; // nobody asked for a rebuild in so many words
    pg::relation_info info;
    std::optional<stored_config> managed;
    stored_state state;
    std::shared_ptr<const knowledge> known;
    outcome result;
    refreshed after;
    std::vector<unsigned> captured;
    bool checked = false;              // a sample was compared and found right …
    std::optional<std::string> wrong;  // … or wrong
};

double elapsed_ms(pg::timestamptz since) { return (pg::clock().us - since.us) / 1000.0; }

std::string sentence(const pg::error &e) {
    std::string out = e.sqlstate() + ": " + e.message();
    if (e.detail() != nullptr)
        out += std::string(" (") + e.detail() + ")";
    return out;
}

bool skip(run &r, const std::string &reason) {
    r.result.status = "skipped";
    r.result.reason = reason;
    return false;
}

bool lock_sources(run &r, const std::vector<source> &sources) {
    std::set<Oid> locked;
    for (const source &s : sources)
        if (locked.insert(s.relation).second && !pg::try_lock(s.relation, AccessShareLock, 1000LL * config.lock_wait_s))
            return skip(r, "\"" + pg::qualified_name(s.relation) + "\" is locked by another session");
    return true;
}

// Two refreshes never overlap; a base that is being altered is not waited for in a queue.
bool take_locks(run &r) {
    if (!pg::try_lock(r.matview, ShareUpdateExclusiveLock, 1000LL * config.lock_wait_s))
        return skip(r, "another refresh or maintenance command holds the matview");
    if (!pg::find_relation(r.matview))
        return skip(r, "the matview was dropped meanwhile");
    return lock_sources(r, r.known->sources);
}

// "oid:file:pages" of everything that is read; empty when pages cannot tell.
std::string describe_pages(const run &r) {
    std::string out;
    std::set<Oid> seen;
    for (const source &s : r.known->sources) {
        if (s.kind == 'f')
            return {};
        if ((s.kind != 'r' && s.kind != 'm') || !seen.insert(s.relation).second)
            continue;
        const pg::heap_pages p = pg::count_pages(s.relation);
        if (!p.comparable)
            return {};
        out += std::to_string(s.relation) + ":" + std::to_string(pg::relation_file(s.relation)) + ":" +
               std::to_string(p.blocks) + ";";
    }
    return out;
}

bool pages_unchanged(const run &r, const std::string &pages) {
    const stored_state &s = r.state;
    if (!s.quiet || !s.lsn || !s.pages || s.pages->empty() || *s.pages != pages)
        return false;
    const XLogRecPtr mark = pg::parse_lsn(*s.lsn);
    if (mark == InvalidXLogRecPtr || mark > pg::wal_position())
        return false;
    std::set<Oid> seen;
    for (const source &x : r.known->sources)
        if ((x.kind == 'r' || x.kind == 'm') && seen.insert(x.relation).second &&
            pg::newer_than(x.relation, mark))
            return false;
    return true;
}

// Nothing when unchanged is certain; else what speaks against it.
std::optional<std::string> change_seen(run &r) {
    const stored_state &s = r.state;
    if (!r.info.populated)
        return "the matview is not populated";
    if (!s.snapshot)
        return "first refresh by dbopt";
    if (s.needs_full)
        return *s.needs_full;
    if (s.file != r.after.file)
        return "the matview was rewritten since the last refresh";
    if (s.fingerprint != r.after.fingerprint)
        return "a definition, file, trigger or setting that the content depends on has changed";
    if (r.known->unstable)
        return "the query calls " + *r.known->unstable + ", whose result changes by itself";
    if (!pages_unchanged(r, r.after.pages))
        return "pages of the base relations were written";
    return std::nullopt;
}

bool rebuild(run &r, pg::frozen &now, const std::string &mode, const std::string &reason) {
    const bool concurrent = mode == "concurrent";
    const int64_t wait = 1000LL * config.lock_wait_s;
    if (!pg::try_lock(r.matview, concurrent ? ExclusiveLock : AccessExclusiveLock, wait))
        return skip(r, "readers kept the matview locked for " + std::to_string(config.lock_wait_s) + " s");
    {
        const own_refresh mine;
        const pg::fixed_path narrow;
        now.execute(std::string("REFRESH MATERIALIZED VIEW ") + (concurrent ? "CONCURRENTLY " : "") +
                    r.info.qualified());
    }
    r.result.mode = mode;
    r.result.status = "done";
    r.result.reason = reason;
    r.after.file = pg::relation_file(r.matview);
    return true;
}

// Concurrent where readers would notice a full refresh.
std::string mode_without_increments(const run &r) {
    if (r.wanted == "full" || !r.info.populated || !unique_index_of(r.matview))
        return "full";
    if (r.wanted == "concurrent")
        return "concurrent";
    const bool read_now =
        pg::scalar<bool>("SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE relation = $1 AND granted "
                         "AND pid <> pg_backend_pid() AND mode = 'AccessShareLock')",
                         {r.matview})
            .value_or(false);
    return read_now ? "concurrent" : "full";
}

void require_populated_and_index(const run &r) {
    if (r.wanted != "concurrent")
        return;
    if (!r.info.populated)
        pg::raise({.code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                   .message = r.info.qualified() + " cannot be refreshed concurrently before it is populated",
                   .hint = "Refresh it in full once."});
    if (!unique_index_of(r.matview))
        pg::raise({.code = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                   .message = r.info.qualified() + " has no unique index on plain columns",
                   .hint = "dbopt.matview_explain() offers one as DDL."});
}

bool check_due(const run &r) {
    if (config.check_interval_s == 0)
        return false;
    const auto last = r.state.last_check ? r.state.last_check : r.state.last_refresh;
    return !last || pg::clock().us - last->us > 1000000LL * config.check_interval_s;
}

bool work(run &r) {
    // Locks first, then look again: what was known may have changed while nobody held them.
    for (int attempt = 0;; ++attempt) {
        if (!take_locks(r))
            return false;
        if (still_holds(*r.known) || attempt > 5)
            break;
        r.known = know(r.matview);
    }
    r.info = pg::get_relation(r.matview);
    r.state = load_state(r.matview);
    // The position before the snapshot: what is written after it is seen by its page's LSN.
    r.after.lsn = pg::lsn_text(pg::wal_position());
    pg::frozen now;
    r.after.as_of = pg::clock();
    r.after.snapshot = now.text();
    r.after.quiet = now.quiet();
    r.after.file = pg::relation_file(r.matview);
    r.after.fingerprint = r.known->fingerprint;
    increment step(r.matview, r.managed && r.managed->mode != "full" && r.managed->mode != "concurrent",
                   r.state, r.known);
    r.captured = step.bases();
    if (!step.captured())
        r.after.pages = describe_pages(r);
    r.after.own_xid = now.own_transaction();
    r.after.own_command = now.command();
    std::string reason = "as asked";
    // What such a statement has written is in the matview afterwards, and comes into the log later.
    if (step.captured())
        r.after.needs_full = step.under_way();
    if (r.may_skip) {
        const std::optional<std::string> obstacle = r.after.needs_full ? r.after.needs_full
                                                    : step.captured() ? step.prepare(now, r.after.file) : std::nullopt;
        if (step.captured() && !obstacle) {
            r.result.changes = step.changes();
            const bool check = check_due(r);
            if (step.changes() == 0 && !check) {
                r.result.mode = "skip";
                r.after.epoch = r.state.epoch;
                return skip(r, "nothing changed");
            }
            std::string why;
            std::optional<int64_t> rows = step.changes() == 0 ? 0 : step.run(now, why);
            if (rows && check) {
                std::optional<std::string> wrong;
                // A type without equality, say. What cannot be compared is refreshed all the same.
                if (auto failure = pg::subtransaction([&] { wrong = step.check_sample(now); }))
                    pg::warning("materialized view " + r.info.qualified() + " could not be checked: " + failure->message());
                if (wrong) {
                    pg::warning("materialized view " + r.info.qualified() + ": " + *wrong);
                    why = *wrong;
                    rows = std::nullopt;
                    r.wrong = why;
                }
            }
            r.checked = rows && check;
            if (rows) {
                r.result.mode = "incremental";
                r.result.status = "done";
                r.result.rows_changed = rows;
                r.result.reason = std::to_string(step.changes()) + " changed base rows";
                r.after.epoch = r.state.epoch;
                return true;
            }
            reason = why;
        } else if (step.captured()) {
            reason = *obstacle;
        } else if (std::optional<std::string> change = change_seen(r); !change) {
            r.result.mode = "skip";
            return skip(r, "nothing changed");
        } else {
            reason = *change;
            if (!step.refusal().empty() && r.wanted == "incremental")
                reason += "; incremental is not possible: " + step.refusal();
        }
    }
    require_populated_and_index(r);
    if (!rebuild(r, now, mode_without_increments(r), reason))
        return false;
    if (!r.after.needs_full)
        r.after.epoch = step.rebuild(now);
    return true;
}

} // namespace

void require_mode(const std::string &mode) {
    if (mode != "auto" && mode != "full" && mode != "concurrent" && mode != "incremental")
        pg::raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
                   .message = "unknown refresh mode \"" + mode + "\"",
                   .hint = "Use auto, full, concurrent or incremental."});
}

outcome refresh(Oid matview, const std::string &mode) {
    const pg::timestamptz started = pg::clock();
    run r;
    r.matview = matview;
    r.wanted = mode;
    r.info = pg::get_relation(matview);
    if (r.info.kind != RELKIND_MATVIEW)
        pg::raise({.code = ERRCODE_WRONG_OBJECT_TYPE,
                   .message = r.info.qualified() + " is a " + pg::kind_name(r.info.kind) +
                              ", not a materialized view"});
    require_mode(mode);
    pg::require_writable(pg::is_standby() ? "a materialized view cannot be refreshed on a standby"
                                          : "a materialized view cannot be refreshed in a read-only transaction");
    pg::require_maintain(matview);
    r.managed = find_config(matview);
    r.may_skip = mode == "auto" || mode == "incremental";
    if (mode == "auto" && r.managed)
        r.wanted = r.managed->mode;
    r.result.matview = matview;
    r.result.mode = r.wanted;
    // Looking at what it reads opens it: not behind somebody who holds it for hours.
    if (!recall(matview) && !lock_sources(r, sources_of(matview))) {
        r.result.duration_ms = elapsed_ms(started);
        record(r.result, started);
        return r.result;
    }
    // A restored database knows what is managed, but has neither logs nor states.
    // Partitions come and go; triggers are dropped and disabled.
    r.known = know(matview);
    if (r.managed && r.managed->mode != "full" && r.managed->mode != "concurrent" && !r.known->captured() &&
        (!load_state(matview).exists || !capture_complete(matview) || (r.known->bases.empty() && !r.known->tried))) {
        std::vector<manage_row> ignored;
        arrange_capture(matview, r.managed->mode, ignored);
        r.known = know(matview);
        r.known->tried = true;
    }
    const std::optional<pg::error> failure = pg::subtransaction([&] {
        work(r);
        r.result.duration_ms = elapsed_ms(started);
        if (r.result.status == "done" || r.result.mode == "skip")
            store_state(r.result, r.after);
        if (r.checked || r.wrong)
            store_check(r.matview, r.wrong);
        if (!r.captured.empty() && r.result.mode != "skip")
            prune_logs(r.captured);
    });
    if (failure) {
        r.result.status = "failed";
        r.result.reason = sentence(*failure);
        r.result.rows_changed = std::nullopt;
        r.result.duration_ms = elapsed_ms(started);
    }
    // Not after a skip: whoever holds the locks has also written the matview's state.
    if (r.result.status == "failed")
        store_failure(r.result);
    if (pg::find_relation(matview))
        record(r.result, started);
    return r.result;
}

} // namespace dbopt::matview
