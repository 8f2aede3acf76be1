#include "core/job_state.hpp"
#include <algorithm>

namespace dbopt::core::jobs {

constexpr int64_t most_missed = 1000; // runs that are caught up at most
constexpr int64_t most_queued = 100;  // overlaps that are remembered at most

static int64_t to_seconds(moment t) { return t >= 0 ? t / second : -((-t + second - 1) / second); }

// The first moment at or after t at which a run may start.
moment job::opening(moment t) const {
    if (!policy_.hours || policy_.hours->contains(to_seconds(t), *zone_))
        return t;
    return policy_.hours->opens(to_seconds(t), *zone_) * second;
}

std::optional<moment> job::after(moment t) const {
    const every *e = std::get_if<every>(&policy_.when);
    if (e != nullptr && !policy_.hours)
        return t + e->seconds * second;
    if (e != nullptr)
        return opening(t + e->seconds * second);
    const std::optional<int64_t> next =
        next_start(policy_.when, policy_.hours, to_seconds(t), *zone_);
    return next ? std::optional(*next * second) : std::nullopt;
}

// Moves next_run behind now; returns how many due times it passed, counted up to `most`.
int64_t job::pass(moment now, int64_t most) {
    int64_t count = 0;
    while (memory_.next_run && *memory_.next_run <= now) {
        if (const every *e = std::get_if<every>(&policy_.when); e != nullptr && !policy_.hours) {
            const int64_t steps = (now - *memory_.next_run) / (e->seconds * second) + 1;
            memory_.next_run = *memory_.next_run + steps * e->seconds * second;
            return std::min(steps, most);
        }
        ++count;
        memory_.next_run = after(count < most ? *memory_.next_run : now);
    }
    return count;
}

void job::wake_up(moment now) {
    if (!memory_.next_run) {
        memory_.next_run = after(now);
        return;
    }
    // The clock moved back, or the schedule was changed: never sleep longer than the schedule says.
    // @once never comes "sooner", so it stays.
    if (const std::optional<moment> sooner = after(now); sooner && *sooner < *memory_.next_run)
        memory_.next_run = sooner;
    if (*memory_.next_run > now || policy_.on_missed == missed::once)
        return; // due now: ready() collapses what was missed into one run
    const int64_t count = pass(now, most_missed);
    if (policy_.on_missed == missed::all)
        memory_.pending += count;
    else
        memory_.skipped += count;
}

// The window closed on a run that is due, waits or is to be retried: it moves to the next opening.
bool job::postpone(moment now) {
    const moment opens = opening(now);
    closed_until_ = opens == now ? 0 : opens;
    if (opens == now)
        return false;
    if (memory_.retry_at) {
        if (*memory_.retry_at <= now)
            memory_.retry_at = opens;
    } else if (waiting_ || (memory_.next_run && *memory_.next_run <= now)) {
        memory_.next_run = opens;
    }
    waiting_ = false;
    return true;
}

void job::count_overlaps(moment now) {
    const int64_t overlaps = pass(now, most_missed);
    if (policy_.on_overlap == overlap::queue)
        memory_.pending = std::min(memory_.pending + overlaps, most_queued);
    else
        memory_.skipped += overlaps;
}

bool job::ready(moment now) {
    if (!policy_.enabled)
        return false;
    if (!running_ && postpone(now))
        return false;
    const bool busy = waiting_ || running_ || memory_.retry_at.has_value();
    if (busy)
        count_overlaps(now);
    if (running_)
        return false;
    if (!waiting_ && memory_.retry_at && *memory_.retry_at <= now)
        waiting_ = true; // it is the same run, due when it was
    if (busy)
        return waiting_;
    if (memory_.pending > 0 && memory_.guard.allow(to_seconds(now))) {
        --memory_.pending;
        memory_.scheduled = now;
        return waiting_ = true;
    }
    if (!memory_.next_run || *memory_.next_run > now)
        return false;
    memory_.scheduled = *memory_.next_run;
    // More than one due time passed unseen (a busy server, sleep): one run stands for all of them.
    memory_.skipped += std::max<int64_t>(pass(now, most_missed) - 1, 0);
    return waiting_ = memory_.guard.allow(to_seconds(now));
}

void job::started(moment) {
    waiting_ = false;
    running_ = true;
    memory_.retry_at.reset();
}

void job::give_up(moment now) {
    memory_.attempt = 0;
    memory_.retry_at.reset();
    memory_.guard.failure(to_seconds(now), policy_.breaking);
}

void job::finished(moment now, bool success, bool retryable, double seconds, double random) {
    count_overlaps(now);
    running_ = false;
    memory_.mean_seconds =
        memory_.mean_seconds < 0 ? seconds : 0.6 * memory_.mean_seconds + 0.4 * seconds;
    if (success) {
        memory_.attempt = 0;
        memory_.guard.success();
        return;
    }
    ++memory_.attempt;
    const bool trial = memory_.guard.state == breaker_state::half_open;
    if (!retryable || trial || memory_.attempt >= policy_.retry.attempts)
        return give_up(now);
    memory_.retry_at =
        now + static_cast<moment>(backoff(policy_.retry, memory_.attempt, random) * second);
}

void job::cancelled(moment now) {
    count_overlaps(now);
    running_ = false;
    memory_.attempt = 0;
}

void job::interrupted(moment now, double random) {
    count_overlaps(now);
    running_ = false;
    ++memory_.attempt;
    if (policy_.on_missed == missed::skip || memory_.attempt >= policy_.retry.attempts)
        return give_up(now);
    // At least a second, doubled like the others: a run that crashes the server must not spin.
    const double pause = std::max(1.0, backoff(policy_.retry, memory_.attempt, random));
    memory_.retry_at = now + static_cast<moment>(pause * second);
}

std::optional<moment> job::next_wake() const {
    if (!policy_.enabled)
        return std::nullopt;
    if (running_ || waiting_)
        return std::nullopt; // overlaps are counted when the run ends
    if (memory_.retry_at)
        return memory_.retry_at;
    if (memory_.pending > 0) {
        // A rejected queue is looked at again when the breaker opens up, or the schedule says so.
        const moment soon = std::max(
            memory_.guard.state == breaker_state::open ? memory_.guard.until * second : 0, closed_until_);
        return memory_.next_run ? std::min(*memory_.next_run, soon) : soon;
    }
    return memory_.next_run;
}

phase job::state() const {
    if (running_)
        return phase::running;
    if (!policy_.enabled)
        return phase::disabled;
    if (waiting_)
        return phase::waiting;
    if (memory_.retry_at)
        return phase::retrying;
    return memory_.next_run || memory_.pending > 0 ? phase::idle : phase::finished;
}

bool job::is_short() const {
    if (memory_.mean_seconds >= 0)
        return memory_.mean_seconds < 0.5;
    const every *e = std::get_if<every>(&policy_.when);
    return e != nullptr && e->seconds <= 10;
}

memory job::stored() const {
    memory m = memory_;
    if (waiting_ && !m.retry_at)
        m.next_run = m.next_run ? std::min(*m.next_run, memory_.scheduled) : memory_.scheduled;
    return m;
}

} // namespace dbopt::core::jobs
