#include "scheduler/jobs.hpp"
#include "pg/query.hpp"
#include "scheduler/scheduler.hpp"
#include "scheduler/slots.hpp"
#include <cstdlib>

namespace dbopt::scheduler {

namespace cj = core::jobs;

constexpr int64_t epoch_2000 = 946684800; // seconds after 1970

int64_t job_zone::offset_at(int64_t instant) const {
    return zone_.offset_us((instant - epoch_2000) * 1000000) / 1000000;
}
cj::moment to_moment(TimestampTz t) { return t + epoch_2000 * cj::second; }
TimestampTz to_timestamp(cj::moment m) { return m - epoch_2000 * cj::second; }

core::retry_policy retry_class(std::string_view name) {
    static constexpr std::string_view names[] = {"default", "database", "transaction"};
    for (int i = 0; i < 3; ++i)
        if (name == names[i])
            return {.attempts = retry_settings[i].attempts,
                    .base_s = retry_settings[i].base_ms / 1000.0,
                    .cap_s = retry_settings[i].cap_ms / 1000.0};
    return {.attempts = 1};
}

double random_fraction() { return drand48(); }

int64_t seconds_of_day(std::string_view t) {
    const auto two = [&](size_t at) { return (t[at] - '0') * 10 + (t[at + 1] - '0'); };
    return t.size() < 8 ? 0 : two(0) * 3600 + two(3) * 60 + two(6);
}

struct job_row {
    const pg::row &r;
    cj::policy policy() const;
    cj::memory memory() const;
};

cj::policy job_row::policy() const {
    cj::policy p;
    p.when = cj::parse_schedule(r.get<std::string>(2));
    if (!r.null(8))
        p.hours = cj::window{seconds_of_day(r.get<std::string>(8)), seconds_of_day(r.get<std::string>(9))};
    p.on_overlap = r.get<std::string>(10) == "queue" ? cj::overlap::queue : cj::overlap::skip;
    const std::string missed = r.get<std::string>(11);
    p.on_missed = missed == "all" ? cj::missed::all : missed == "skip" ? cj::missed::skip : cj::missed::once;
    p.retry = retry_class(r.get<std::string>(7));
    p.breaking = {.failures = breaker_failures, .cooldown_s = static_cast<double>(breaker_cooldown_s)};
    p.enabled = r.get<bool>(13);
    return p;
}

cj::memory job_row::memory() const {
    cj::memory m;
    const auto moment = [&](int column) -> std::optional<cj::moment> {
        if (r.null(column))
            return std::nullopt;
        return to_moment(r.get<pg::timestamptz>(column).us);
    };
    m.next_run = moment(15);
    m.retry_at = moment(16);
    m.scheduled = moment(31).value_or(0);
    m.attempt = r.get_or<int32_t>(17, 0);
    m.pending = r.get_or<int32_t>(18, 0);
    m.skipped = r.get_or<int64_t>(19, 0);
    m.guard.in_a_row = r.get_or<int32_t>(20, 0);
    const std::string state = r.get_or<std::string>(21, "closed");
    m.guard.state = state == "open"        ? core::breaker_state::open
                    : state == "half-open" ? core::breaker_state::half_open
                                           : core::breaker_state::closed;
    m.guard.until = moment(22).value_or(0) / cj::second;
    m.guard.opened = r.get_or<int32_t>(23, 0);
    m.guard.successes = r.get_or<int64_t>(24, 0);
    m.guard.failures = r.get_or<int64_t>(25, 0);
    m.guard.rejected = r.get_or<int64_t>(26, 0);
    m.guard.tripped = r.get_or<int64_t>(27, 0);
    m.mean_seconds = r.get_or<double>(28, -1.0);
    return m;
}

std::string settings_in_use() {
    std::string all = std::to_string(breaker_failures) + " " + std::to_string(breaker_cooldown_s);
    for (const retry_setting &s : retry_settings)
        for (const int v : {s.attempts, s.base_ms, s.cap_ms})
            all += " " + std::to_string(v);
    return all;
}

void job_board::load(TimestampTz now) {
    const std::string signature =
        // Each row's version, not the latest time: what was changed first may be committed last.
        pg::scalar<std::string>("SELECT pg_catalog.format('%s %s %s', count(*), sum(pg_catalog.hashtextextended("
                                "job_id::text || ' ' || xmin::text || ' ' || changed_at::text, 0)),"
                                " current_setting('timezone')) FROM dbopt.job_config")
            .value_or("") +
        settings_in_use();
    if (signature == signature_)
        return;
    const pg::result rows = pg::query(
        "SELECT c.job_id, c.name, c.schedule, c.command, c.owner::oid, c.area, c.timezone, c.retry_class,"
        " c.window_start, c.window_end, c.overlap, c.missed, c.priority, c.enabled,"
        " coalesce(ceil(extract(epoch FROM c.max_runtime) * 1000), 0)::bigint,"
        " s.next_run, s.retry_at, s.attempt, s.pending, s.skipped, s.consecutive_failures,"
        " s.breaker, s.breaker_until, s.breaker_opened, s.successes, s.failures, s.rejected, s.tripped,"
        " s.mean_seconds, c.reset_at, current_setting('timezone'), s.scheduled_at"
        " FROM dbopt.job_config c LEFT JOIN dbopt.job_state s USING (job_id)");
    std::map<int64_t, bool> seen;
    for (const pg::row &r : rows) {
        seen[r.get<int64_t>(0)] = true;
        std::string problem;
        try {
            read_job({r}, now);
        } catch (const pg::error &e) {
            problem = e.message();
        } catch (const std::invalid_argument &e) {
            problem = e.what();
        }
        if (!problem.empty()) {
            jobs_.erase(r.get<int64_t>(0));
            (void)pg::execute("INSERT INTO dbopt.job_state (job_id, problem) VALUES ($1, $2)"
                              " ON CONFLICT (job_id) DO UPDATE SET problem = excluded.problem",
                              {r.get<int64_t>(0), problem});
        }
    }
    std::erase_if(jobs_, [&](const auto &j) { return !seen.contains(j.first); });
    signature_ = signature;
}

void job_board::read_job(const job_row &row, TimestampTz now) {
    const pg::row &r = row.r;
    cj::policy policy = row.policy();
    scheduled_job &j = jobs_[r.get<int64_t>(0)];
    const std::string schedule = r.get<std::string>(2);
    const std::string zone = r.get_or<std::string>(6, r.get<std::string>(30));
    const bool is_new = !j.state;
    const bool moved = !is_new && (schedule != j.schedule || zone != j.zone_name);
    if (is_new || zone != j.zone_name) {
        // The state points to its zone: it is made again with what it remembered.
        auto fresh = std::make_unique<job_zone>(zone);
        cj::memory m = is_new ? row.memory() : j.state->stored();
        const bool runs = !is_new && j.state->state() == cj::phase::running;
        const cj::moment since = runs ? j.state->scheduled_at() : 0;
        j.state.emplace(policy, m, *fresh);
        j.zone = std::move(fresh);
        if (runs)
            j.state->mark_running(since);
    }
    j.state->change(std::move(policy));
    j.id = r.get<int64_t>(0);
    j.name = r.get<std::string>(1);
    j.schedule = schedule;
    j.zone_name = zone;
    j.command = r.get<std::string>(3);
    j.owner = r.get<Oid>(4);
    j.area = r.get<std::string>(5);
    j.priority = r.get<int32_t>(12);
    j.max_runtime_ms = r.get<int64_t>(14);
    const TimestampTz reset_at = r.get_or<pg::timestamptz>(29, {0}).us;
    if (!is_new && reset_at != j.reset_at)
        j.state->reset();
    j.reset_at = reset_at;
    if (moved)
        j.state->forget_schedule();
    if (is_new || moved) {
        for (const running &run : runs_in_slots())
            if (is_new && run.job_id == j.id)
                j.state->mark_running(to_moment(now)); // this worker was restarted meanwhile
        j.state->wake_up(to_moment(now));
        store(j);
    }
}

std::vector<scheduled_job *> job_board::due(TimestampTz now) {
    std::vector<scheduled_job *> out;
    if (copied_)
        return out;
    for (auto &[id, j] : jobs_) {
        if (std::find(paused_.begin(), paused_.end(), j.area) != paused_.end())
            continue;
        if (j.state->ready(to_moment(now)))
            out.push_back(&j);
    }
    return out;
}

scheduled_job *job_board::find(int64_t id) {
    const auto it = jobs_.find(id);
    return it != jobs_.end() ? &it->second : nullptr;
}

std::optional<TimestampTz> job_board::next_wake() const {
    std::optional<TimestampTz> out;
    if (copied_)
        return out;
    for (const auto &[id, j] : jobs_) {
        if (std::find(paused_.begin(), paused_.end(), j.area) != paused_.end())
            continue;
        if (const std::optional<cj::moment> m = j.state->next_wake())
            if (!out || to_timestamp(*m) < *out)
                out = to_timestamp(*m);
    }
    return out;
}

bool job_board::waiting() const {
    for (const auto &[id, j] : jobs_)
        if (j.state->state() == cj::phase::waiting)
            return true;
    return false;
}

void job_board::set_pauses(bool copied, std::vector<std::string> areas) {
    copied_ = copied;
    paused_ = std::move(areas);
}

void job_board::store(const scheduled_job &j) const {
    const cj::memory m = j.state->stored();
    const auto moment = [](const std::optional<cj::moment> &t) {
        return t ? pg::value(pg::timestamptz{to_timestamp(*t)}) : pg::value();
    };
    static constexpr const char *names[] = {"closed", "open", "half-open"};
    const core::breaker &g = m.guard;
    (void)pg::execute(
        "INSERT INTO dbopt.job_state AS s (job_id, next_run, retry_at, attempt, pending, skipped,"
        " consecutive_failures, breaker, breaker_until, breaker_opened, successes, failures, rejected,"
        " tripped, mean_seconds, scheduled_at)"
        " VALUES ($1, $2::timestamptz, $3::timestamptz, $4, $5, $6, $7, $8, $9::timestamptz, $10, $11,"
        " $12, $13, $14, $15::float8, $16::timestamptz)"
        " ON CONFLICT (job_id) DO UPDATE SET next_run = excluded.next_run, retry_at = excluded.retry_at,"
        " attempt = excluded.attempt, pending = excluded.pending, skipped = excluded.skipped,"
        " consecutive_failures = excluded.consecutive_failures, breaker = excluded.breaker,"
        " breaker_until = excluded.breaker_until, breaker_opened = excluded.breaker_opened,"
        " successes = excluded.successes, failures = excluded.failures, rejected = excluded.rejected,"
        " tripped = excluded.tripped, mean_seconds = excluded.mean_seconds,"
        " scheduled_at = excluded.scheduled_at, problem = NULL",
        {j.id, moment(m.next_run), moment(m.retry_at), m.attempt, m.pending, m.skipped, g.in_a_row,
         names[static_cast<int>(g.state)],
         moment(g.state == core::breaker_state::open ? std::optional(g.until * cj::second) : std::nullopt),
         g.opened, g.successes, g.failures, g.rejected, g.tripped,
         m.mean_seconds < 0 ? pg::value() : pg::value(m.mean_seconds),
         moment(m.scheduled != 0 ? std::optional(m.scheduled) : std::nullopt)});
}

} // namespace dbopt::scheduler
