#include "pg/zone.hpp"

extern "C" {
#include "pgtime.h"
}

namespace dbopt::pg {

server_zone::server_zone(const std::string &name) {
    zone_ = call([&] { return pg_tzset(name.c_str()); });
    if (zone_ == nullptr || !call([&] { return pg_tz_acceptable(zone_); }))
        raise({.code = ERRCODE_INVALID_PARAMETER_VALUE,
               .message = "time zone \"" + name + "\" is not known",
               .hint = "SELECT name FROM pg_timezone_names lists the names, such as 'UTC' or "
                       "'Europe/Madrid'."});
}

int64_t server_zone::offset_us(int64_t instant) const {
    constexpr int64_t unix_to_2000 = (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
    const int64_t seconds = instant / USECS_PER_SEC - (instant % USECS_PER_SEC < 0);
    const pg_time_t t = seconds + unix_to_2000;
    const pg_tm *tm = pg_localtime(&t, zone_);
    return tm != nullptr ? tm->tm_gmtoff * USECS_PER_SEC : 0;
}

std::string session_time_zone() { return pg_get_timezone_name(session_timezone); }

} // namespace dbopt::pg
