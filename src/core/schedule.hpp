// When a schedule is due next, in a time zone that is passed in.
//
// On the days when clocks change: a job with fixed hours runs exactly once (02:30 that does not
// exist runs as much later as the clock jumped; 02:30 that comes twice runs the first time); a job
// of every hour runs by elapsed time, as an interval does. The rule is Vixie cron's.
#pragma once
#include "core/cron.hpp"
#include <optional>

namespace dbopt::core::jobs {

// Instants are seconds since 1970-01-01 UTC.
class zone {
  public:
    virtual ~zone() = default;
    virtual int64_t offset_at(int64_t instant) const = 0; // seconds east of UTC
};

class fixed_zone final : public zone {
  public:
    explicit fixed_zone(int64_t offset = 0) : offset_(offset) {}
    int64_t offset_at(int64_t) const override { return offset_; }

  private:
    int64_t offset_;
};

// What a wall-clock time means: nothing (skipped by a jump), one instant, or two.
struct instants {
    int count = 0;
    int64_t first = 0, second = 0;
    int64_t shifted = 0; // when count is 0: as much later as the clock jumped
};
instants instants_of(int64_t local, const zone &z);

// The first due time after `after`. Intervals count from `after`. Nothing: never again.
std::optional<int64_t> next_due(const schedule &s, int64_t after, const zone &z);

// A daily window of wall-clock time, seconds after midnight; start > end: over midnight.
struct window {
    int64_t start = 0, end = 0;
    bool contains(int64_t instant, const zone &z) const;
    // The first instant at or after this one that lies inside. A window that a clock change swallows
    // on one day opens on the next.
    int64_t opens(int64_t instant, const zone &z) const;
};

// As next_due, but what falls due outside the window is postponed to its opening; several become one.
std::optional<int64_t> next_start(const schedule &s, const std::optional<window> &w, int64_t after,
                                  const zone &z);

} // namespace dbopt::core::jobs
