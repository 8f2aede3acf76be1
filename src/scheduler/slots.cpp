#include "scheduler/slots.hpp"
#include "pg/queue.hpp"
#include "scheduler/attach.hpp"
#include "scheduler/scheduler.hpp"

namespace dbopt::scheduler {

using pg::crew::run_slot;
using pg::crew::slot_state;

static run_slot *slots() { return pg::crew::shared()->slots; }
constexpr int slot_count = pg::crew::most_slots;

static void fill(run_slot &s, const run_order &order) {
    s.state = slot_state::assigned;
    s.cancel = false;
    s.run_id = order.run_id;
    s.job_id = order.job_id;
    s.queued = order.queued;
    s.max_runtime_ms = order.max_runtime_ms;
    s.assigned = GetCurrentTimestamp();
    s.started = s.finished = 0;
    s.failed = s.reported = false;
}

int take_slot(const run_order &order, bool reserved) {
    pg::lock_guard hold(pg::crew::lock(), LW_EXCLUSIVE);
    int busy = 0, busy_queued = 0, free = -1;
    for (int i = 0; i < slot_count; ++i) {
        const run_slot &s = slots()[i];
        if (s.state == slot_state::free)
            free = free < 0 ? i : free;
        else if (!s.reserved)
            ++busy, busy_queued += s.queued;
    }
    const bool beyond = reserved || (order.queued && busy_queued == 0);
    if (free < 0 || (!beyond && busy >= max_workers))
        return -1;
    run_slot &s = slots()[free];
    memset(&s, 0, sizeof(s));
    fill(s, order);
    s.database = MyDatabaseId;
    s.role = order.role;
    s.reserved = reserved;
    return free;
}

reserved_state find_reserved() {
    pg::lock_guard hold(pg::crew::lock(), LW_SHARED);
    reserved_state out;
    for (int i = 0; i < slot_count; ++i) {
        const run_slot &s = slots()[i];
        if (s.state == slot_state::free || !s.reserved || s.database != MyDatabaseId)
            continue;
        out.slot = i;
        out.ready = s.state == slot_state::ready && !s.leave;
        out.role = s.role;
        out.busy_since = s.state == slot_state::ready || s.leave ? 0 : s.assigned;
    }
    return out;
}

bool give_to_reserved(int slot, const run_order &order) {
    pid_t pid;
    {
        pg::lock_guard hold(pg::crew::lock(), LW_EXCLUSIVE);
        run_slot &s = slots()[slot];
        if (s.state != slot_state::ready || s.leave || s.database != MyDatabaseId ||
            s.role != order.role)
            return false;
        fill(s, order);
        pid = s.pid;
    }
    pg::crew::wake(pid);
    return true;
}

void ask_reserved_to_leave(int slot) {
    pid_t pid;
    {
        pg::lock_guard hold(pg::crew::lock(), LW_EXCLUSIVE);
        slots()[slot].leave = true;
        pid = slots()[slot].pid;
    }
    pg::crew::wake(pid);
}

bool promote_reserved(int slot) {
    pg::lock_guard hold(pg::crew::lock(), LW_EXCLUSIVE);
    int busy = 0;
    for (int i = 0; i < slot_count; ++i)
        busy += slots()[i].state != slot_state::free && !slots()[i].reserved;
    if (busy >= max_workers + 4)
        return false;
    slots()[slot].reserved = false;
    return true;
}

void set_run(int slot, int64_t run_id) {
    pg::lock_guard hold(pg::crew::lock(), LW_EXCLUSIVE);
    slots()[slot].run_id = run_id;
}

void free_slot(int slot) {
    pg::lock_guard hold(pg::crew::lock(), LW_EXCLUSIVE);
    slots()[slot].state = slot_state::free;
}

std::vector<run_report> finished_runs() {
    std::vector<run_report> out;
    pg::lock_guard hold(pg::crew::lock(), LW_SHARED);
    for (int i = 0; i < slot_count; ++i) {
        const run_slot &s = slots()[i];
        if (s.state != slot_state::finished || s.database != MyDatabaseId)
            continue;
        run_report r;
        r.slot = i;
        r.run_id = s.run_id;
        r.job_id = s.job_id;
        r.failed = s.failed;
        r.reported = s.reported;
        r.cancelled = s.cancel;
        r.sqlstate = s.sqlstate;
        r.message = s.message;
        r.detail = s.detail;
        r.hint = s.hint;
        r.tag = s.tag;
        r.rows = static_cast<int64_t>(s.rows);
        r.started = s.started != 0 ? s.started : s.assigned;
        r.finished = s.finished;
        out.push_back(std::move(r));
    }
    return out;
}

void collected(const run_report &r) {
    pg::lock_guard hold(pg::crew::lock(), LW_EXCLUSIVE);
    run_slot &s = slots()[r.slot];
    if (s.state != slot_state::finished || s.run_id != r.run_id)
        return;
    // A reserved worker lives on and waits; one that was promoted meanwhile has ended or will.
    const bool lives_on = s.reserved && s.pid != 0;
    s.state = lives_on ? slot_state::ready : slot_state::free;
}

std::vector<running> runs_in_slots() {
    std::vector<running> out;
    pg::lock_guard hold(pg::crew::lock(), LW_SHARED);
    for (int i = 0; i < slot_count; ++i) {
        const run_slot &s = slots()[i];
        if (s.database == MyDatabaseId && s.state != slot_state::free && s.state != slot_state::ready)
            out.push_back({s.run_id, s.job_id});
    }
    return out;
}

// Of workers that begin at the same moment the first one wins: two that count each other would both give up.
pg::workers_beside workers_before(const run_slot &mine) {
    pg::workers_beside out;
    pg::lock_guard hold(pg::crew::lock(), LW_SHARED);
    for (int i = 0; i < slot_count; ++i) {
        const run_slot &s = slots()[i];
        const bool earlier = s.started < mine.started || (s.started == mine.started && &s < &mine);
        if (s.state != slot_state::running || &s == &mine || !earlier)
            continue;
        out.of_role += s.role == mine.role;
        out.of_database += s.database == mine.database;
    }
    return out;
}

bool start_slot_worker(int slot) {
    const char *name = slots()[slot].reserved ? "dbopt short jobs" : "dbopt job";
    return start_process({.name = name,
                          .type = "dbopt job worker",
                          .function = "dbopt_job_main",
                          .argument = Int32GetDatum(slot)});
}

bool cancel_run(int64_t run_id) { return pg::cancel_run(run_id); }

void disown_runs() {
    pid_t end[pg::crew::most_slots];
    int count = 0;
    {
        pg::lock_guard hold(pg::crew::lock(), LW_EXCLUSIVE);
        for (int i = 0; i < slot_count; ++i) {
            run_slot &s = slots()[i];
            if (s.database != MyDatabaseId || s.state == slot_state::free)
                continue;
            s.run_id = s.job_id = 0;
            s.leave = true;
            if (s.pid == 0)
                s.state = slot_state::free; // one that was asked for finds nothing to do
            else
                end[count++] = s.pid;
        }
    }
    for (int i = 0; i < count; ++i)
        pg::crew::signal(end[i], true);
}

void free_orphans() {
    pg::lock_guard hold(pg::crew::lock(), LW_EXCLUSIVE);
    for (int i = 0; i < slot_count; ++i) {
        run_slot &s = slots()[i];
        if (s.state != slot_state::free && pg::crew::find(s.database) == nullptr && !pg::crew::alive(s.pid))
            s.state = slot_state::free;
    }
}

void bury_the_dead(TimestampTz now) {
    constexpr TimestampTz patience = 30 * 1000 * 1000;
    pg::lock_guard hold(pg::crew::lock(), LW_EXCLUSIVE);
    for (int i = 0; i < slot_count; ++i) {
        run_slot &s = slots()[i];
        if (s.database != MyDatabaseId || s.state == slot_state::free ||
            s.state == slot_state::finished)
            continue;
        const bool never_came = s.pid == 0 && now - s.assigned > patience;
        const bool gone = s.pid != 0 && !pg::crew::alive(s.pid);
        if (!never_came && !gone)
            continue;
        if (s.state == slot_state::ready) {
            s.state = slot_state::free;
            continue;
        }
        s.pid = 0;
        s.failed = true;
        s.reported = false;
        s.finished = now;
        s.state = slot_state::finished;
    }
}

} // namespace dbopt::scheduler
