// The jobs of this database in the memory of its worker: read from job_config and job_state, decided
// by core/job_state.hpp, stored in the same transaction as the run they belong to.
#pragma once
#include <map>

#include "core/job_state.hpp"
#include "pg/value.hpp"
#include "pg/zone.hpp"

namespace dbopt::scheduler {

// The server's time zones as the schedule wants them.
class job_zone final : public core::jobs::zone {
  public:
    explicit job_zone(const std::string &name) : zone_(name) {}
    int64_t offset_at(int64_t instant) const override;

  private:
    pg::server_zone zone_;
};

// Microseconds of the server (since 2000) and of the core (since 1970).
core::jobs::moment to_moment(TimestampTz t);
TimestampTz to_timestamp(core::jobs::moment m);
core::retry_policy retry_class(std::string_view name); // default, database, transaction; else: once
std::string settings_in_use();                         // those that jobs follow
double random_fraction();                              // [0, 1)
// Seconds after midnight of 'HH:MM:SS[.ffffff]'.
int64_t seconds_of_day(std::string_view time);

struct scheduled_job {
    int64_t id = 0;
    std::string name, command, area, schedule, zone_name;
    Oid owner = InvalidOid;
    int priority = 0;
    int64_t max_runtime_ms = 0;
    TimestampTz reset_at = 0;
    bool on = true; // no pause holds it
    std::unique_ptr<job_zone> zone;
    std::optional<core::jobs::job> state;
};

class job_board {
  public:
    // Reads what changed; cheap when nothing did. Needs a transaction, as everything that stores.
    void load(TimestampTz now);
    std::vector<scheduled_job *> due(TimestampTz now);
    scheduled_job *find(int64_t id);
    void store(const scheduled_job &j) const;
    std::optional<TimestampTz> next_wake() const;
    bool waiting() const; // a due job has no slot yet
    void set_pauses(bool copied, std::vector<std::string> areas);
    // After an error: what is in memory may not be what is stored.
    void forget() { signature_.clear(), jobs_.clear(); }

  private:
    void read_job(const struct job_row &r, TimestampTz now);

    std::map<int64_t, scheduled_job> jobs_;
    std::string signature_;
    bool copied_ = false;
    std::vector<std::string> paused_;
};

} // namespace dbopt::scheduler
