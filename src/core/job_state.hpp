// The state machine of one job. It knows no clock, no process and no table: time comes in, decisions
// go out, and `memory` is what the caller stores so that a crash forgets nothing.
//
//            due            started()          finished(): success
//   idle ─────────▶ waiting ─────────▶ running ─────────────────▶ idle
//    ▲                 ▲                  │ failure worth a retry
//    │   retry due     │                  ▼
//    └── breaker ◀──   └────────────── retrying          (attempts used up: breaker counts a failure)
//
// What falls due while a run waits, runs or is to be retried overlaps: skipped and counted, or
// queued. What fell due while nobody looked was missed: run once, skipped, or all of it run.
// What falls due outside the window is postponed to its opening, retries included; several become one.
#pragma once
#include "core/breaker.hpp"
#include "core/retry.hpp"
#include "core/schedule.hpp"

namespace dbopt::core::jobs {

// Microseconds since 1970-01-01 UTC.
using moment = int64_t;
constexpr moment second = 1'000'000;

enum class overlap { skip, queue };
enum class missed { once, skip, all };

struct policy {
    schedule when;
    std::optional<window> hours = {};
    overlap on_overlap = overlap::skip;
    missed on_missed = missed::once;
    retry_policy retry = {};
    breaker_policy breaking = {};
    bool enabled = true;
};

struct memory {
    std::optional<moment> next_run = {};
    std::optional<moment> retry_at = {};
    int attempt = 0;      // attempts made of the run that is to be retried
    moment scheduled = 0; // when that run was due
    int64_t pending = 0;  // queued overlaps and missed runs
    int64_t skipped = 0;
    breaker guard = {};
    double mean_seconds = -1; // of the last runs, -1: none yet
};

enum class phase { idle, waiting, running, retrying, finished, disabled };

class job {
  public:
    job(policy p, memory m, const zone &z) : policy_(std::move(p)), memory_(m), zone_(&z) {}

    // Once after loading: what was missed, clocks that moved back.
    void wake_up(moment now);
    // Lets time pass. True while a run wants to start; started() answers it.
    bool ready(moment now);
    void started(moment now);
    void finished(moment now, bool success, bool retryable, double seconds, double random);
    // A person cancelled the run: neither a success nor a failure.
    void cancelled(moment now);
    // The run ended without a report: a crash.
    void interrupted(moment now, double random);
    void reset() { memory_.guard.reset(), memory_.retry_at.reset(), memory_.attempt = 0; }

    // When ready() may answer differently; nothing: not by the passing of time.
    std::optional<moment> next_wake() const;
    moment scheduled_at() const { return memory_.scheduled; }
    int attempt() const { return memory_.attempt + 1; } // of the run that waits or runs
    phase state() const;
    bool is_short() const;
    // To be stored: a run that still waits is stored as still due.
    memory stored() const;
    const policy &rules() const { return policy_; }
    void change(policy p) { policy_ = std::move(p); }
    void forget_schedule() { memory_.next_run.reset(); }
    void mark_running(moment since) { running_ = true, memory_.scheduled = since; }

  private:
    std::optional<moment> after(moment t) const;
    int64_t pass(moment now, int64_t most);
    void count_overlaps(moment now);
    void give_up(moment now);
    moment opening(moment t) const;
    bool postpone(moment now);

    policy policy_;
    memory memory_;
    const zone *zone_;
    moment closed_until_ = 0; // the window's next opening, while it is closed
    bool waiting_ = false;
    bool running_ = false;
};

} // namespace dbopt::core::jobs
