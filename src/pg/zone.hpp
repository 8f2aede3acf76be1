// The server's time zones for core/calendar.hpp.
#pragma once
#include "core/calendar.hpp"
#include "pg/error.hpp"

extern "C" {
struct pg_tz;
}

namespace dbopt::pg {

class server_zone final : public core::zone {
  public:
    // A name that SET TimeZone accepts; raises 22023 with the name otherwise.
    explicit server_zone(const std::string &name);
    int64_t offset_us(int64_t instant_us) const override;

  private:
    pg_tz *zone_;
};

std::string session_time_zone();

} // namespace dbopt::pg
