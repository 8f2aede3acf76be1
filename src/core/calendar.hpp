// The lattice of partition bounds: months, days, hours or ids, in a time zone that is pinned.
//
// A key value is a `position`: an int64 in the key's own unit (µs since 2000 for timestamps, days
// since 2000 for date, the number itself for integers, ms since 1970 for uuid version 7).
// Bounds are drawn in local time and then mapped to the key. The mapping never goes backwards, so
// that daylight-saving days have neither hole nor overlap: a local time that does not exist becomes
// the moment of the change, one that exists twice its second occurrence (as PostgreSQL reads it).
#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace dbopt::core {

using position = int64_t;
inline constexpr position minus_infinity = INT64_MIN;
inline constexpr position infinity = INT64_MAX;
inline constexpr int64_t us_per_second = 1'000'000;
inline constexpr int64_t us_per_day = 86'400 * us_per_second;

// Offsets from UTC come from outside: the server's time zone files, or a table in a test.
class zone {
  public:
    virtual ~zone() = default;
    virtual int64_t offset_us(int64_t instant_us) const = 0; // east of Greenwich is positive
    int64_t to_local(int64_t instant_us) const { return instant_us + offset_us(instant_us); }
    int64_t to_instant(int64_t local_us) const;
};
class utc_zone final : public zone {
  public:
    int64_t offset_us(int64_t) const override { return 0; }
};

struct civil {
    int64_t year; // astronomical: 0 is 1 BC
    int month, day;
};
civil civil_from_days(int64_t days_since_2000);
int64_t days_from_civil(civil c); // the day is clamped to the length of the month

// Exactly one part is set; a whole number of days may come as hours.
struct step_size {
    int64_t months = 0, days = 0, us = 0, ids = 0;
    bool calendar() const { return ids == 0; }
};

enum class key_unit { id, timestamp, timestamptz, date, epoch_s, epoch_ms, epoch_us, epoch_ns, uuid7 };
inline bool keeps_time(key_unit u) { return u != key_unit::id; }
// Whether a position is an instant (and therefore needs the zone), or already local time.
inline bool is_instant(key_unit u) { return u != key_unit::timestamp && u != key_unit::date; }

// µs since 2000 and back; saturates at ±infinity. to_us rounds down, from_us rounds up, so that a
// bound never moves below the local time it was drawn at.
int64_t to_us(key_unit unit, position p);
position from_us(key_unit unit, int64_t us);

class calendar {
  public:
    // `anchor` is a bound of the lattice: local µs, or an id. Without it months start on the first,
    // weeks on Monday, days at midnight, ids at 0.
    calendar(key_unit unit, step_size step, const zone &z, std::optional<int64_t> anchor = {});

    position floor(position p) const; // the greatest bound <= p
    position next(position p) const;  // the smallest bound > p; infinity past the end of time
    position local_to_position(int64_t local_us) const;
    int64_t position_to_local(position p) const; // not for ids
    // p moved back by a length of time, by the calendar: months first, then days, then µs.
    position back(position p, int64_t months, int64_t days, int64_t us) const;
    key_unit unit() const { return unit_; }
    const step_size &step() const { return step_; }

  private:
    int64_t bound(int64_t k) const; // local µs or id of bound number k
    int64_t number(int64_t local) const;
    position key(int64_t k) const;
    key_unit unit_;
    step_size step_;
    const zone *zone_;
    int64_t anchor_;
};

// '2026-01-31 15:30:00', ISO, of local µs; BC years carry the suffix that PostgreSQL reads.
std::string local_text(int64_t local_us);
// The same with the offset of the zone: reads alike in every session.
std::string instant_text(int64_t instant_us, const zone &z);

} // namespace dbopt::core
