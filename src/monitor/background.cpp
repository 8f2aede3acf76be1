#include "monitor/history.hpp"
#include "pg/transaction.hpp"

namespace dbopt::monitor {

namespace {

// Runs one round in a transaction of its own, under the settings that the SQL functions have.
template <class F> void round(F &&f) {
    pg::transaction t;
    pg::set_local("search_path", "pg_catalog, pg_temp");
    pg::set_local("lock_timeout", "200ms");
    pg::set_local("jit", "off");
    if (pg::scalar<bool>("SELECT pg_catalog.to_regclass('dbopt.history') IS NOT NULL").value_or(false))
        f();
    t.commit();
}

// A clock that went back makes it due at once.
bool due(int64_t now_us, int64_t &last_us, int64_t every_s) {
    if (every_s == 0 || (now_us >= last_us && now_us - last_us < every_s * 1'000'000))
        return false;
    last_us = now_us;
    return true;
}

} // namespace

void background() {
    static int64_t last_normal = 0;
    static int64_t last_deep = 0;
    static int64_t last_snapshot = 0;
    const int64_t now = pg::clock().us;
    const bool normal = due(now, last_normal, 60);
    const bool deep = normal && due(now, last_deep, 600);
    round([&] { check_alerts(deep ? tier::deep : normal ? tier::normal : tier::fast); });
    round([] { send_alerts(); });
    if (due(now, last_snapshot, current_settings().snapshot_interval))
        round([] { take_snapshot(); });
}

} // namespace dbopt::monitor
