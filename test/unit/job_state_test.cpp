// The job's state machine under a fake clock: weeks of schedule in milliseconds.
#include "core/job_state.hpp"
#include <gtest/gtest.h>

using namespace dbopt::core;
using namespace dbopt::core::jobs;

namespace {

const fixed_zone utc;
const moment start = days_from_civil(2026, 11, 2) * 86400 * second; // a Monday

job make(std::string_view when, policy p = {}) {
    p.when = parse_schedule(when);
    job j(p, {}, utc);
    j.wake_up(start);
    return j;
}

// Runs the job on a clock that jumps from event to event; each run takes `seconds`.
struct simulation {
    job &j;
    moment now = start;
    int runs = 0;
    void until(moment end, double seconds, bool success = true, bool retryable = false) {
        while (now < end) {
            if (j.ready(now)) {
                j.started(now);
                ++runs;
                now += static_cast<moment>(seconds * second);
                j.finished(now, success, retryable, seconds, 0.0);
                continue;
            }
            const auto next = j.next_wake();
            if (!next)
                break;
            now = std::max(now + 1, *next);
        }
    }
};

} // namespace

TEST(Job, WeeksOfSchedule) {
    job hourly = make("@hourly");
    simulation s{hourly};
    s.until(start + 28 * 86400 * second, 5);
    EXPECT_EQ(s.runs, 28 * 24 - 1);
    job each_second = make("1 second");
    simulation t{each_second};
    t.until(start + 3600 * second, 0.2);
    EXPECT_EQ(t.runs, 3599);
    EXPECT_EQ(each_second.stored().skipped, 0);
    EXPECT_TRUE(each_second.is_short());
}

TEST(Job, OverlapSkips) {
    job j = make("10 seconds");
    simulation s{j};
    s.until(start + 1000 * second, 25);
    EXPECT_EQ(s.runs, 33);
    EXPECT_GT(j.stored().skipped, 50);
    EXPECT_FALSE(j.is_short());
}

TEST(Job, OverlapQueues) {
    job j = make("10 seconds", {.when = every{1}, .on_overlap = overlap::queue});
    ASSERT_TRUE(j.ready(start + 10 * second));
    j.started(start + 10 * second);
    EXPECT_FALSE(j.ready(start + 45 * second)); // 20, 30, 40 overlap
    j.finished(start + 45 * second, true, false, 35, 0);
    for (int i = 0; i < 3; ++i) {
        ASSERT_TRUE(j.ready(start + 46 * second)) << i;
        j.started(start + 46 * second);
        j.finished(start + 46 * second, true, false, 0, 0);
    }
    EXPECT_FALSE(j.ready(start + 46 * second));
    EXPECT_TRUE(j.ready(start + 50 * second));
}

TEST(Job, WaitingStaysDueUntilStarted) {
    job j = make("1 minute");
    EXPECT_TRUE(j.ready(start + 60 * second));
    EXPECT_TRUE(j.ready(start + 70 * second));
    EXPECT_EQ(j.state(), phase::waiting);
    EXPECT_EQ(j.stored().next_run, start + 60 * second) << "a crash now must not lose it";
    EXPECT_TRUE(j.ready(start + 190 * second));
    EXPECT_EQ(j.stored().skipped, 2);
    j.started(start + 190 * second);
    EXPECT_EQ(j.stored().next_run, start + 240 * second);
}

struct missed_case {
    missed rule;
    int runs;
    int64_t skipped;
};
TEST(Job, MissedRuns) {
    for (const missed_case c : {missed_case{missed::once, 1, 9}, missed_case{missed::skip, 0, 10},
                                missed_case{missed::all, 10, 0}}) {
        policy p{.when = parse_schedule("@hourly"), .on_missed = c.rule};
        memory m;
        m.next_run = start;
        job j(p, m, utc);
        const moment now = start + (9 * 3600 + 60) * second; // 00:00 … 09:00 were missed
        j.wake_up(now);
        int runs = 0;
        while (j.ready(now)) {
            j.started(now);
            j.finished(now, true, false, 0, 0);
            ++runs;
        }
        EXPECT_EQ(runs, c.runs);
        EXPECT_EQ(j.stored().skipped, c.skipped);
        EXPECT_EQ(j.stored().next_run, start + 10 * 3600 * second);
    }
}

TEST(Job, MissedAllIsBounded) {
    policy p{.when = every{1}, .on_missed = missed::all};
    memory m;
    m.next_run = start;
    job j(p, m, utc);
    j.wake_up(start + 365LL * 86400 * second);
    EXPECT_EQ(j.stored().pending, 1000);
}

TEST(Job, ClockBackwards) {
    job j = make("1 minute");
    const moment past = start - 86400LL * 30 * second;
    j.wake_up(past);
    EXPECT_EQ(j.stored().next_run, past + 60 * second);
}

TEST(Job, RetriesThenBreaker) {
    policy p{.when = every{1}, .retry = {3, 0.5, 5}, .breaking = {2, 60, 3600}};
    job j = make("1 minute", p);
    moment now = start + 60 * second;
    // First run: three attempts, pauses 0.25 s and 0.5 s (half of 0.5 and 1 with jitter 0).
    ASSERT_TRUE(j.ready(now));
    EXPECT_EQ(j.attempt(), 1);
    j.started(now);
    j.finished(now, false, true, 0.1, 0.0);
    EXPECT_EQ(j.state(), phase::retrying);
    EXPECT_FALSE(j.ready(now));
    EXPECT_EQ(j.next_wake(), now + second / 4);
    now += second / 4;
    ASSERT_TRUE(j.ready(now));
    EXPECT_EQ(j.attempt(), 2);
    j.started(now);
    j.finished(now, false, true, 0.1, 0.0);
    now += second / 2;
    ASSERT_TRUE(j.ready(now));
    EXPECT_EQ(j.attempt(), 3);
    j.started(now);
    j.finished(now, false, true, 0.1, 0.0);
    EXPECT_EQ(j.state(), phase::idle);
    EXPECT_EQ(j.stored().guard.failures, 1);
    // Second run fails for good at once: the breaker opens.
    now = start + 120 * second;
    ASSERT_TRUE(j.ready(now));
    j.started(now);
    j.finished(now, false, false, 0.1, 0.0);
    EXPECT_EQ(j.stored().guard.state, breaker_state::open);
    now = start + 179 * second;
    EXPECT_FALSE(j.ready(start + 180 * second - 1));
    // After the pause one trial is let through.
    now = start + 180 * second;
    ASSERT_TRUE(j.ready(now));
    EXPECT_EQ(j.stored().guard.state, breaker_state::half_open);
    j.started(now);
    j.finished(now, false, true, 0.1, 0.0);
    EXPECT_EQ(j.stored().guard.state, breaker_state::open);
    EXPECT_EQ(j.stored().guard.tripped, 2);
    EXPECT_FALSE(j.ready(start + 240 * second)) << "the pause has doubled";
    EXPECT_EQ(j.stored().guard.rejected, 1);
    now = start + 300 * second;
    ASSERT_TRUE(j.ready(now));
    j.started(now);
    j.finished(now, true, false, 0.1, 0.0);
    EXPECT_EQ(j.stored().guard.state, breaker_state::closed);
}

TEST(Job, BreakerSurvivesARestart) {
    memory m;
    m.next_run = start + second;
    m.guard.state = breaker_state::open;
    m.guard.until = start / second + 100;
    job j({.when = every{1}}, m, utc);
    j.wake_up(start);
    EXPECT_FALSE(j.ready(start + 50 * second));
    EXPECT_TRUE(j.ready(start + 101 * second));
}

TEST(Job, CrashesAreRetriedAndCounted) {
    policy p{.when = every{3600}, .retry = {3, 0.5, 5}, .breaking = {1, 60, 3600}};
    job j = make("1 hour", p);
    moment now = start + 3600 * second;
    for (int i = 0; i < 3; ++i) {
        ASSERT_TRUE(j.ready(now)) << i;
        j.started(now);
        j.interrupted(now, 0.0);
        now += 10 * second;
    }
    EXPECT_EQ(j.stored().guard.state, breaker_state::open) << "a run that kills the server is stopped";
    p.on_missed = missed::skip;
    job once = make("1 hour", p);
    ASSERT_TRUE(once.ready(start + 3600 * second));
    once.started(start + 3600 * second);
    once.interrupted(start + 3601 * second, 0.0);
    EXPECT_FALSE(once.ready(start + 3700 * second)) << "reported, not retried";
}

TEST(Job, OnceFinishes) {
    job j = make("@once 2026-11-03 00:00");
    EXPECT_EQ(j.next_wake(), start + 86400 * second);
    ASSERT_TRUE(j.ready(start + 86400 * second));
    j.started(start + 86400 * second);
    j.finished(start + 86401 * second, true, false, 1, 0);
    EXPECT_EQ(j.state(), phase::finished);
    EXPECT_FALSE(j.ready(start + 900000 * second));
}

TEST(Job, PostponedToTheWindow) {
    // Due at noon, allowed at night: runs once a day when the window opens.
    policy p{.when = every{1}, .hours = window{22 * 3600, 6 * 3600}};
    job j = make("0 12 * * *", p);
    EXPECT_EQ(j.next_wake(), start + 22 * 3600 * second);
    EXPECT_FALSE(j.ready(start + 12 * 3600 * second));
    simulation s{j};
    s.until(start + 7 * 86400 * second, 60);
    EXPECT_EQ(s.runs, 7);
    EXPECT_EQ(j.stored().skipped, 0);
    // Every hour: eight in the night, and those of the day become the one at 22:00.
    job h = make("@hourly", p);
    simulation t{h};
    t.until(start + 7 * 86400 * second, 60);
    EXPECT_EQ(t.runs, 7 * 8 - 1) << "01:00 to 05:00 of the first night, 22:00 to 05:00 afterwards";
}

TEST(Job, RetryAndQueueWaitForTheWindow) {
    policy p{.when = every{1}, .hours = window{1 * 3600, 2 * 3600}, .on_missed = missed::all, .retry = {3, 30, 60}};
    job j = make("55 1 * * *", p);
    const moment due = start + (3600 + 55 * 60) * second, opens = start + (86400 + 3600) * second;
    ASSERT_TRUE(j.ready(due));
    j.started(due);
    j.finished(due + 290 * second, false, true, 290, 0.0);
    EXPECT_EQ(j.state(), phase::retrying);
    EXPECT_FALSE(j.ready(start + 2 * 3600 * second + 10 * second)) << "the window has closed";
    EXPECT_EQ(j.next_wake(), opens);
    ASSERT_TRUE(j.ready(opens));
    EXPECT_EQ(j.attempt(), 2);
    // What was missed while the server was down waits for the window, too, and does not spin.
    memory m;
    m.next_run = start - 3 * 86400 * second + (3600 + 55 * 60) * second;
    p.when = parse_schedule("55 1 * * *");
    job late(p, m, utc);
    late.wake_up(start);
    EXPECT_EQ(late.stored().pending, 3);
    EXPECT_FALSE(late.ready(start));
    EXPECT_EQ(late.next_wake(), start + 3600 * second);
    simulation s{late};
    s.until(start + 86400 * second, 1);
    EXPECT_EQ(s.runs, 4);
}

TEST(Job, WindowClosesOnARunWithoutASlot) {
    policy p{.when = every{1}, .hours = window{1 * 3600, 2 * 3600}};
    job j = make("@once 2026-11-02 01:59", p);
    ASSERT_TRUE(j.ready(start + (3600 + 59 * 60) * second));
    EXPECT_FALSE(j.ready(start + 2 * 3600 * second));
    EXPECT_EQ(j.next_wake(), start + (86400 + 3600) * second);
    EXPECT_EQ(j.stored().next_run, start + (86400 + 3600) * second) << "and survives a restart";
    EXPECT_TRUE(j.ready(start + (86400 + 3600) * second));
}

TEST(Job, WindowAndDisabled) {
    policy p{.when = every{1}, .hours = window{1 * 3600, 2 * 3600}};
    job j = make("10 minutes", p);
    simulation s{j};
    s.until(start + 86400 * second, 1);
    EXPECT_EQ(s.runs, 6);
    policy off{.when = every{1}, .enabled = false};
    job d = make("1 second", off);
    EXPECT_FALSE(d.ready(start + 100 * second));
    EXPECT_EQ(d.state(), phase::disabled);
}

TEST(Retry, CodesAndPauses) {
    for (const char *yes : {"40001", "40P01", "55P03", "53200", "53300", "08006", "57P03"})
        EXPECT_TRUE(is_retryable(yes)) << yes;
    for (const char *no : {"57014", "22012", "23505", "42P01", "42501", "XX000", "", "4000", "58030"})
        EXPECT_FALSE(is_retryable(no)) << no;
    const retry_policy p{5, 1, 30};
    EXPECT_DOUBLE_EQ(backoff(p, 1), 1);
    EXPECT_DOUBLE_EQ(backoff(p, 4), 8);
    EXPECT_DOUBLE_EQ(backoff(p, 6), 30);
    EXPECT_DOUBLE_EQ(backoff(p, 1000000), 30);
    EXPECT_DOUBLE_EQ(backoff(p, 4, 0.0), 4);
    EXPECT_LT(backoff(p, 4, 0.999), 8);
}
